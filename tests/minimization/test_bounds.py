"""tz.minimize(bounds=...): feasible at every trial, the KKT conditions, SciPy's L-BFGS-B, batches and derivatives."""

import itertools
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from tests.problems.bounded import PROBLEMS, box, projected_gradient
from tests.problems.more_garbow_hillstrom import Problem
from torchzero.minimization import implicit
from torchzero.minimization.methods import WITH_BOUNDS

INF = float("inf")
CHAINS: dict[str, Callable[[], Any]] = {
    **{name: lambda name=name: name for name in WITH_BOUNDS},
    "backtracking": lambda: [tz.m.LBFGSB(history_size=3), tz.m.Backtracking()],
    "growing": lambda: [tz.m.LBFGSB(), tz.m.AdaptiveBacktracking()],
    "hager-zhang": lambda: [tz.m.LBFGSB(), tz.m.HagerZhangLineSearch()],
    "momentum": lambda: [tz.m.HeavyBall(0.9), tz.m.LR(1e-4)],
}


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


class Guarded:
    """A function that is NaN outside a box and remembers having been there."""

    def __init__(self, fn: Callable[[Tensor], Tensor], lower: Tensor, upper: Tensor) -> None:
        self.fn, self.lower, self.upper = fn, lower, upper
        self.calls, self.outside = 0, 0

    def __call__(self, x: Tensor) -> Tensor:
        inside = ((x >= self.lower) & (x <= self.upper)).all()
        self.calls += 1
        self.outside += int(~torch.func.debug_unwrap(inside, recurse=True))
        return torch.where(inside, self.fn(x), torch.nan)


@pytest.mark.parametrize("method", CHAINS)
def test_no_trial_is_outside(method: str) -> None:
    lower, upper = vector(-1.5, -3.0, -2.0, 0.1), vector(0.8, 3.0, INF, 0.15)
    f = Guarded(rosenbrock, lower, upper)
    result = tz.minimize(f, vector(-5.0, 1.0, 1.0, 9.0), CHAINS[method](), bounds=(lower, upper), max_iterations=60)
    assert f.outside == 0
    assert ((result.x >= lower) & (result.x <= upper)).all()
    start = torch.minimum(torch.maximum(vector(-5.0, 1.0, 1.0, 9.0), lower), upper)
    assert result.value < rosenbrock(start)
    assert result.value == rosenbrock(result.x)


def quadratic(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """½xᵀAx - bᵀx, convex, between bounds of which some are infinite and one pair is equal; and a start."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    A = rng.normal(size=(n, n))
    lower = np.where(rng.random(n) < 0.2, -np.inf, -rng.uniform(0, 1, size=n))
    upper = np.where(rng.random(n) < 0.2, np.inf, rng.uniform(0, 1, size=n))
    if rng.random() < 0.3:
        upper[0] = lower[0] = 0.25
    arrays = A @ A.T + 0.5 * np.eye(n), 2 * rng.normal(size=n), lower, upper, 2 * rng.normal(size=n)
    A_, b, lb, ub, x = (torch.from_numpy(a) for a in arrays)
    return A_, b, lb, ub, x


def by_enumeration(A: Tensor, b: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """The minimiser: the only one of all choices of active bounds that satisfies the KKT conditions."""
    n = len(b)
    for choice in itertools.product((0, -1, 1), repeat=n):
        state = torch.tensor(choice)
        x = torch.where(state < 0, lower, torch.where(state > 0, upper, torch.zeros_like(b)))
        if not torch.isfinite(x).all():
            continue
        free = state == 0
        x[free] = torch.linalg.solve(A[free][:, free], (b - A @ x)[free])
        g = A @ x - b
        signs = (g[state < 0] >= 0).all() & (g[(state > 0) & (upper > lower)] <= 0).all()
        if signs and ((x >= lower) & (x <= upper)).all():
            return x
    raise AssertionError("no choice fits")


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), method=st.sampled_from(["lbfgsb", "gd"]))
def test_convex_quadratics_end_where_the_kkt_conditions_hold(seed: int, method: str) -> None:
    A, b, lower, upper, x0 = quadratic(seed)
    result = tz.minimize(lambda x: 0.5 * x @ A @ x - b @ x, x0, method, bounds=(lower, upper), tol=1e-6)
    assert result.success, result.message
    torch.testing.assert_close(result.x, by_enumeration(A, b, lower, upper), rtol=0, atol=1e-5)


def scipy_run(problem: Problem, tol: float) -> tuple[float, int]:
    lower, upper = box(problem)
    calls, reached = 0, None

    def both(z: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal calls
        calls += 1
        slope, value = torch.func.grad_and_value(problem.value)(torch.from_numpy(z.copy()))
        return float(value), slope.numpy()

    def look(z: np.ndarray) -> None:
        nonlocal reached
        if reached is None and projected_gradient(problem, torch.from_numpy(z.copy())) <= tol:
            reached = calls

    found = scipy.optimize.minimize(
        both, problem.x0.numpy(), jac=True, method="L-BFGS-B", callback=look,
        bounds=scipy.optimize.Bounds(lower.numpy(), upper.numpy()), options={"gtol": tol / 2, "ftol": 0},
    )  # fmt: skip
    return float(found.fun), reached or calls


SOLVED = ["rosenbrock", "freudenstein_roth", "beale", "helical_valley", "bard", "wood", "brown_dennis", "biggs_exp6",
          "extended_rosenbrock", "penalty_1_10", "linear_full_rank", "broyden_banded"]  # fmt: skip


def test_published_problems_in_boxes_end_where_scipy_ends_with_as_many_evaluations() -> None:
    ratios = []
    for problem in [p for p in PROBLEMS if p.name in SOLVED]:
        lower, upper = box(problem)
        f = Guarded(problem.value, lower, upper)
        low, calls = scipy_run(problem, 1e-5)
        result = tz.minimize(f, problem.x0, bounds=(lower, upper), tol=1e-5, differentiate=None)
        assert result.success, (problem.name, result.message)
        assert f.outside == 0
        assert f.calls == result.evaluations
        assert result.value <= low + 1e-7 * max(1.0, low), problem.name
        assert result.grad_norm <= 1e-5
        assert float(result.grad_norm) == pytest.approx(projected_gradient(problem, result.x))
        ratios.append(int(result.evaluations) / calls)
    assert len(ratios) == len(SOLVED)
    assert statistics.median(ratios) <= 1.25


def test_a_start_at_the_solution_takes_no_step() -> None:
    result = tz.minimize(lambda x: x[0] - x[1], vector(-3.0, 7.0), bounds=(1.0, 2.0))
    assert result.success
    assert result.iterations == 0
    assert result.evaluations == 1
    assert result.x.tolist() == [1.0, 2.0]


PARAMS = {"a": torch.zeros(2), "b": {"c": torch.zeros(()), "d": torch.zeros(3)}}
PULL = {"a": torch.tensor([-9.0, 9.0]), "b": {"c": torch.tensor(9.0), "d": torch.tensor([9.0, -9.0, 9.0])}}


@pytest.mark.parametrize(
    ("bounds", "ends"),
    [
        ((-1, 2), [-1, 2, 2, 2, -1, 2]),
        ((None, {"a": 1.0, "b": 0.5}), [-9, 1, 0.5, 0.5, -9, 0.5]),
        (({"a": torch.tensor([-2.0, 0.0]), "b": {"c": None, "d": -3.0}}, None), [-2, 9, 9, 9, -3, 9]),
        ([{"a": -1, "b": None}, {"a": torch.tensor(4.0), "b": {"c": INF, "d": torch.tensor([3, 2, 1])}}],
         [-1, 4, 9, 3, -9, 1]),
    ],
)  # fmt: skip
def test_bounds_are_numbers_tensors_and_trees(bounds: Any, ends: list[float]) -> None:
    def f(p: Any) -> Tensor:
        return sum((((x - y) ** 2).sum() for x, y in zip(leaves(p), leaves(PULL), strict=True)), torch.zeros(()))

    def leaves(p: Any) -> list[Tensor]:
        return [p["a"], p["b"]["c"], p["b"]["d"]]

    result = tz.minimize(f, PARAMS, bounds=bounds)
    assert result.success, result.message
    got = torch.cat([x.reshape(-1) for x in leaves(result.x)])
    torch.testing.assert_close(got, torch.tensor(ends, dtype=torch.float32), rtol=0, atol=1e-4)
    assert all(not x.any() for x in leaves(PARAMS))


def test_bounds_of_a_vector_may_be_pairs_as_in_scipy() -> None:
    pairs = [(0, None), (None, -1.0), (-INF, INF)]
    result = tz.minimize(lambda x: ((x - vector(-1.0, 1.0, 5.0)) ** 2).sum(), torch.zeros(3).double(), bounds=pairs)
    torch.testing.assert_close(result.x, vector(0.0, -1.0, 5.0))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bounds": (1.0, 0.0)}, ValueError, r"minimize\(bounds=...\): the lower bound exceeds the upper one at 'x'"),
        ({"bounds": ({"y": 0.0}, None)}, ValueError, r"the lower bounds must have the structure of x0"),
        ({"bounds": (None, [1.0, 2.0])}, ValueError, r"the upper bounds must have the structure of x0"),
        ({"bounds": (None, torch.zeros(3))}, ValueError, r"the upper bound at 'x' has the shape \(3,\), and x0 \(2,\)"),
        ({"bounds": 1.0}, TypeError, r"minimize\(bounds=1.0\): must be a pair; give \(lower, upper\)"),
        ({"bounds": (0.0, 1.0, 2.0)}, TypeError, r"must be a pair"),
        ({"bounds": ("0", 1)}, TypeError, r"the lower bound at 'x' is '0', a str"),
        ({"bounds": (True, 1)}, TypeError, r"the lower bound at 'x' is True, a bool"),
        ({"bounds": (float("nan"), 1)}, ValueError, r"must be a number below inf"),
        ({"bounds": (INF, INF)}, ValueError, r"must be a number below inf"),
        ({"x0": torch.zeros(2), "bounds": [(0, 1)]}, ValueError, r"one for each element of a vector x0; got 1"),
        ({"x0": torch.zeros(2), "bounds": ([0, 0], [1, 1])}, ValueError, r"the lower bounds must have the structure"),
        ({"bounds": (0, 1), "method": "bfgs"}, ValueError,
         r"method='bfgs', bounds=...\): does not support bounds; use one of lbfgsb, lbfgs, gd, adam"),
        ({"bounds": (0, 1), "method": "lm"}, ValueError, r"does not support bounds; use one of lbfgsb"),
        ({"bounds": (0, 1), "method": [tz.m.BFGS(), tz.m.Backtracking()]}, ValueError,
         r"does not support bounds; use one of lbfgsb, .* a chain with LBFGSB"),
        ({"method": [tz.m.LBFGSB(lb=0.0), tz.m.StrongWolfe()]}, ValueError, r"has bounds of its own"),
    ],
)  # fmt: skip
def test_bad_bounds_are_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    x0 = options.pop("x0", {"x": torch.zeros(2)})
    with pytest.raises(error, match=message):
        tz.minimize(lambda p: (p["x"] ** 2).sum() if isinstance(p, dict) else (p**2).sum(), x0, **options)


def test_batched_over_starts_bounds_and_data_is_looped() -> None:
    rng = np.random.default_rng(3)
    starts, data = (torch.from_numpy(rng.normal(size=(5, 3))) for _ in range(2))
    lower = torch.from_numpy(rng.uniform(-1, 0, size=(5, 3)))

    def run(x0: Tensor, a: Tensor, low: Tensor) -> Any:
        r = tz.minimize(lambda x: rosenbrock(x - a) + (x**4).sum(), x0, bounds=(low, low + 1), tol=1e-8)
        return r.x, r.iterations, r.evaluations, r.status

    batched = torch.vmap(run)(starts, data, lower)
    looped = [run(*one) for one in zip(starts, data, lower, strict=True)]
    torch.testing.assert_close(batched[0], torch.stack([x for x, *_ in looped]), rtol=0, atol=1e-9)
    for i in (1, 2, 3):
        assert batched[i].tolist() == [int(one[i]) for one in looped]
    assert len(set(batched[1].tolist())) > 1
    with pytest.raises(ValueError, match="the lower bound exceeds"):
        torch.vmap(lambda low: tz.minimize(rosenbrock, torch.zeros(3).double(), bounds=(low, 0.0)).x)(lower + 0.8)


A = torch.from_numpy(np.random.default_rng(5).normal(size=(6, 6)))


def coupled(x: Tensor, a: Tensor) -> Tensor:
    return 0.5 * x @ (A @ A.T + torch.eye(6)) @ x - a @ x + 0.1 * (x**4).sum() + (a[0] * x.sum()) ** 2


def solve(a: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    return tz.minimize(lambda x: coupled(x, a), torch.zeros(6).double(), bounds=(lower, upper), tol=1e-11).x


def sensitivity(a: Tensor, lower: Tensor, upper: Tensor) -> list[Tensor]:
    """∂x/∂(a, lower, upper) by the reduced Hessian."""
    x = solve(a, lower, upper)
    low, high = x == lower, x == upper
    free = ~(low | high)
    assert low.any()
    assert high.any()
    assert free.sum() >= 2
    H = torch.func.hessian(coupled)(x, a)
    C = torch.func.jacrev(torch.func.grad(coupled), argnums=1)(x, a)
    out = [torch.zeros(6, 6).double(), torch.diag(low.double()), torch.diag(high.double())]
    out[0][free] = -torch.linalg.solve(H[free][:, free], C[free])
    for J in out[1:]:
        J[free] = -torch.linalg.solve(H[free][:, free], H[free] @ J)
    return out


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own, for jvp
@pytest.mark.parametrize("dense", [512, 0])
def test_active_bounds_hold_their_elements_and_the_reduced_hessian_moves_the_others(
    dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(implicit, "DENSE", dense)
    args = vector(3.0, -2.0, 1.0, 2.5, -1.0, 0.5), torch.full((6,), -0.3).double(), torch.full((6,), 0.4).double()
    exact = tuple(sensitivity(*args))

    def check(got: Any, tol: float = 1e-12) -> None:
        torch.testing.assert_close(got, exact, rtol=0, atol=tol)

    check(torch.func.jacrev(solve, argnums=(0, 1, 2))(*args))
    check(tuple(torch.func.jacfwd(solve, argnums=k)(*args) for k in range(3)))
    leaves = [x.clone().requires_grad_() for x in args]
    solve(*leaves).sum().backward()
    torch.testing.assert_close([x.grad for x in leaves], [J.sum(0) for J in exact], rtol=0, atol=1e-12)
    batch = [torch.stack([x, x]) for x in args]
    check(tuple(J[1] for J in torch.vmap(torch.func.jacrev(solve, argnums=(0, 1, 2)))(*batch)), 1e-9)
    check(tuple(J[1, :, 1] for J in torch.func.jacrev(torch.vmap(solve), argnums=(0, 1, 2))(*batch)), 1e-9)


def test_derivatives_in_a_box_are_those_of_finite_differences() -> None:
    args = vector(3.0, -2.0, 1.0, 2.5, -1.0, 0.5), torch.full((6,), -0.3).double(), torch.full((6,), 0.4).double()
    got = torch.func.jacrev(solve)(*args)
    h = 1e-3
    steps = [(solve(args[0] + h * e, *args[1:]) - solve(args[0] - h * e, *args[1:])) / (2 * h) for e in torch.eye(6)]
    torch.testing.assert_close(torch.stack(steps, -1), got, rtol=0, atol=1e-4)


def test_unrolled_steps_in_a_box_are_differentiated_too() -> None:
    def end(a: Tensor) -> Tensor:
        options: dict[str, Any] = {"bounds": (vector(-1.0, -1.0), vector(1.0, 0.5)), "differentiate": "unrolled"}
        return tz.minimize(lambda x: ((x - a) ** 2).sum() + (x**4).sum(), torch.zeros(2).double(), **options).x

    a = vector(0.7, 9.0)
    x = end(a)
    got = torch.func.jacrev(end)(a)
    torch.testing.assert_close(got, torch.diag(torch.stack([2 / (2 + 12 * x[0] ** 2), 0 * x[0]])), rtol=0, atol=1e-6)


def test_residuals_in_a_box_and_a_start_that_requires_a_gradient() -> None:
    x0 = vector(-1.2, 1.0).requires_grad_()
    result = tz.minimize(lambda x: torch.stack([1 - x[0], 10 * (x[1] - x[0] ** 2)]), x0, bounds=(None, 0.5))
    assert result.success, result.message
    torch.testing.assert_close(result.x, vector(0.5, 0.25), rtol=0, atol=1e-6)
    assert x0.tolist() == [-1.2, 1.0]
    assert x0.grad is None
    assert not result.x.requires_grad


def test_single_precision() -> None:
    result = tz.minimize(rosenbrock, torch.full((10,), -1.0), bounds=(-1.0, 0.5))
    assert result.success, result.message
    assert result.x.dtype == torch.float32
    assert result.x.max() <= 0.5
