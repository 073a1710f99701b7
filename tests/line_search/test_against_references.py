"""Each search against a plain program for the same rule, with drawn settings, over several steps."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.optim.lbfgs import _strong_wolfe

import torchzero as tz
from tests.line_search import reference
from tests.line_search.problems import FAMILIES, Line, lines

seeds = st.integers(0, 2**20)
families = st.sampled_from(FAMILIES)


class Bumpy:
    """A function of three numbers with several minima, in NumPy and in torch; not finite where x_0 > limit."""

    def __init__(self, seed: int, limit: float) -> None:
        rng = np.random.default_rng(seed)
        self.A = rng.normal(size=(3, 3))
        self.w = rng.uniform(0.5, 3, 3)
        self.height = rng.uniform(0, 2)
        self.limit = limit
        self.start = rng.normal(size=3)
        self.metric = 10 ** rng.uniform(-2, 1, 3)

    def value(self, x: np.ndarray) -> float:
        if x[0] > self.limit:
            return np.nan
        return float(0.5 * np.sum((self.A @ x) ** 2) + self.height * np.sum(np.cos(self.w * x)))

    def grad(self, x: np.ndarray) -> np.ndarray:
        return self.A.T @ (self.A @ x) - self.height * self.w * np.sin(self.w * x)

    def torch(self, x: Tensor) -> Tensor:
        A, w = torch.from_numpy(self.A), torch.from_numpy(self.w)
        f = 0.5 * ((A @ x) ** 2).sum() + self.height * torch.cos(w * x).sum()
        return torch.where(x[0] > self.limit, torch.nan, f)


functions = st.builds(Bumpy, seeds, st.sampled_from([np.inf, 1.0, 2.0]))


def agree(search: tz.Module, plain: Callable[..., float], f: Bumpy, steps: int = 6) -> None:
    """Run both for some steps, along a scaled gradient whose length varies."""
    metric = torch.from_numpy(f.metric)
    x = f.start.copy()
    x[0] = min(x[0], 0.9 * f.limit)
    params = torch.from_numpy(x.copy())
    state = search.init(params)
    for k in range(steps):
        u = f.metric * f.grad(x) * (1.0, 30.0, 0.03)[k % 3]
        mine = torch.from_numpy(f.grad(params.numpy())) * metric * (1.0, 30.0, 0.03)[k % 3]
        phi, seen = reference.counted(lambda a, x=x, u=u: f.value(x - a * u))
        try:
            a = plain(phi, f.value(x), -float(f.grad(x) @ u))
        except reference.DoubtfulError:
            return
        state, var = search.step(state, tz.Var(params, objective=f.torch, update=mine))
        assert state.a.item() == pytest.approx(a, rel=1e-6, abs=1e-300), f"step {k}"
        assert state.evaluations.item() == len(seen), f"step {k}"
        assert state.success.item() == (a != 0)
        x, params = x - a * u, tz.apply_update(var)
        assert state.f.item() == pytest.approx(f.value(x), rel=1e-6)


inits = st.sampled_from([0.01, 0.3, 1.0, 5.0])
betas = st.floats(0.1, 0.8)
cs = st.sampled_from([0.0, 1e-4, 0.1, 0.3])
conditions = st.sampled_from(["armijo", "goldstein", "decrease"])


@given(f=functions, init=inits, beta=betas, c=cs, condition=conditions, maxiter=st.integers(1, 8))
@settings(max_examples=40)
def test_backtracking(f: Bumpy, **hypers: Any) -> None:
    agree(tz.m.Backtracking(**hypers), reference.Backtracking(**hypers), f)


@given(
    f=functions,
    init=inits,
    beta=betas,
    c=cs,
    condition=conditions,
    maxiter=st.integers(1, 8),
    target_iters=st.integers(0, 3),
    nplus=st.floats(1, 4),
    scale_beta=st.floats(0, 0.9),
)
@settings(max_examples=40)
def test_adaptive_backtracking(f: Bumpy, **hypers: Any) -> None:
    agree(tz.m.AdaptiveBacktracking(**hypers), reference.AdaptiveBacktracking(**hypers), f)


@given(f=functions, init=inits, nplus=st.floats(1.2, 4), nminus=betas, maxiter=st.integers(1, 8))
@settings(max_examples=40)
def test_adaptive_bisection(f: Bumpy, **hypers: Any) -> None:
    agree(tz.m.AdaptiveBisection(**hypers), reference.AdaptiveBisection(**hypers), f)


@given(f=functions, alpha=inits, mul=betas, beta=cs, max_iter=st.integers(1, 8))
@settings(max_examples=40)
def test_armijo(f: Bumpy, **hypers: Any) -> None:
    agree(tz.m.ArmijoLS(**hypers), reference.ArmijoLS(**hypers), f)


def searched(search: tz.Module, line: Line) -> Any:
    """The state after one search."""
    return search.update(search.init(line.x), tz.Var(line.x, objective=line.objective, update=line.u))


@given(
    family=families,
    seed=seeds,
    first=inits,
    delta=st.sampled_from([1e-4, 0.1, 0.4]),
    sigma=st.sampled_from([0.4, 0.5, 0.9]),
    epsilon=st.sampled_from([0.0, 1e-6, 0.1]),
    theta=st.floats(0.2, 0.8),
    gamma=st.floats(0.3, 0.8),
    rho=st.floats(1.5, 8),
)
@settings(max_examples=40)
def test_hager_zhang(family: str, seed: int, first: float, **hypers: float) -> None:
    """Trial for trial as in the paper."""
    for line in lines(family, 4, seed):
        plain = reference.HagerZhang(line.value, line.slope, first, **hypers)
        try:
            a = plain.run()
        except reference.DoubtfulError:
            continue
        state = searched(tz.m.HagerZhangLineSearch(**hypers, init_value=first), line)
        assert state.a.item() == pytest.approx(a, rel=1e-7)
        assert state.success.item() == (a != 0)
        assert state.evaluations.item() == len(plain.trials)


@pytest.mark.parametrize("first", [0.01, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("c2", [0.01, 0.1, 0.9])
def test_strong_wolfe_is_that_of_torch(c2: float, first: float) -> None:
    """Trial for trial, wherever torch's search ends with a step that satisfies the conditions.

    Up to a few cases in which rounding decides: torch interpolates with the same formula in another order.
    """
    compared = differ = 0
    for line in [x for family in FAMILIES for x in lines(family, 10, 7)]:

        def evaluate(x: Tensor, a: Any, d: Tensor, line: Line = line) -> Any:
            return line.value(float(a)), torch.tensor([-line.slope(float(a)) / line.u.item()], dtype=torch.float64)

        f0, slope0 = line.value(0.0), torch.tensor(line.slope(0.0), dtype=torch.float64)
        _, grad0 = evaluate(line.x, 0.0, line.u)
        d = -line.u.reshape(1)
        f, _, a, calls = _strong_wolfe(
            evaluate, line.x, first, d, f0, grad0, slope0, c1=1e-4, c2=c2, tolerance_change=0.0, max_ls=25
        )
        a = float(a)
        if calls > 10 or f > f0 + 1e-4 * a * slope0 or abs(line.slope(a)) > -c2 * slope0:
            continue
        state = searched(tz.m.StrongWolfe(c2=c2, init_value=first), line)
        same = state.a.item() == pytest.approx(a, rel=1e-6) and state.evaluations.item() == calls
        compared, differ = compared + 1, differ + (not same)
        assert state.success.item()
    assert compared >= 50
    assert differ <= 1


GRIDS: dict[str, tuple[Callable[..., tz.Module], Callable[..., Any]]] = {
    "GridLS": (tz.m.GridLS, lambda k: k["lrs"]),
    "LinspaceLS": (tz.m.LinspaceLS, lambda k: np.linspace(k["start"], k["end"], k["steps"])),
    "ArangeLS": (tz.m.ArangeLS, lambda k: np.arange(k["start"], k["end"], k["step"])),
    "MultiplicativeLS": (tz.m.MultiplicativeLS, lambda k: k["init"] * k["mul"] ** np.arange(k["num"])),
    "BacktrackingLS": (tz.m.BacktrackingLS, lambda k: k["init"] * k["mul"] ** np.arange(k["num"])),
    "GridLineSearch": (tz.m.GridLineSearch, lambda k: np.linspace(k["start"], k["end"], k["num"])),
}


class OneByOne(tz.Objective):
    """A function of which nobody knows that it could be vmapped."""

    def __init__(self, fn: Callable[[Any], Tensor]) -> None:
        self.inner, self.calls = tz.FunctionObjective(fn), 0

    def value(self, params: Any) -> Tensor:
        self.calls += 1
        return self.inner.value(params)

    def value_and_grad(self, params: Any) -> tuple[Tensor, Any]:
        return self.inner.value_and_grad(params)


@pytest.mark.parametrize("name", sorted(GRIDS))
@given(
    f=functions,
    start=st.floats(-0.5, 0.5),
    span=st.floats(0.1, 3),
    num=st.integers(1, 12),
    mul=st.floats(0.3, 2),
    improved=st.booleans(),
    worsened=st.booleans(),
)
@settings(max_examples=25)
def test_grids(
    name: str, f: Bumpy, start: float, span: float, num: int, mul: float, improved: bool, worsened: bool
) -> None:
    """The lowest of what a loop with two early exits sees; at once or one by one."""
    make, grid = GRIDS[name]
    accepted = inspect.signature(make).parameters
    given_ = {
        "lrs": tuple(np.random.default_rng(num).normal(size=num).tolist()),
        "start": start,
        "end": start + span,
        "steps": num,
        "step": span / num,
        "num": num,
        "init": span,
        "mul": mul,
        "stop_on_improvement": improved,
        "stop_on_worsened": worsened,
    }
    hypers = {k: v for k, v in given_.items() if k in accepted}
    x = f.start.copy()
    x[0] = min(x[0], 0.9 * f.limit)
    u = f.metric * f.grad(x)
    best, lowest, calls = 0.0, np.inf, 0
    for a in grid(hypers):
        value = f.value(x - a * u)
        try:
            reference.below(value, lowest), reference.below(value, f.value(x))
        except reference.DoubtfulError:
            return
        value = value if np.isfinite(value) else np.inf
        calls += 1
        stop = ("stop_on_improvement" in hypers and improved and value < f.value(x)) or (
            "stop_on_worsened" in hypers and worsened and value > lowest
        )
        if value < lowest:
            best, lowest = a, value
        if stop:
            break
    search, params = make(**hypers), torch.from_numpy(x)
    one_by_one = OneByOne(f.torch)
    for objective in (f.torch, one_by_one):
        var = tz.Var(params, objective=objective, update=torch.from_numpy(u), loss=f.torch(params))
        state = search.update(search.init(params), var)
        assert state.a.item() == pytest.approx(best, rel=1e-12)
        assert state.success.item() == np.isfinite(lowest)
    assert one_by_one.calls == calls == state.evaluations.item()


@given(f=functions, alpha=st.floats(0.05, 2), max_dist=st.sampled_from([0.5, 3.0, 1e5]), validate_step=st.booleans())
@settings(max_examples=40)
@pytest.mark.parametrize("points", [2, 3])
def test_directional_newton(points: int, f: Bumpy, alpha: float, max_dist: float, validate_step: bool) -> None:
    """The parabola by polynomial fits."""
    x = f.start.copy()
    x[0] = min(x[0], 0.9 * f.limit)
    u = f.metric * f.grad(x)

    def phi(a: float) -> float:
        return f.value(x - a * u)

    slope0 = -float(f.grad(x) @ u)
    if points == 2:
        trial, c2 = alpha, np.linalg.solve([[alpha**2]], [phi(alpha) - phi(0) - slope0 * alpha])[0]
        c1 = slope0
        cls = tz.m.DirectionalNewton
    else:
        values = [phi(0), phi(alpha), phi(2 * alpha)]
        trial = alpha if values[1] <= values[2] or np.isnan(values[2]) else 2 * alpha
        c2, c1, _ = np.polyfit([0, alpha, 2 * alpha], values, 2) if np.isfinite(values).all() else (np.nan,) * 3
        cls = tz.m.DirectionalNewton3Points
    a = trial
    if c2 > 1e-12 and c1 != 0 and abs(c1 / (2 * c2)) <= max_dist:
        newton = -c1 / (2 * c2)
        if not validate_step or phi(newton) <= phi(trial):
            a = newton
    if not np.isfinite(phi(trial)):
        a = 0.0
    search, params = cls(max_dist, validate_step, alpha), torch.from_numpy(x)
    state = search.update(search.init(params), tz.Var(params, objective=f.torch, update=torch.from_numpy(u)))
    assert state.a.item() == pytest.approx(a, rel=1e-5)


@given(
    family=st.sampled_from(["quadratic", "quartic", "log_cosh"]),
    seed=seeds,
    method=st.sampled_from([None, "brent", "golden"]),
)
@settings(max_examples=15)
def test_scipy(family: str, seed: int, method: str | None) -> None:
    """What scipy finds on a plain function."""
    from scipy.optimize import minimize_scalar

    (line,) = lines(family, 1, seed)
    phi, seen = reference.counted(line.value)
    theirs = minimize_scalar(phi, method=method, options={"maxiter": 30})
    state = searched(tz.m.ScipyMinimizeScalar(method, maxiter=30), line)
    expected = theirs.x if np.isfinite(theirs.fun) and theirs.fun <= line.value(0.0) else 0.0
    assert state.a.item() == pytest.approx(expected, rel=1e-9)
    assert state.evaluations.item() == len(seen)
