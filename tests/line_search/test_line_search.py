"""What line searches promise beside their rule: failures, what is published, closures, batches, evaluations, errors."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from tests.line_search.problems import FAMILIES, direction, draw, lines, value

SEARCHES: dict[str, Callable[[], tz.Module]] = {
    "AdaptiveBacktracking": lambda: tz.m.AdaptiveBacktracking(),
    "AdaptiveBisection": lambda: tz.m.AdaptiveBisection(),
    "ArmijoLS": lambda: tz.m.ArmijoLS(),
    "Backtracking": lambda: tz.m.Backtracking(),
    "DirectionalNewton": lambda: tz.m.DirectionalNewton(),
    "DirectionalNewton3Points": lambda: tz.m.DirectionalNewton3Points(),
    "GridLineSearch": lambda: tz.m.GridLineSearch(0.1, 1, 5),
    "HagerZhangLineSearch": lambda: tz.m.HagerZhangLineSearch(sigma=0.1),
    "MultiplicativeLS": lambda: tz.m.MultiplicativeLS(),
    "ScipyMinimizeScalar": lambda: tz.m.ScipyMinimizeScalar(maxiter=10),
    "StrongWolfe": lambda: tz.m.StrongWolfe(c2=0.1),
}
BRACKETING = ("HagerZhangLineSearch", "StrongWolfe")
PURE = sorted(SEARCHES.keys() - {"ScipyMinimizeScalar"})


class Counted:
    """A function, and how often it was called."""

    def __init__(self, fn: Callable[[Any], Tensor]) -> None:
        self.fn, self.calls = fn, 0

    def __call__(self, x: Any) -> Tensor:
        self.calls += 1
        return self.fn(x)


def rosenbrock(x: Tensor) -> Tensor:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# ---------------------------------------------------------------------- failures are data


@pytest.mark.parametrize("name", sorted(SEARCHES))
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_direction_that_is_not_finite_gives_the_step_zero(name: str, bad: float) -> None:
    search, x = SEARCHES[name](), f64(1.0, 2.0)
    state, var = search.step(search.init(x), tz.Var(x, objective=rosenbrock, update=f64(1.0, bad)))
    assert torch.equal(tz.apply_update(var), x)
    assert not state.success
    assert state.a == 0
    assert state.f == rosenbrock(x)


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_a_loss_that_is_nowhere_finite_gives_the_step_zero(name: str) -> None:
    search, x = SEARCHES[name](), f64(1.0, 2.0)
    state, var = search.step(search.init(x), tz.Var(x, objective=lambda x: (x / 0).sum() * 0, update=x))
    assert torch.equal(tz.apply_update(var), x)
    assert not state.success


@pytest.mark.parametrize("name", ["ArmijoLS", "Backtracking", "AdaptiveBacktracking", "AdaptiveBisection", *BRACKETING])
def test_uphill_nothing_is_found_and_the_next_search_begins_lower(name: str) -> None:
    search, x = SEARCHES[name](), f64(3.0)
    var = tz.Var(x, objective=lambda x: (x**2).sum(), update=-x)
    state = search.init(x)
    for k in range(1, 4):
        state, out = search.step(state, var)
        assert torch.equal(tz.apply_update(out), x)
        if name in BRACKETING:
            assert state.memory.scale == 0.5**k
            assert state.evaluations == 0
        elif name in ("Backtracking", "AdaptiveBisection"):
            assert state.memory.scale == 0.5 ** (10 * k)
    down = search.update(state, var.replace(update=x))
    assert down.success
    if name in BRACKETING or name == "Backtracking":
        assert down.memory.scale == 1


def test_plus_minus_turns_round() -> None:
    search, x = tz.m.StrongWolfe(c2=0.1, plus_minus=True), f64(3.0)
    state, var = search.step(search.init(x), tz.Var(x, objective=lambda x: (x**2).sum(), update=-x))
    assert state.a == -1
    assert tz.apply_update(var).abs() < 1e-12


@pytest.mark.parametrize("name", BRACKETING)
@pytest.mark.parametrize("beyond", [math.nan, math.inf, -math.inf])
@given(wall=st.floats(0.01, 30), length=st.floats(0.1, 100))
@settings(max_examples=20)
def test_a_trial_that_is_not_finite_is_too_long(name: str, beyond: float, wall: float, length: float) -> None:
    """A minimum at 0.9 of the way to a wall, behind which the loss is not finite."""

    def f(x: Tensor) -> Tensor:
        return torch.where(x[0] > wall, beyond, (x[0] / wall - 0.9) ** 2)

    search, x = SEARCHES[name](), f64(0.0)
    state, var = search.step(search.init(x), tz.Var(x, objective=f, update=f64(-length)))
    assert state.success
    assert f(tz.apply_update(var)) < f(x)
    # The slope, which is linear, is at most a tenth of that at the start; weak conditions bound it on one side.
    left = (0.9 - tz.apply_update(var) / wall).item()
    assert left <= 0.09 * (1 + 1e-9)
    assert left >= -0.09 * (1 + 1e-9) or name != "StrongWolfe"


def test_the_lowest_trial_is_the_fallback() -> None:
    """A straight line has no flat end; with `fallback` its lowest trial is taken."""
    x = f64(0.0)
    var = tz.Var(x, objective=lambda x: -x.sum(), update=f64(-1.0))
    for fallback in (False, True):
        search = tz.m.StrongWolfe(fallback=fallback, a_max=50.0)
        state, out = search.step(search.init(x), var)
        assert state.success.item() is fallback
        assert tz.apply_update(out).item() == (50 if fallback else 0)
        assert state.f == (-50 if fallback else 0)
        assert state.grad == -1


# ---------------------------------------------------------------------- what a search tells


@pytest.mark.parametrize("name", BRACKETING)
@given(seed=st.integers(0, 1000), dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]))
@settings(max_examples=15)
def test_loss_and_gradient_at_the_accepted_point_are_published(name: str, seed: int, dtype: torch.dtype) -> None:
    """To the last bit those at the parameters after the step, whether it succeeded or not."""
    g = torch.Generator().manual_seed(seed)
    params = [torch.randn(3, generator=g).to(dtype), torch.randn((), generator=g).to(dtype)]

    def f(p: list[Tensor]) -> Tensor:
        return ((p[0].to(torch.float32) - p[1]) ** 4).sum() + p[1].to(torch.float32) ** 2

    if dtype == torch.float64:
        f = lambda p: ((p[0] - p[1]) ** 4).sum() + p[1] ** 2  # noqa: E731
    opt = tz.Chain(SEARCHES[name]())
    state = opt.init(params)
    for _ in range(3):
        state, var = opt.step(state, tz.Var(params, objective=f))
        params = tz.apply_update(var)
        grad, loss = torch.func.grad_and_value(f)(params)
        assert var.accepted is not None
        assert torch.equal(var.accepted[0], loss)
        assert all(map(torch.equal, var.accepted[1], grad))
    assert var.replace(update=params).accepted is None


@pytest.mark.parametrize("name", PURE)
@given(family=st.sampled_from(FAMILIES), seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_evaluations_are_counted(name: str, family: str, seed: int) -> None:
    (line,) = lines(family, 1, seed)
    f = Counted(line.objective)
    search = SEARCHES[name]()
    var = tz.Var(line.x, objective=f, update=line.u)
    assert torch.isfinite(var.loss)
    assert f.calls == 1
    state = search.update(search.init(line.x), var)
    in_one_call = name in ("GridLineSearch", "MultiplicativeLS")
    assert f.calls - 1 == (1 if in_one_call else search.evaluations(state).item())
    if in_one_call:
        assert search.evaluations(state) == (5 if name == "GridLineSearch" else 10)


@pytest.mark.parametrize("name", BRACKETING)
def test_bounds_on_evaluations_are_kept(name: str) -> None:
    """By a function that allows no success."""
    x = f64(0.0)
    var = tz.Var(x, objective=lambda x: -(x**3).sum() - x.sum(), update=f64(-1.0))
    for n in (1, 3, 6):
        search = SEARCHES[name]().evolve(maxiter=n)
        assert search.update(search.init(x), var).evaluations == n
    search = tz.m.StrongWolfe(maxeval=4)
    assert search.update(search.init(x), var).evaluations == 4


def test_log_lrs_publishes_the_step_size() -> None:
    x = f64(3.0)
    for search in (tz.m.GridLS([0.5], log_lrs=True), tz.m.ArmijoLS(log_lrs=True), tz.m.DirectionalNewton(log_lrs=True)):
        _, var = search.step(search.init(x), tz.Var(x, objective=lambda x: (x**2).sum()))
        assert var.attrs["line_search.lr"] == 0.5
    search = tz.m.GridLS([0.5])
    _, var = search.step(search.init(x), tz.Var(x, objective=lambda x: (x**2).sum()))
    assert not var.attrs


@pytest.mark.parametrize("name", BRACKETING)
def test_reset_for_online_forgets_the_previous_evaluation_and_keeps_the_scale(name: str) -> None:
    search, x = type(SEARCHES[name]())(a_init="first-order"), f64(3.0)
    state = search.update(search.init(x), tz.Var(x, objective=lambda x: (x**4).sum()))
    assert state.memory.known
    fresh = search.reset_for_online(state)
    assert not fresh.memory.known
    assert fresh.memory.scale == state.memory.scale


# ---------------------------------------------------------------------- the first trial


@pytest.mark.parametrize(
    ("mode", "formula"),
    [
        ("previous", lambda a, f, d, f0, d0: a),
        ("first-order", lambda a, f, d, f0, d0: a * d / d0),
        ("quadratic", lambda a, f, d, f0, d0: 2 * (f0 - f) / d0),
        ("quadratic-clip", lambda a, f, d, f0, d0: min(1.0, 1.01 * 2 * (f0 - f) / d0)),
    ],
)
@pytest.mark.parametrize("name", BRACKETING)
def test_the_first_trial_follows_from_the_last_search(name: str, mode: str, formula: Callable[..., float]) -> None:
    trials: list[float] = []

    def f(x: Tensor) -> Tensor:
        trials.append(x[0].item())
        return (x**2).sum() + 0.1 * (x**4).sum()

    search, x = type(SEARCHES[name]())(a_init=mode, init_value=0.1), f64(2.0)
    state = search.init(x)
    var = tz.Var(x, objective=lambda x: (x**2).sum() + 0.1 * (x**4).sum())
    state, out = search.step(state, var)
    f_last, d_last = var.loss.item(), -(var.grad**2).sum().item()
    x = tz.apply_update(out)
    var = tz.Var(x, objective=lambda x: (x**2).sum() + 0.1 * (x**4).sum())
    d = -(var.grad**2).sum().item()
    expected = formula(state.a.item(), f_last, d_last, var.loss.item(), d)
    var = tz.Var(x, objective=lambda y: (y**2).sum() + 0.1 * (y**4).sum(), grad=var.grad, loss=var.loss)
    original = type(var.objective).value_and_grad

    def spy(self: Any, params: Tensor) -> Any:
        trials.append(((x - params) / var.grad).item())
        return original(self, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(var.objective), "value_and_grad", spy)
        search.update(state, var)
    assert trials[0] == pytest.approx(expected, rel=1e-9)


# ---------------------------------------------------------------------- brackets


def test_a_bracket_may_be_reversed() -> None:
    """The first trial is past the minimum and lower than the start: `low` is then the longer end."""
    x = f64(1.0)
    search = tz.m.StrongWolfe(c2=0.1, init_value=0.9)
    state = search.update(search.init(x), tz.Var(x, objective=lambda x: (x**4 + x**2).sum(), update=2 * x))
    assert state.success
    assert state.evaluations <= 4


@given(
    family=st.sampled_from(FAMILIES),
    seed=st.integers(0, 10**6),
    c1=st.sampled_from([1e-6, 1e-4, 1e-2]),
    c2=st.floats(0.05, 0.95),
    init_value=st.sampled_from([1e-3, 0.1, 1.0, 20.0]),
    interpolation=st.sampled_from(["cubic", "quadratic", "bisection", "polynomial", "polynomial2"]),
)
@settings(max_examples=60)
def test_an_accepted_step_satisfies_the_strong_wolfe_conditions(
    family: str, seed: int, c1: float, c2: float, init_value: float, interpolation: str
) -> None:
    (line,) = lines(family, 1, seed)
    search = tz.m.StrongWolfe(c1, c2, init_value=init_value, interpolation=interpolation)
    state = search.update(search.init(line.x), tz.Var(line.x, objective=line.objective, update=line.u))
    a, f0, d0 = state.a.item(), line.value(0.0), line.slope(0.0)
    if state.success:
        assert a > 0
        assert line.value(a) <= f0 + c1 * a * d0 + 1e-13 * abs(f0)
        assert abs(line.slope(a)) <= -c2 * d0 * (1 + 1e-9)
    else:
        assert a == 0


def test_a_trial_that_rounds_to_the_lowest_value_does_not_end_the_bracket() -> None:
    """A parabola through φ(0), φ'(0) and a value of 10⁸⁷ has its minimum so near to 0 that φ is the same there."""
    x = f64(-0.01)
    search = tz.m.StrongWolfe(c2=0.1, interpolation="quadratic")
    var = tz.Var(x, objective=lambda x: (torch.exp(5 * x) + 100 * torch.exp(-x)).sum(), update=f64(-40.0))
    assert search.update(search.init(x), var).success


def test_hager_zhang_works_where_rounding_hides_the_decrease() -> None:
    """10⁸ + x², from 10⁻⁵: every value is the same, and only slopes tell where the minimum is.

    The approximate Wolfe conditions leave between -0.8 and 0.1 of the slope.
    """
    x = f64(1e-5)

    def f(x: Tensor) -> Tensor:
        return 1e8 + (x**2).sum()

    for first in (0.01, 0.9, 3.0):
        good = tz.m.HagerZhangLineSearch(sigma=0.1, init_value=first)
        state, var = good.step(good.init(x), tz.Var(x, objective=f))
        assert state.success
        assert -0.8e-5 * (1 + 1e-9) <= tz.apply_update(var).item() <= 1e-6 * (1 + 1e-9)


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("family", FAMILIES)
def test_vmapped_is_looped_and_ends_with_the_slowest(name: str, family: str) -> None:
    """Bit for bit, and the batched function is called as often as the lane that needs most."""
    n = 12
    problems, search = draw(family, n, 3), SEARCHES[name]()
    u = direction(problems)

    def run(theta: Tensor, x: Tensor, u: Tensor, f: Counted) -> Any:
        f.fn = lambda x: value(family, theta, x)
        return search.update(search.init(x), tz.Var(x, objective=f, update=u))

    f = Counted(torch.sum)
    batched = torch.vmap(lambda theta, x, u: run(theta, x, u, f))(problems.theta, problems.x, u)
    together = f.calls
    calls = []
    for i in range(n):
        f = Counted(torch.sum)
        alone = run(problems.theta[i], problems.x[i], u[i], f)
        calls.append(f.calls)
        assert batched.evaluations[i] == alone.evaluations
        assert batched.success[i] == alone.success
        # Vectorised exp and cos differ from scalar ones in the last bit.
        torch.testing.assert_close(
            batched.a[i], alone.a, rtol=0 if family in ("quadratic", "quartic") else 1e-6, atol=0
        )
    if not name.startswith("DirectionalNewton"):  # these decide by `cond`, which evaluates both ways in a batch
        assert together == max(calls)


# ---------------------------------------------------------------------- closures


def closure_of(x: Tensor, opt: Any, f: Callable[[Tensor], Tensor], seen: list[tuple[bool, Tensor]]) -> Any:
    def closure(backward: bool = True) -> Tensor:
        seen.append((backward, x.detach().clone()))
        loss = f(x)
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_through_closures_a_search_is_the_same(name: str) -> None:
    """Searches by values ask for no gradients along the line, and the number of calls is what is reported."""
    x = f64(-1.2, 1.0).requires_grad_()
    search = SEARCHES[name]()
    opt = tz.Modular([x], search)
    seen: list[tuple[bool, Tensor]] = []
    params, state = f64(-1.2, 1.0), search.init(f64(-1.2, 1.0))
    for _ in range(4):
        before = len(seen)
        opt.step(closure_of(x, opt, rosenbrock, seen))
        params, state = search(params, state, rosenbrock)
        torch.testing.assert_close(x.detach(), params, rtol=1e-9, atol=1e-12)
        calls = len(seen) - before
        if name != "MultiplicativeLS":  # stops early, which a batch does not
            assert calls == 1 + state.evaluations.item()
    along = [backward for backward, _ in seen[1:before]]
    assert any(along) or name not in BRACKETING


@pytest.mark.parametrize("name", sorted(SEARCHES))
@pytest.mark.parametrize("fails_at", [2, 3])
def test_a_closure_that_raises_leaves_the_parameters_and_the_optimizer_usable(name: str, fails_at: int) -> None:
    x = f64(-1.2, 1.0).requires_grad_()
    opt = tz.Modular([x], SEARCHES[name]())
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise KeyError("out of data")
        return rosenbrock(x)

    with pytest.raises(KeyError, match="out of data"):
        opt.step(closure_of(x, opt, f, []))
    assert torch.equal(x.detach(), f64(-1.2, 1.0))
    opt.step(closure_of(x, opt, rosenbrock, []))
    assert torch.isfinite(x).all()


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tz.m.StrongWolfe(c1=0.5, c2=0.1), r"StrongWolfe\(c1=0.5\): must be below c2=0.1"),
        (lambda: tz.m.StrongWolfe(c2=1.5), r"StrongWolfe\(c2=1.5\): must lie in \(0, 1\)"),
        (lambda: tz.m.StrongWolfe(interpolation="linear"), r"StrongWolfe\(interpolation='linear'\): must be one of"),
        (lambda: tz.m.StrongWolfe(a_init="zero"), r"StrongWolfe\(a_init='zero'\): must be one of"),
        (lambda: tz.m.HagerZhangLineSearch(delta=0.4, sigma=0.1), r"delta=0.4\): must be at most sigma=0.1"),
        (lambda: tz.m.Backtracking(beta=1.0), r"Backtracking\(beta=1.0\): must lie in \(0, 1\)"),
        (lambda: tz.m.Backtracking(init=0), r"Backtracking\(initial=0\): must lie in \(0, inf\)"),
        (lambda: tz.m.Backtracking(condition="wolfe"), r"Backtracking\(condition='wolfe'\): must be one of"),
        (lambda: tz.m.GridLS([]), r"GridLS\(lrs=\[\]\): must be finite numbers, at least one"),
        (lambda: tz.m.GridLS([1.0, math.inf]), "must be finite numbers"),
        (lambda: tz.m.ArangeLS(1.0, 0.5), r"ArangeLS\(end=0.5\): must be above start=1.0"),
        (lambda: tz.m.GridLineSearch(0, 1, 0), r"GridLineSearch\(num=0\)"),
        (lambda: tz.m.ScipyMinimizeScalar("newton"), r"ScipyMinimizeScalar\(method='newton'\): must be one of"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], tz.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_that_differ_between_parameters_are_refused() -> None:
    params = {"a": f64(1.0), "b": f64(2.0)}
    search = tz.m.Backtracking(beta={"a": 0.5, "b": 0.25})
    with pytest.raises(ValueError, match=r"Backtracking\(beta=.*must be one number"):
        search(params, search.init(params), lambda p: (p["a"] ** 2).sum() + (p["b"] ** 2).sum())


def test_without_an_objective_it_is_said_what_to_give() -> None:
    search, x = tz.m.Backtracking(), f64(1.0)
    with pytest.raises(RuntimeError, match="Backtracking: must evaluate the objective, and there is none"):
        search(x, search.init(x), grad=x, loss=x.sum())


def test_a_search_of_ones_own_needs_no_more_than_search() -> None:
    with pytest.raises(TypeError, match=r"LineSearch must implement search\(line, memory\)"):
        tz.m.LineSearch()(f64(1.0), tz.m.LineSearch().init(f64(1.0)), lambda x: (x**2).sum())


def test_scale_first_begins_with_a_step_of_length_one_in_the_1_norm() -> None:
    x = torch.tensor([300.0, -100.0], dtype=torch.float64)
    seen: list[torch.Tensor] = []

    def f(x: torch.Tensor) -> torch.Tensor:
        return (x**2).sum()

    class Watched(tz.FunctionObjective):
        def value_and_grad(self, params: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen.append(params.detach().clone())
            return super().value_and_grad(params)

    for mode in ("fixed", "first-order"):
        seen.clear()
        search = tz.m.StrongWolfe(a_init=mode, scale_first=True)
        search(x, search.init(x), Watched(f))
        torch.testing.assert_close((seen[1] - x).abs().sum(), torch.tensor(1.0, dtype=torch.float64))
    short = torch.tensor([0.1, 0.2], dtype=torch.float64)  # gradient (0.2, 0.4): not lengthened
    seen.clear()
    search = tz.m.StrongWolfe(scale_first=True)
    search(short, search.init(short), Watched(f))
    torch.testing.assert_close(seen[1], -short)
