"""NewtonCG: the Krylov solutions, and what happens at its edges."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, pack, quartics, run


def krylov(H: Array, g: Array, k: int, residual: bool) -> Array:
    """The best point of the k-th Krylov space: least energy, or least residual."""
    K = np.linalg.qr(np.stack([np.linalg.matrix_power(H, i) @ g for i in range(k)], 1))[0]
    if residual:
        return K @ np.linalg.lstsq(H @ K, g, rcond=None)[0]
    return K @ np.linalg.solve(K.T @ H @ K, K.T @ g)


@settings(max_examples=25)
@given(
    case=quartics(),
    k=st.integers(1, 4),
    reg=st.floats(0, 1),
    solver=st.sampled_from(["cg", "minres"]),
    method=st.sampled_from(["autograd", "fd_forward", "fd_central"]),
)
def test_agrees_with_the_formula(case: tuple[Quartic, Array], k: int, reg: float, solver: str, method: str) -> None:
    f, x = case
    module = tz.m.NewtonCG(maxiter=k, reg=reg, solver=solver, hvp_method=method, h=1e-5, tol=0.0)
    d = x - run(module, f, x, 1)[0]
    wanted = krylov(f.hessian(x) + reg * np.eye(5), f.grad(x), k, solver == "minres")
    np.testing.assert_allclose(
        d, wanted, rtol=1e-6 if method == "autograd" else 1e-2, atol=1e-6 if method == "autograd" else 1e-3
    )


@pytest.mark.parametrize("solver", ["cg", "minres"])
def test_a_multiple_of_the_identity_takes_one_product_and_is_finite(solver: str) -> None:
    """Exact after one iteration: there is no second one to divide zero by zero in."""
    x = torch.tensor([3.0, -1.0], dtype=torch.float64)
    module = tz.m.NewtonCG(solver=solver, reg=0.0)
    out, state = module(x, module.init(x), lambda x: 2 * (x**2).sum())
    torch.testing.assert_close(out, torch.zeros_like(x), atol=1e-12, rtol=0)
    out, _ = module(torch.zeros_like(x), state, lambda x: 2 * (x**2).sum())
    torch.testing.assert_close(out, torch.zeros_like(x))


def test_negative_curvature_at_first_is_followed_downhill() -> None:
    x = torch.tensor([2.0], dtype=torch.float64)
    module = tz.m.NewtonCG(reg=0.0)
    out, _ = module(x, module.init(x), lambda x: -(x**2).sum())
    torch.testing.assert_close(out, torch.tensor([4.0], dtype=torch.float64))


def test_a_warm_start_is_the_running_mean_of_directions() -> None:
    f, x = Quartic(np.diag([1.0, 2, 3, 4, 5]), np.ones(5), 0.0), np.ones(5)
    module = tz.m.NewtonCG(warm_start=True, warm_beta=0.25, reg=0.0)
    state, var = module.step(module.init(pack(x)), tz.Var(pack(x), objective=f))
    torch.testing.assert_close(
        state.own.warm, 0.75 * torch.cat([var.update["a"].reshape(-1), var.update["b"].reshape(1)])
    )


def test_differences_are_counted() -> None:
    f, x = Quartic(np.diag([1.0, 2, 3, 4, 5]), np.ones(5), 0.0), pack(np.ones(5))
    module = tz.m.NewtonCG(maxiter=3, hvp_method="fd_central")
    state = module.update(module.init(x), tz.Var(x, objective=f))
    assert module.evaluations(state).item() == 6


def test_truncated_stops_where_a_line_search_has_enough() -> None:
    """‖r‖ < min(½, √‖u‖) ‖u‖: far away half of the gradient may be left over, near the minimum hardly any."""
    H = torch.diag(torch.tensor([1.0, 3.0, 10.0, 30.0, 100.0], dtype=torch.float64))

    def residual(size: float) -> float:
        x = size * torch.ones(5, dtype=torch.float64) / torch.linalg.vector_norm(H.sum(0))
        module = tz.m.NewtonCG(truncated=True, reg=0.0)
        state = module.init(x)
        out, _ = module(x, state, lambda x: 0.5 * x @ H @ x)
        return float((H @ out).norm() / size)

    assert 1e-6 < residual(1.0) < 0.5
    assert 1e-12 < residual(1e-4) < 1e-2


@settings(max_examples=40)
@given(case=quartics(definite=False))
def test_truncated_always_goes_downhill(case: tuple[Quartic, Array]) -> None:
    f, x = case
    g = f.grad(x)
    d = x - run(tz.m.NewtonCG(truncated=True), f, x, 1)[0]
    assert np.isfinite(d).all()
    assert g @ d > 0


def test_truncated_follows_the_gradient_where_the_hessian_is_zero() -> None:
    x = torch.tensor([30.0, 40.0], dtype=torch.float64)
    module = tz.m.NewtonCG(truncated=True, reg=0.0)
    out, _ = module(x, module.init(x), lambda x: x @ torch.tensor([3.0, 4.0], dtype=torch.float64))
    d = x - out
    torch.testing.assert_close(d / d.norm(), torch.tensor([0.6, 0.8], dtype=torch.float64))
