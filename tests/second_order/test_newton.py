"""Newton solves with the Hessian, in each of the ways that it can be told to."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, pack, quartics, run


def reference(
    f: Quartic, x: Array, steps: int, damping: float, freq: int, tol: float | None, top: int | None
) -> list[Array]:
    out, H = [], np.eye(5)
    for k in range(steps):
        if k % freq == 0:
            H = f.hessian(x) + damping * np.eye(5)
        if tol is None and top is None:
            d = np.linalg.solve(H, f.grad(x))
        else:
            values, Q = np.linalg.eigh(H)
            size = np.abs(values)
            kept = sorted((i for i in range(5) if tol is None or size[i] > tol * size.max()), key=lambda i: -size[i])
            d = sum((Q[:, i] * (Q[:, i] @ f.grad(x)) / size[i] for i in kept[:top]), np.zeros(5))
        x = x - d
        out.append(x)
    return out


@settings(max_examples=25)
@given(
    case=quartics(),
    damping=st.floats(0, 2),
    freq=st.integers(1, 3),
    tol=st.none() | st.floats(0, 0.5),
    top=st.none() | st.integers(1, 6),
)
def test_agrees_with_the_formula(
    case: tuple[Quartic, Array], damping: float, freq: int, tol: float | None, top: int | None
) -> None:
    f, x = case
    fn = None if tol is None and top is None else torch.abs
    newton = tz.m.Newton(damping=damping, update_freq=freq, eigv_tol=tol, truncate=top, eigval_fn=fn)
    for mine, theirs in zip(run(newton, f, x, 4), reference(f, x, 4, damping, freq, tol, top), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("method", ["autograd", "func", "gfd_forward", "gfd_central", "fd_central", "fd"])
def test_every_way_to_the_hessian_leads_there(method: str) -> None:
    f, x = Quartic(np.diag([1.0, 2, 3, 4, 5]), np.ones(5), 1.0), np.array([0.3, -0.4, 0.5, 1.0, -1.0])
    module = tz.m.Newton(hessian_method=method, h=1e-4)
    step = run(module, f, x, 1)[0]
    np.testing.assert_allclose(step, x - np.linalg.solve(f.hessian(x), f.grad(x)), rtol=2e-3, atol=1e-4)


def test_a_kept_inverse_is_the_same_as_solving() -> None:
    f, x = Quartic(np.diag([1.0, 2, 3, 4, 5]), np.ones(5), 1.0), np.full(5, 0.5)
    kept = tz.m.Newton(precompute_inverse=True, update_freq=2)
    np.testing.assert_allclose(run(kept, f, x, 3), run(tz.m.Newton(update_freq=2), f, x, 3), rtol=1e-10)


def test_a_singular_hessian_gives_the_shortest_solution() -> None:
    x = torch.tensor([3.0, 5.0], dtype=torch.float64)
    newton = tz.m.Newton()
    out, _ = newton(x, newton.init(x), lambda x: x[0] ** 2)
    torch.testing.assert_close(out, torch.tensor([0.0, 5.0], dtype=torch.float64))


def test_the_largest_by_size_are_kept_after_abs() -> None:
    """-5 is larger than 2."""
    x = torch.tensor([1.0, 1.0], dtype=torch.float64)
    newton = tz.m.Newton(eigval_fn=torch.abs, truncate=1)
    out, _ = newton(x, newton.init(x), lambda x: x[0] ** 2 - 2.5 * x[1] ** 2)
    torch.testing.assert_close(out, torch.tensor([1.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize("options", [{}, {"damping": 0.5}, {"eigval_fn": torch.abs}])
def test_the_operator_solves_for_the_direction(options: dict[str, object]) -> None:
    f, x = Quartic(np.diag([1.0, -2, 3, 4, 5]), np.ones(5), 1.0), np.full(5, 0.5)
    newton = tz.m.Newton(**options)
    state, var = newton.step(newton.init(pack(x)), tz.Var(pack(x), objective=f))
    d = newton.operator(state).solve(torch.from_numpy(f.grad(x)))
    got = torch.cat([var.update["a"].reshape(-1), var.update["b"].reshape(-1)])
    torch.testing.assert_close(got, d)


def test_an_unknown_solver_is_named() -> None:
    with pytest.raises(ValueError, match=r"ExactNewton\(solver='qr'\): must be one of 'cholesky_lu', 'lstsq'"):
        tz.m.ExactNewton(solver="qr")


def test_an_eigenvalue_that_is_a_rounding_error_is_not_divided_by() -> None:
    """(cᵀx)² has one eigenvalue; what rounding makes of the others must not lead away."""
    c = torch.arange(1.0, 11.0, dtype=torch.float64)
    x = torch.ones(10, dtype=torch.float64)
    newton = tz.m.Newton(eigval_fn=torch.abs)
    out, _ = newton(x, newton.init(x), lambda x: 0.5 * (x @ c - 1) ** 2 * 100)
    expected = x - c * (c @ x - 1) / (c @ c)
    torch.testing.assert_close(out, expected, rtol=0.3, atol=0.3)
    assert abs(float(out @ c) - 1) < 1e-8


def test_the_floor_keeps_directions_of_little_curvature() -> None:
    """Below n · eps of the largest the step is that of the floor; it is not left out, and not longer."""
    x = torch.tensor([1.0, 1.0], dtype=torch.float64)
    newton = tz.m.Newton(eigval_fn=torch.abs)
    out, _ = newton(x, newton.init(x), lambda x: 0.5e10 * x[0] ** 2 - 0.5e-10 * x[1] ** 2)
    floor = 2 * 1e10 * torch.finfo(torch.float64).eps
    torch.testing.assert_close(out, torch.tensor([0.0, 1 + 1e-10 / floor], dtype=torch.float64), rtol=1e-6, atol=1e-12)
