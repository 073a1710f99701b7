"""tz.minimize: results, budgets, batches and derivatives."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import torchzero as tz
from torchzero.minimization import METHODS
from torchzero.minimization.implicit import DENSE

SLOW = {"gd", "adam"}  # not expected to solve a curved valley in the default budget
BY_VALUES = {"nelder-mead", "cmaes", "xnes", "snes", "pgpe"}  # in test_by_values.py
FOR_RESIDUALS = {"lm"}


def rosenbrock(p: Any) -> Tensor:
    return (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2


def start() -> dict[str, Tensor]:
    return {"x": torch.tensor(-1.2, dtype=torch.float64), "y": torch.tensor(1.0, dtype=torch.float64)}


@pytest.mark.parametrize("method", [m for m in METHODS if m not in SLOW | FOR_RESIDUALS | BY_VALUES])
def test_a_curved_valley_is_solved(method: str) -> None:
    x0 = start()
    before = {k: v.clone() for k, v in x0.items()}
    result = tz.minimize(rosenbrock, x0, method)
    assert result.success, result.message
    torch.testing.assert_close(result.x["x"], torch.tensor(1.0, dtype=torch.float64), rtol=0, atol=1e-6)
    assert result.value < 1e-12
    assert result.grad_norm < 1e-9
    assert result.evaluations > result.iterations
    assert all(torch.equal(before[k], x0[k]) for k in x0)


@pytest.mark.parametrize("method", sorted(SLOW))
def test_slow_methods_go_down_and_say_why_they_ended(method: str) -> None:
    result = tz.minimize(rosenbrock, start(), method, max_iterations=50)
    assert result.value < rosenbrock(start())
    assert "iterations" in result.message or "stalled" in result.message


def test_evaluations_are_on_a_par_with_scipy() -> None:
    calls = 0

    def counted(z: Any) -> tuple[float, Any]:
        nonlocal calls
        calls += 1
        x, y = z
        grad = [-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)]
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2, np.array(grad)

    scipy.optimize.minimize(counted, [-1.2, 1.0], jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 0})
    assert tz.minimize(rosenbrock, start(), "lbfgs", tol=1e-10).evaluations <= 1.5 * calls


def test_every_evaluation_is_counted() -> None:
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return ((x - 1) ** 2).sum() + (x**4).sum()

    result = tz.minimize(f, torch.zeros(3, dtype=torch.float64), "lbfgs", differentiate=None)
    assert result.evaluations == calls


def quartic(a: Tensor) -> Any:
    return lambda x: ((x - a) ** 2).sum() + (x**4).sum()


def solve(a: Tensor, **options: Any) -> Tensor:
    return tz.minimize(quartic(a), torch.zeros(3, dtype=torch.float64), **options).x


def data() -> Tensor:
    return torch.linspace(-2, 3, 15, dtype=torch.float64).reshape(5, 3)


def test_batched_is_looped_and_lanes_stop_on_their_own() -> None:
    def run(a: Tensor) -> Any:
        r = tz.minimize(quartic(a), torch.zeros(3, dtype=torch.float64))
        return r.x, r.iterations, r.evaluations, r.status

    batched, looped = torch.vmap(run)(data()), [run(a) for a in data()]
    torch.testing.assert_close(batched[0], torch.stack([x for x, *_ in looped]), rtol=0, atol=1e-12)
    for i in (1, 2, 3):
        assert batched[i].tolist() == [int(one[i]) for one in looped]
    assert len(set(batched[1].tolist())) > 1


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own, for jvp
def test_the_implicit_derivative_is_exact_in_every_mode() -> None:
    a = data()[1]
    x = solve(a)
    exact = torch.diag(2 / (2 + 12 * x**2))
    torch.testing.assert_close(torch.func.jacrev(solve)(a), exact)
    torch.testing.assert_close(torch.func.jacfwd(solve)(a), exact)
    batched = torch.vmap(torch.func.jacrev(solve))(data())
    torch.testing.assert_close(batched[1], exact)
    leaf = a.clone().requires_grad_()
    solve(leaf).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, exact.sum(0))


def test_second_derivatives_are_exact_too() -> None:
    a = data()[1]
    x = solve(a)
    x1 = 2 / (2 + 12 * x**2)
    exact = torch.diag(2 * x1**2 - 2 * x * 24 * x * x1**3 / 2)  # of Σx², with x' = 2 / (2 + 12x²)

    def square(a: Tensor) -> Tensor:
        return (solve(a, tol=1e-12) ** 2).sum()

    torch.testing.assert_close(torch.func.jacrev(torch.func.grad(square))(a), exact, rtol=0, atol=1e-9)
    leaf = a.clone().requires_grad_()
    (slope,) = torch.autograd.grad(square(leaf), leaf, create_graph=True)
    torch.testing.assert_close(torch.autograd.grad(slope.sum(), leaf)[0], exact.sum(0), rtol=0, atol=1e-9)


def test_the_derivative_of_the_value_is_that_of_the_function_at_the_minimiser() -> None:
    a = data()[1]
    slope = torch.func.grad(lambda a: tz.minimize(quartic(a), torch.zeros(3, dtype=torch.float64), tol=1e-12).value)(a)
    torch.testing.assert_close(slope, -2 * (solve(a, tol=1e-12) - a), rtol=0, atol=1e-9)


def chained(x: Tensor, a: Tensor) -> Tensor:
    """Not separable, and with many elements."""
    return ((x - a) ** 2).sum() + 3 * ((x[1:] - x[:-1]) ** 2).sum() + 0.1 * (x**4).sum() + x.mean() ** 2


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own, for jvp
def test_many_elements_need_no_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    n = DENSE + 88
    rng = np.random.default_rng(0)
    a, v = (torch.from_numpy(rng.normal(size=n)) for _ in range(2))

    def refuse(*_: Any) -> Tensor:
        raise AssertionError("the Hessian was formed")

    def end(a: Tensor) -> Tensor:
        return tz.minimize(lambda x: chained(x, a), torch.zeros(n, dtype=torch.float64), tol=1e-7).x

    h = 1e-3
    numeric = (end(a + h * v) - end(a - h * v)) / (2 * h)
    H = torch.func.hessian(chained)(end(a), a)
    monkeypatch.setattr(tz.FunctionObjective, "hessian", refuse)
    forward = torch.func.jvp(end, (a,), (v,))[1]
    torch.testing.assert_close(forward, numeric, rtol=0, atol=1e-5)
    torch.testing.assert_close(forward, torch.linalg.solve(H, 2 * v), rtol=0, atol=1e-9)
    leaf = a.clone().requires_grad_()
    (v @ end(leaf)).backward()
    torch.testing.assert_close(leaf.grad, 2 * torch.linalg.solve(H, v), rtol=0, atol=1e-9)
    assert tz.minimize(lambda x: chained(x, a), torch.zeros(n, dtype=torch.float64)).x.requires_grad is False


def test_a_run_that_failed_has_derivatives_that_say_so() -> None:
    for n in (3, DENSE + 1):
        a = torch.ones(n, requires_grad=True)
        result = tz.minimize(lambda x, a=a: (x * a).sqrt().sum(), -torch.ones(n))
        assert "not finite" in result.message
        result.x.sum().backward()
        assert a.grad is not None


def test_unrolled_steps_are_differentiated_too() -> None:
    a = data()[1]
    got = torch.func.jacrev(lambda a: solve(a, method="newton", differentiate="unrolled"))(a)
    torch.testing.assert_close(got, torch.diag(2 / (2 + 12 * solve(a) ** 2)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", [None, "lm", "lbfgs"])
def test_residuals_are_least_squares(method: str | None) -> None:
    def residuals(p: Tensor) -> Tensor:
        return torch.stack([1 - p[0], 10 * (p[1] - p[0] ** 2)])

    result = tz.minimize(residuals, torch.tensor([-1.2, 1.0], dtype=torch.float64), method)
    assert result.success, result.message
    torch.testing.assert_close(result.x, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-6)


def test_budgets_and_failures_are_data() -> None:
    assert tz.minimize(rosenbrock, start(), max_iterations=3).message == "out of iterations"
    few = tz.minimize(rosenbrock, start(), max_evaluations=5)
    assert few.message == "out of evaluations"
    bad = tz.minimize(lambda x: (x - torch.nan).sum(), torch.zeros(2))
    assert bad.message.startswith("the loss or its gradient")
    done = tz.minimize(lambda x: (x**2).sum(), torch.zeros(2))
    assert done.success
    assert done.iterations == 0


def test_a_callback_sees_every_step_and_may_stop(capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[int] = []

    def look(result: Any) -> bool:
        seen.append(int(result.iterations))
        return len(seen) == 4

    result = tz.minimize(rosenbrock, start(), callback=look, progress=True)
    assert seen == [1, 2, 3, 4]
    assert result.iterations == 4
    assert "asked to stop" in result.message
    assert "gradient" in capfd.readouterr().err


def test_any_chain_is_a_method() -> None:
    chain = [tz.m.BFGS(), tz.m.Backtracking()]
    assert tz.minimize(rosenbrock, start(), chain).success


def test_the_start_is_never_touched_nor_handed_out() -> None:
    for differentiate in ("implicit", "unrolled", None):
        x0 = torch.ones(2, dtype=torch.float64)  # the minimum: no step is taken
        result = tz.minimize(lambda x: ((x - 1) ** 2).sum(), x0, differentiate=differentiate)
        assert result.iterations == 0
        assert result.x is not x0
        assert result.x.data_ptr() != x0.data_ptr()
    x0 = torch.zeros(2, requires_grad=True)
    result = tz.minimize(lambda x: ((x - 1) ** 2).sum(), x0)
    assert (x0.grad, x0._version, x0.tolist()) == (None, 0, [0.0, 0.0])
    assert not any(isinstance(x, Tensor) and x.requires_grad for x in result)
    x0 = torch.zeros(2, requires_grad=True)
    result = tz.minimize(lambda x: ((x - 1) ** 4).sum(), x0, "gd", max_iterations=2, differentiate="unrolled")
    (slope,) = torch.autograd.grad(result.x.sum(), x0)
    assert slope.abs().sum() > 0


def test_trees_keep_their_types_and_dtypes() -> None:
    class Point(NamedTuple):
        a: Tensor
        b: tuple[Tensor, dict[str, Tensor]]

    x0 = Point(torch.zeros(2, 3), (torch.zeros((), dtype=torch.float64), {"c": torch.zeros(0)}))
    result = tz.minimize(lambda p: ((p.a - 1) ** 2).sum() + (p.b[0] + 2) ** 2 + p.b[1]["c"].sum(), x0)
    assert result.success, result.message
    assert isinstance(result.x, Point)
    assert (result.x.a.dtype, result.x.b[0].dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(result.x.a, torch.ones(2, 3))
    assert result.x.b[1]["c"].shape == (0,)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in BY_VALUES])
def test_a_budget_of_one_and_a_start_that_is_not_finite(method: str) -> None:
    target = torch.tensor([1.0, 0.7])

    def f(x: Tensor) -> Tensor:
        return 2**0.5 * (x - target) ** 2 if method == "lm" else ((x - target) ** 4).sum()

    one = tz.minimize(f, torch.zeros(2), method, max_iterations=1)
    assert (one.iterations, one.message) == (1, "out of iterations")
    assert one.value < 2
    none = tz.minimize(f, torch.zeros(2), method, max_evaluations=1)
    assert (none.iterations, none.evaluations, none.message) == (0, 1, "out of evaluations")
    assert none.x.tolist() == [0.0, 0.0]
    bad = tz.minimize(f, torch.tensor([torch.nan, 0.0]), method)
    assert (bad.iterations, bad.message) == (0, "the loss or its gradient is not finite")


def test_finding_the_method_is_an_evaluation() -> None:
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return ((x - 1) ** 2).sum()

    assert tz.minimize(f, torch.zeros(2), differentiate=None).evaluations == calls


@pytest.mark.parametrize("wrap", [lambda f: f, tz.FunctionObjective])
def test_least_squares_of_one_number_is_refused(wrap: Any) -> None:
    with pytest.raises(ValueError, match=r'minimize\(method="lm"\): .* one number.*residuals.*"bfgs"'):
        tz.minimize(wrap(lambda x: ((x - 1) ** 2).sum()), torch.zeros(2), "lm")
    assert tz.minimize(wrap(lambda x: (x - 1).sum().reshape(1)), torch.zeros(2), "lm").success


def test_a_result_is_printed_without_the_state_of_the_method() -> None:
    result = tz.minimize(lambda x: ((x - 1) ** 2).sum(), torch.zeros(2), "lbfgs", tol=1e-3)
    text = repr(result)
    assert text.startswith("Result(x=tensor([1., 1.]), value=0, grad_norm=0, iterations=2, evaluations=3, ")
    assert text.endswith("message='converged: the gradient is below the tolerance')")
    batched = torch.vmap(lambda x: tz.minimize(lambda x: ((x - 1) ** 2).sum(), x))(torch.zeros(3, 2))
    assert "status=tensor([1, 1, 1])" in repr(batched)
    assert "state" not in repr(batched)
    inside: list[str] = []
    torch.vmap(lambda x: [r := tz.minimize(lambda x: (x**2).sum(), x), inside.append(repr(r))][0].x)(torch.ones(3, 2))
    assert inside[0].startswith("Result(x=")


@pytest.mark.parametrize("method", [None, "newton", "lm", "adam", "nelder-mead"])
def test_the_callback_sees_where_the_method_stands(method: str | None) -> None:
    """A step that is too long raises the loss: it is seen, and is not what is returned."""
    seen: list[Any] = []
    opt: Any = method or tz.m.LR(1.5)

    def f(x: Tensor) -> Tensor:
        return x if method == "lm" else 0.5 * (x**2).sum()

    result = tz.minimize(f, torch.ones(2), opt, max_iterations=4, callback=lambda r: seen.append(r))
    assert {r.message for r in seen[:-1]} <= {"still running"}
    if method is None:
        assert [r.x.tolist() for r in seen] == [[-0.5] * 2, [0.25] * 2, [-0.125] * 2, [0.0625] * 2]
    best = [float(r.value) for r in seen]
    assert float(result.value) == min(best)
    seen.clear()
    if method is None:
        result = tz.minimize(f, torch.ones(2), tz.m.LR(2.5), max_iterations=3, callback=seen.append)
        assert [float(r.value) for r in seen] == [2.25, 5.0625, 11.390625]
        assert (result.value, result.x.tolist()) == (1.0, [1.0, 1.0])


def test_a_loss_that_goes_to_minus_infinity_says_so() -> None:
    fall = tz.minimize(lambda x: -torch.exp(x).sum(), torch.zeros(2), [tz.m.LR(1.0)])
    assert fall.message == "unbounded: the loss has reached minus infinity"
    assert not fall.success
    line = tz.minimize(lambda x: x.sum(), torch.zeros(2), "lbfgs")
    assert "unbounded along the line" in line.message


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_minimise_is_minimised(method: str) -> None:
    result = tz.minimize(lambda x: 3 * x if method == "lm" else 3 + x.sum(), {"x": torch.zeros(0)}["x"], method)
    assert result.success, result.message
    assert result.iterations <= 1
    assert result.x.shape == (0,)
    assert result.value == (0 if method == "lm" else 3)


def test_a_value_of_nothing_depends_on_the_data_still() -> None:
    slope = torch.func.grad(lambda a: tz.minimize(lambda x: (a * x).sum() + a**2, torch.zeros(0)).value)
    assert slope(torch.tensor(2.0)) == 4.0


@pytest.mark.parametrize("method", ["newton", "newton-cg", "lm"])
def test_it_compiles_whole(method: str) -> None:
    """A matrix in another order of memory than the loop began with, and states without children."""

    def f(x: Tensor) -> Tensor:
        r = torch.cat([10 * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])
        return r if method == "lm" else 0.5 * (r**2).sum()

    def solve(x: Tensor) -> tuple[Tensor, Tensor]:
        found = tz.minimize(f, x, method, max_iterations=10, differentiate=None)
        return found.x, found.iterations

    x0 = torch.tensor([-1.2, 1.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(torch.compile(solve, fullgraph=True, backend="eager")(x0), solve(x0))


def test_messages_are_nested_as_the_batch_is() -> None:
    starts = torch.zeros(2, 3, 1)
    results = torch.vmap(torch.vmap(lambda x: tz.minimize(lambda x: ((x - 1) ** 2).sum(), x)))(starts)
    assert results.message == [["converged: the gradient is below the tolerance"] * 3] * 2


@pytest.mark.parametrize("options", [{"callback": print}, {"progress": True}])
def test_nobody_looks_on_under_vmap(options: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"minimize\(callback=..., progress=...\): cannot look on under vmap"):
        torch.vmap(lambda a: tz.minimize(quartic(a), torch.zeros(3, dtype=torch.float64), **options).x)(data())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "nope"}, ValueError, r"minimize\(method='nope'\): must be one of lbfgs"),
        ({"max_iterations": 0}, ValueError, r"minimize\(max_iterations=0\)"),
        ({"max_evaluations": 0}, ValueError, r"minimize\(max_evaluations=0\)"),
        ({"max_iterations": 1.5}, TypeError, r"minimize\(max_iterations=1.5\): must be an integer"),
        ({"max_iterations": None}, TypeError, r"minimize\(max_iterations=None\): must be an integer"),
        ({"tol": -1.0}, ValueError, r"minimize\(tol=-1.0\): must lie in \[0, inf\)"),
        ({"tol": "small"}, TypeError, r"minimize\(tol='small'\): must be a number"),
        ({"callback": 3}, TypeError, r"minimize\(callback=3\): must be a function of a Result"),
        ({"f": None}, TypeError, r"minimize\(f=None\): must be a function of the parameters"),
        ({"f": lambda p: 1.0}, TypeError, r"objective: must return a tensor"),
        (
            {"x0": torch.zeros(2, dtype=torch.complex64)},
            TypeError,
            r"x0 must be a floating point tensor, got .*complex",
        ),
        ({"x0": 0.0}, TypeError, r"x0 must be a floating point tensor, got float"),
        ({"differentiate": "magic"}, ValueError, r"minimize\(differentiate='magic'\)"),
        ({"x0": {"n": torch.zeros(2, dtype=torch.int64)}}, TypeError, r"the leaf 'n' must be a floating point tensor"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tz.minimize(options.pop("f", rosenbrock), options.pop("x0", start()), **options)
