"""tz.minimize: results, budgets, batches and derivatives."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import torchzero as tz
from torchzero.minimization import METHODS

SLOW = {"gd", "adam"}  # not expected to solve a curved valley in the default budget
FOR_RESIDUALS = {"lm"}


def rosenbrock(p: Any) -> Tensor:
    return (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2


def start() -> dict[str, Tensor]:
    return {"x": torch.tensor(-1.2, dtype=torch.float64), "y": torch.tensor(1.0, dtype=torch.float64)}


@pytest.mark.parametrize("method", [m for m in METHODS if m not in SLOW | FOR_RESIDUALS])
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


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "nope"}, ValueError, r"minimize\(method='nope'\): must be one of lbfgs"),
        ({"max_iterations": 0}, ValueError, r"minimize\(max_iterations=0\)"),
        ({"max_evaluations": 0}, ValueError, r"minimize\(max_evaluations=0\)"),
        ({"differentiate": "magic"}, ValueError, r"minimize\(differentiate='magic'\)"),
        ({"x0": {"n": torch.zeros(2, dtype=torch.int64)}}, TypeError, r"the leaf 'n' must be a floating point tensor"),
    ],
)
def test_bad_input_is_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tz.minimize(rosenbrock, options.pop("x0", start()), **options)
