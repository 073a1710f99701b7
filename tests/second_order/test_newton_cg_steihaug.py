"""NewtonCGSteihaug: truncated steps, and a radius that follows the rules."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, pack, quartics, run


def steihaug(H: Array, g: Array, radius: float, most: int) -> Array:
    """Truncated conjugate gradients for -gᵀd + ½dᵀHd in a ball, as in the book."""
    x, r, p = np.zeros(5), g.copy(), g.copy()
    for _ in range(most):
        a, b, c = p @ p, 2 * x @ p, x @ x - radius**2
        tau = (-b + np.sqrt(max(b * b - 4 * a * c, 0))) / (2 * a)
        if p @ H @ p <= 0:
            return x + tau * p
        alpha = (r @ r) / (p @ H @ p)
        if np.linalg.norm(x + alpha * p) >= radius:
            return x + tau * p
        x, new = x + alpha * p, r - alpha * H @ p
        if np.linalg.norm(new) < 1e-8:
            return x
        p, r = new + (new @ new) / (r @ r) * p, new
    return x


@settings(max_examples=40)
@given(case=quartics(definite=False), init=st.floats(0.05, 3), most=st.integers(1, 5), eta=st.floats(0, 0.3))
def test_the_step_is_the_truncated_solution(case: tuple[Quartic, Array], init: float, most: int, eta: float) -> None:
    f, x = case
    module = tz.m.NewtonCGSteihaug(init=init, maxiter=most, eta=eta, hvp_method="autograd", reg=0.0)
    radius = init
    for mine in run(module, f, x, 4):
        g, H = f.grad(x), f.hessian(x)
        for _ in range(100):
            d = steihaug(H, g, radius, most)
            rho = (f.value(x) - f.value(x - d)) / max(g @ d - 0.5 * d @ H @ d, 1e-300)
            size = np.linalg.norm(d)
            if rho < 1e-4:
                radius = 0.25 * size
            elif rho > 0.99 and 1 - size / radius < 1e-6:
                radius = max(radius, 3.5 * size)
            if rho > eta:
                x = x - d
                break
        np.testing.assert_allclose(mine, x, rtol=1e-5, atol=1e-6)


@settings(max_examples=25)
@given(case=quartics(definite=False), solver=st.sampled_from(["cg", "minres"]))
def test_no_step_is_longer_than_the_radius_and_none_goes_uphill(case: tuple[Quartic, Array], solver: str) -> None:
    f, x = case
    module = tz.m.NewtonCGSteihaug(hvp_method="autograd", solver=solver, npc_terminate=True)
    params, state = pack(x), module.init(pack(x))
    for _ in range(5):
        bound, before = max(state.own.radius.item(), 0), f(params).item()
        new, state = module(params, state, f)
        moved = torch.cat([(new[k] - params[k]).reshape(-1) for k in "ab"])
        assert moved.norm() <= bound * (1 + 1e-9)
        assert f(new).item() <= before
        params = new


def test_an_optimum_costs_nothing() -> None:
    x = torch.zeros(3, dtype=torch.float64)
    module = tz.m.NewtonCGSteihaug()
    state, var = module.step(module.init(x), tz.Var(x, objective=lambda x: (x**2).sum()))
    assert module.evaluations(state).item() == 0
    assert not var.update.any()


def test_a_function_that_is_never_finite_is_survived() -> None:
    x = torch.ones(2, dtype=torch.float64)
    module = tz.m.NewtonCGSteihaug(hvp_method="autograd", max_attempts=5)
    out, state = module(x, module.init(x), lambda x: torch.where((x == 1).all(), x.sum(), x.sum() * torch.nan))
    torch.testing.assert_close(out, x)
    assert 0 < state.own.radius.item() < 1
