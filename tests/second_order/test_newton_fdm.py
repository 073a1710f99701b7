"""NewtonFDM: its differences, and what it does where H cannot be solved with."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, quartics, run


def differences(f: Quartic, x: Array, eps: float) -> tuple[Array, Array]:
    E = eps * np.eye(5)
    g = np.array([f.value(x + e) - f.value(x - e) for e in E]) / (2 * eps)
    H = np.array(
        [[f.value(x + a + b) - f.value(x + a - b) - f.value(x - a + b) + f.value(x - a - b) for b in E] for a in E]
    )
    return g, H / (4 * eps**2)


@settings(max_examples=20)
@given(
    case=quartics(),
    eps=st.floats(0.003, 0.1),
    diag=st.booleans(),
    solver=st.sampled_from(["cholesky_lu", "cholesky", "lu", "lstsq"]),
)
def test_agrees_with_the_formula(case: tuple[Quartic, Array], eps: float, diag: bool, solver: str) -> None:
    f, x = case
    g, H = differences(f, x, eps)
    expected = np.where(H.diagonal() > 0, g / H.diagonal(), g) if diag else np.linalg.solve(H, g)
    out = run(tz.m.NewtonFDM(eps, diag, solver), f, x, 1)[0]
    np.testing.assert_allclose(x - out, expected, rtol=1e-5, atol=1e-6)


def one_step(module: tz.Module, f: object) -> list[float]:
    x = torch.tensor([3.0, 2.0], dtype=torch.float64)
    out, state = module(x, module.init(x), f)  # pyright: ignore[reportArgumentType]
    assert int(module.evaluations(state)) == 2 * 2 + 4 * 3 + 2 * module.validate  # pyright: ignore[reportAttributeAccessIssue]
    return (x - out).tolist()


@pytest.mark.parametrize(
    ("fallback", "expected"), [("safe_diag", [0.03, 0.01]), ("gd", [0.06, 0.01]), ("lstsq", [3.0, 0.0])]
)
def test_a_singular_hessian_is_fallen_back_from(fallback: str, expected: list[float]) -> None:
    """f = x² + y: its gradient is (6, 1), its Hessian diag(2, 0)."""
    # a step of 1/8 is exact in floating point, so that the second element of H is zero to the last bit
    got = one_step(tz.m.NewtonFDM(0.125, fallback=fallback), lambda x: x[0] ** 2 + x[1])
    assert got == pytest.approx(expected, abs=1e-9)


def test_cholesky_refuses_what_lu_accepts() -> None:
    def saddle(x: torch.Tensor) -> torch.Tensor:
        return x[0] ** 2 - x[1] ** 2

    assert one_step(tz.m.NewtonFDM(), saddle) == pytest.approx([3.0, 2.0], abs=1e-8)
    assert one_step(tz.m.NewtonFDM(solver="cholesky", fallback="gd"), saddle) == pytest.approx([0.06, -0.04], abs=1e-8)


def test_a_step_that_climbs_too_far_is_replaced() -> None:
    """f = y² - 100 / (1 + x²) has negative curvature along x at 3, and Newton climbs."""

    def f(x: torch.Tensor) -> torch.Tensor:
        return x[1] ** 2 - 100 / (1 + x[0] ** 2)

    climbing = one_step(tz.m.NewtonFDM(1e-3), f)
    assert climbing[0] < 0
    careful = one_step(tz.m.NewtonFDM(1e-3, validate=True, tol=0.01, gd_lr=0.5), f)
    assert np.linalg.norm(careful) == pytest.approx(0.5)
    assert careful[0] > 0
    assert careful[1] > 0


def test_gradients_are_never_asked_for() -> None:
    """It goes through a function that has no derivative."""
    opt = tz.m.NewtonFDM()
    x = torch.tensor([3.0], dtype=torch.float64)
    found, _ = opt(x, opt.init(x), lambda x: (x.detach() ** 2).sum())
    torch.testing.assert_close(found, torch.zeros_like(x), atol=1e-8, rtol=0)
