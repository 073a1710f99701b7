"""ExactTrustRegion: the minimum of the model in the ball, its hard cases, its scale, and what the trials keep."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, quartics
from torchzero.core.control import while_loop
from torchzero.linalg.operators import Dense
from torchzero.trust_region.exact_trust_region import minimise_in_ball


def step(H: Array, g: Array, radius: float) -> Array:
    B, u = Dense(torch.from_numpy(H)), torch.from_numpy(g)
    module = tz.m.ExactTrustRegion(tz.m.Newton())
    prepared, _ = module.prepare(B, u, torch.zeros(()), lambda d: d.sum())
    return module.subproblem(B, u, torch.tensor(radius, dtype=torch.float64), prepared).numpy()


@settings(max_examples=60)
@given(case=quartics(definite=False), radius=st.floats(0.02, 8), rank=st.integers(1, 5))
def test_the_step_is_the_global_minimum(case: tuple[Quartic, Array], radius: float, rank: int) -> None:
    """By the conditions of Moré & Sorensen: (B + σI)d = u, B + σI ⪰ 0, σ ≥ 0, σ(Δ - ‖d‖) = 0."""
    f, x = case
    H, g = f.hessian(x), f.grad(x)
    if rank < 5:  # a gradient in the space of a few eigenvectors, as in the hard case
        _, Q = np.linalg.eigh(H)
        g = Q[:, 5 - rank :] @ (Q[:, 5 - rank :].T @ g)
    d = step(H, g, radius)
    size = np.linalg.norm(d)
    assert size <= radius * (1 + 1e-9)
    shift = d @ (g - H @ d) / (d @ d)
    np.testing.assert_allclose(H @ d + shift * d, g, atol=1e-6 * float(1 + abs(shift)))
    assert shift >= max(0.0, -np.linalg.eigvalsh(H)[0]) - 1e-6
    assert abs(shift) * (radius - size) <= 1e-6 * (1 + abs(shift))


def test_the_hard_case_goes_along_the_lowest_eigenvector() -> None:
    values, weights = torch.tensor([-1.0, 2.0], dtype=torch.float64), torch.tensor([0.0, 3.0], dtype=torch.float64)
    shift, d = minimise_in_ball(values, weights, torch.tensor(2.0, dtype=torch.float64))
    torch.testing.assert_close(shift, torch.tensor(1.0, dtype=torch.float64))
    torch.testing.assert_close(d, torch.tensor([3**0.5, 1.0], dtype=torch.float64))


def test_a_singular_model_with_a_solution_is_solved_by_the_shortest() -> None:
    d = step(np.diag([2.0, 0.0, 0.0]), np.array([4.0, 0.0, 0.0]), 100.0)
    np.testing.assert_allclose(d, [2.0, 0.0, 0.0], atol=1e-12)


def test_a_flat_direction_downhill_is_followed_to_the_surface() -> None:
    d = step(np.diag([2.0, 0.0]), np.array([4.0, 1e-3]), 10.0)
    np.testing.assert_allclose(d, [2.0, 96**0.5], rtol=1e-3)


def test_its_derivative_is_that_of_the_solution() -> None:
    values = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    radius = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, w, r: minimise_in_ball(v, w, r)[1], (values, weights, radius))


@settings(max_examples=20)
@given(powers=st.lists(st.integers(-8, 8), min_size=2, max_size=2))
def test_diagonal_scale_makes_iterates_independent_of_units(powers: list[int]) -> None:
    """Units that are powers of two change no rounding but that of the decomposition."""
    units = torch.tensor([2.0**k for k in powers], dtype=torch.float64)

    def residuals(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])

    opt = tz.m.ExactTrustRegion(tz.m.GaussNewton(), scale="diagonal", init=100.0)
    x, z = torch.tensor([-1.2, 1.0], dtype=torch.float64), torch.tensor([-1.2, 1.0], dtype=torch.float64) / units
    state, other = opt.init(x), opt.init(z)
    for _ in range(6):
        x, state = opt(x, state, residuals)
        z, other = opt(z, other, lambda z: residuals(z * units))
        torch.testing.assert_close(z * units, x, rtol=1e-6, atol=1e-8)


REGIONS = {
    "ExactTrustRegion": lambda keep: tz.m.ExactTrustRegion(tz.m.Newton(), keep_grad=keep),
    "LevenbergMarquardt": lambda keep: tz.m.LevenbergMarquardt(tz.m.Newton(), keep_grad=keep),
    "TrustCG": lambda keep: tz.m.TrustCG(tz.m.Newton(), keep_grad=keep),
    "Dogleg": lambda keep: tz.m.Dogleg(tz.m.Newton(), keep_grad=keep),
    "CubicRegularization": lambda keep: tz.m.CubicRegularization(tz.m.Newton(), keep_grad=keep),
}


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@pytest.mark.parametrize("name", REGIONS)
def test_keeping_gradients_changes_no_step_and_saves_an_evaluation_each(name: str) -> None:
    x0 = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    runs = [
        tz.minimize(rosenbrock, x0, REGIONS[name](keep), max_iterations=12, differentiate=None)
        for keep in (False, True)
    ]
    torch.testing.assert_close(runs[0].x, runs[1].x, rtol=0, atol=0)
    assert runs[0].iterations == runs[1].iterations
    assert runs[0].evaluations - runs[1].evaluations == runs[1].iterations


@pytest.mark.parametrize("name", REGIONS)
def test_what_is_published_is_the_loss_and_gradient_after_the_step(name: str) -> None:
    opt = REGIONS[name](True)
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    state = opt.init(x)
    for _ in range(4):
        state, var = opt.step(state, tz.Var(x, objective=rosenbrock))
        x = tz.apply_update(var)
        assert var.accepted is not None
        grad, value = torch.func.grad_and_value(rosenbrock)(x)
        torch.testing.assert_close(var.accepted, (value, grad), rtol=1e-12, atol=1e-12)


def test_a_step_that_fails_publishes_where_it_stands() -> None:
    """Every trial is worse than x0 by construction: the loss is infinite anywhere else."""
    x0 = torch.tensor([1.0, 2.0], dtype=torch.float64)

    def f(x: torch.Tensor) -> torch.Tensor:
        return (x**2).sum() + torch.where((x == x0).all(), 0.0, torch.inf)

    opt = tz.m.ExactTrustRegion(tz.m.Newton(), keep_grad=True, max_attempts=3)
    state, var = opt.step(opt.init(x0), tz.Var(x0, objective=f))
    assert var.accepted is not None
    torch.testing.assert_close(var.accepted, (torch.tensor(5.0, dtype=torch.float64), 2 * x0))
    assert int(opt.evaluations(state)) == 3
    assert not bool(state.own.accepted)


@settings(max_examples=60)
@given(
    spread=st.lists(st.floats(-10, 6), min_size=3, max_size=3),
    weights=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    least=st.sampled_from([-1.0, 0.0, 1e-8, 1.0]),
    radius=st.floats(-6, 4),
)
def test_the_surface_is_met_in_few_iterations_whatever_the_scales(
    spread: list[float], weights: list[float], least: float, radius: float
) -> None:
    """‖d‖ = Δ where Newton's step is outside; from where one entry alone would be Δ, the root is near."""
    count = 0

    def counting(keep_going, body, carry):
        def counted(at):
            nonlocal count
            count += 1
            return body(at)

        return while_loop(keep_going, counted, carry)

    values = torch.tensor([least, *(10.0**k for k in spread)], dtype=torch.float64)
    w, delta = torch.tensor([1.0, *weights], dtype=torch.float64), torch.tensor(10.0**radius, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchzero.trust_region.exact_trust_region.while_loop", counting)
        shift, d = minimise_in_ball(values, w, delta)
    assert count <= 12
    if shift > 0:
        torch.testing.assert_close(d.norm(), delta, rtol=1e-9, atol=0)
    torch.testing.assert_close((values + shift) * d, w, rtol=1e-9, atol=0)


@pytest.mark.parametrize("region", [tz.m.ExactTrustRegion, tz.m.LevenbergMarquardt, tz.m.Dogleg])
def test_a_direction_that_nobody_takes_is_not_solved_for(region, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("solved")

    x0 = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    residuals = lambda x: torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])  # noqa: E731
    expected = tz.minimize(residuals, x0, region(tz.m.GaussNewton()), max_iterations=5, differentiate=None).x
    monkeypatch.setattr("torchzero.least_squares.gauss_newton.solve_symmetric", refuse)
    found = tz.minimize(residuals, x0, region(tz.m.GaussNewton()), max_iterations=5, differentiate=None).x
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    with pytest.raises(AssertionError, match="solved"):
        tz.minimize(residuals, x0, tz.m.GaussNewton())


def test_cautious_first_steps_must_agree_with_the_model() -> None:
    """The ratio at the first trial is 0.64: taken as it is, but not while the region is cautious."""
    f = lambda x: 0.5 * (x * x).sum() + 0.36 * 0.5 * (x - 1).abs().pow(4).sum()  # noqa: E731
    x0 = torch.tensor([1.0], dtype=torch.float64)
    steps = {}
    for cautious in (0, 1):
        opt = tz.m.ExactTrustRegion(tz.m.Newton(), init=10.0, max_attempts=1, cautious=cautious)
        x, state = opt(x0, opt.init(x0), f)
        steps[cautious] = float(x), float(state.own.radius)
        if cautious:  # a Δ that is as short as the failed step wants, and from now on the usual rules
            assert float(opt(x, state, f)[0]) == 0.75
    assert steps == {0: (0.0, 10.0), 1: (1.0, 0.25)}
