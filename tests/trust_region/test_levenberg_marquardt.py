"""LevenbergMarquardt against a loop in NumPy, batched fits, and limited-memory models."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from tests.second_order.problems import Array, Quartic, quartics, run


@settings(max_examples=30)
@given(
    case=quartics(definite=False),
    y=st.sampled_from([0.0, 0.3, 1.0]),
    init=st.floats(0.05, 5),
    nplus=st.floats(1.5, 4),
    nminus=st.floats(0.1, 0.6),
    eta=st.floats(0, 0.5),
    adaptive=st.booleans(),
)
def test_agrees_with_a_loop_in_numpy(
    case: tuple[Quartic, Array], y: float, init: float, nplus: float, nminus: float, eta: float, adaptive: bool
) -> None:
    f, x = case
    module = tz.m.LevenbergMarquardt(
        tz.m.Newton(), y=y, init=init, nplus=nplus, nminus=nminus, eta=eta, adaptive=adaptive, max_attempts=6
    )
    radius = init
    for mine in run(module, f, x, 4):
        g, H = f.grad(x), f.hessian(x)
        D = np.diag((1 - y) + y * np.where(np.diag(H) > 0, np.diag(H), 1.0))
        scale = np.sqrt(np.linalg.norm(g)) if adaptive else 1.0
        for _ in range(6):
            d = np.linalg.solve(H + D * scale / radius, g)
            rho = (f.value(x) - f.value(x - d)) / max(g @ d - 0.5 * d @ H @ d, 1e-307)
            if rho < 1e-4:
                radius *= nminus
            elif rho > 0.99:
                radius *= nplus
            if rho > eta:
                x = x - d
                break
        np.testing.assert_allclose(mine, x, rtol=1e-6, atol=1e-7)


def decay(t: Tensor, data: Tensor) -> object:
    return lambda p: p[0] * torch.exp(-p[1] * t) + p[2] - data


def test_curves_fitted_in_a_batch_are_those_fitted_one_by_one() -> None:
    t = torch.linspace(0, 3, 20, dtype=torch.float64)
    truth = torch.tensor([[2.0, 1.0, 0.5], [1.0, 2.0, 0.0], [3.0, 0.5, 1.0]], dtype=torch.float64)
    data = truth[:, :1] * torch.exp(-truth[:, 1:2] * t) + truth[:, 2:]
    module = tz.m.LevenbergMarquardt(tz.m.GaussNewton(), y=1.0)

    def fit(data: Tensor) -> Tensor:
        p = torch.ones(3, dtype=torch.float64)
        state = module.init(p)
        for _ in range(25):
            p, state = module(p, state, decay(t, data))
        return p

    batched = torch.vmap(fit)(data)
    torch.testing.assert_close(batched, truth, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(batched, torch.stack([fit(d) for d in data]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["LevenbergMarquardt", "TrustCG", "Dogleg", "CubicRegularization"])
@settings(max_examples=10)
@given(case=quartics(definite=False))
def test_no_method_goes_uphill(name: str, case: tuple[Quartic, Array]) -> None:
    f, x = case
    values = [f.value(x)] + [f.value(p) for p in run(getattr(tz.m, name)(tz.m.Newton()), f, x, 6)]
    assert all(b <= a + 1e-12 * abs(a) for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("name", ["LevenbergMarquardt", "TrustCG", "Dogleg", "CubicRegularization"])
def test_trials_that_are_not_finite_shrink_the_radius_and_nothing_else(name: str) -> None:
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    module = getattr(tz.m, name)(tz.m.Newton())
    trap = lambda p: torch.where((p == x).all(), (p**2).sum(), (p**2).sum() * torch.nan)  # noqa: E731
    out, state = module(x, module.init(x), trap)
    assert torch.equal(out, x)
    assert 0 < state.own.radius.item() < 1
    out, state = module(x, state, lambda p: (p**2).sum())
    assert (out**2).sum() < (x**2).sum()


@pytest.mark.parametrize("name", ["LevenbergMarquardt", "TrustCG", "Dogleg", "CubicRegularization"])
def test_a_direction_that_is_not_finite_does_not_poison_the_radius(name: str) -> None:
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    module = getattr(tz.m, name)(tz.m.Newton())
    bad = tz.Var(x, objective=lambda p: (p**2).sum(), update=torch.full_like(x, torch.nan))
    state, var = module.step(module.init(x), bad)
    assert not var.update.any()
    out, _ = module(x, state, lambda p: (p**2).sum())
    assert (out**2).sum() < (x**2).sum()


@pytest.mark.parametrize("name", ["LevenbergMarquardt", "TrustCG", "Dogleg", "CubicRegularization"])
def test_nothing_is_evaluated_at_a_stationary_point(name: str) -> None:
    x = torch.zeros(2, dtype=torch.float64)
    module = getattr(tz.m, name)(tz.m.Newton())
    state, _ = module.step(module.init(x), tz.Var(x, objective=lambda p: (p**2).sum()))
    assert module.evaluations(state).item() == 0
    assert state.own.radius.item() == 1


def test_a_module_without_curvature_is_named() -> None:
    x = torch.zeros(2)
    module = tz.m.LevenbergMarquardt(tz.m.LR(0.1))
    with pytest.raises(TypeError, match=r"LevenbergMarquardt\(hess_module=LR\(lr=0.1\)\): models no curvature"):
        module.step(module.init(x), tz.Var(x, objective=lambda p: (p**2).sum()))
