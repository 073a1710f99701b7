"""GaussNewton against numpy's least squares, and as a model for Levenberg and Marquardt's method."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz


def problem(seed: int, m: int, n: int) -> object:
    rng = np.random.default_rng(seed)
    A, b = torch.from_numpy(rng.normal(size=(m, n))), torch.from_numpy(rng.normal(size=m))
    return lambda x: A @ x + 0.1 * torch.sin(A @ x) - b


@settings(max_examples=30)
@given(seed=st.integers(0, 9999), m=st.integers(1, 6), n=st.integers(1, 5), reg=st.floats(1e-3, 1.0))
def test_agrees_with_numpys_least_squares(seed: int, m: int, n: int, reg: float) -> None:
    r = problem(seed, m, n)
    module, x = tz.m.GaussNewton(reg=reg), torch.from_numpy(np.random.default_rng(seed + 1).normal(size=n))
    state = module.init(x)
    for _ in range(3):
        J, value = torch.func.jacrev(r)(x).numpy(), r(x).numpy()
        rows = np.concatenate([J, np.sqrt(reg) * np.eye(n)])
        d = np.linalg.lstsq(rows, np.concatenate([value, np.zeros(n)]), rcond=None)[0]
        new, state = module(x, state, r)
        np.testing.assert_allclose((x - new).numpy(), d, rtol=1e-6, atol=1e-9)
        x = new


def test_without_damping_an_underdetermined_step_is_the_shortest() -> None:
    A = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64)
    x = torch.zeros(3, dtype=torch.float64)
    module = tz.m.GaussNewton(reg=0.0)
    out, _ = module(x, module.init(x), lambda x: A @ x - 9)
    torch.testing.assert_close(out, torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64))


def test_between_jacobians_the_matrix_is_kept_and_the_gradient_is_new() -> None:
    r, x = problem(3, 5, 3), torch.ones(3, dtype=torch.float64)
    module = tz.m.GaussNewton(reg=0.0, update_freq=2)
    first, state = module(x, module.init(x), r)
    second, _ = module(first, state, r)
    J, now = torch.func.jacrev(r)(x), torch.func.jacrev(r)(first)
    torch.testing.assert_close(first - second, torch.linalg.solve(J.mT @ J, now.mT @ r(first)))


@pytest.mark.parametrize("name", ["LevenbergMarquardt", "TrustCG", "Dogleg", "CubicRegularization"])
def test_is_a_model_for_every_trust_region(name: str) -> None:
    def rosenbrock(x: Tensor) -> Tensor:
        return torch.stack([1 - x[0], 10 * (x[1] - x[0] ** 2)])

    x = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    module = getattr(tz.m, name)(tz.m.GaussNewton())
    state = module.init(x)
    for _ in range(80):
        x, state = module(x, state, rosenbrock)
    torch.testing.assert_close(x, torch.ones_like(x), rtol=1e-6, atol=1e-6)


def test_a_perfect_model_has_ratio_one() -> None:
    """½‖r‖² throughout: a linear problem is its own model, so that the radius grows by the rule for ρ > 0.99."""
    A = torch.tensor([[1.0, 2.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    x = torch.ones(2, dtype=torch.float64)
    module = tz.m.LevenbergMarquardt(tz.m.GaussNewton(), rho_good=1.001)
    _, state = module(x, module.init(x), lambda x: A @ x - 1)
    assert state.own.radius.item() == 1
    module = tz.m.LevenbergMarquardt(tz.m.GaussNewton(), rho_good=0.999)
    _, state = module(x, module.init(x), lambda x: A @ x - 1)
    assert state.own.radius.item() == 3.5


def test_closures_of_residuals_do_the_same() -> None:
    r, p = problem(5, 4, 3), torch.ones(3, dtype=torch.float64, requires_grad=True)
    opt = tz.Modular([p], tz.m.GaussNewton(reg=0.1))

    def closure(backward: bool = True) -> Tensor:
        out = r(p)
        if backward:
            opt.zero_grad()
            (out**2).sum().backward()
        return out

    x = p.detach().clone()
    module = tz.m.GaussNewton(reg=0.1)
    opt.step(closure)
    torch.testing.assert_close(p.detach(), module(x, module.init(x), r)[0])
