"""tz.minimize with methods that look at values alone."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import torchzero as tz
from torchzero.minimization import METHODS
from torchzero.minimization.run_by_values import by_values

NAMES = ("nelder-mead", "cmaes", "xnes", "snes", "pgpe")
START = {"x": torch.tensor(-1.2, dtype=torch.float64), "y": torch.tensor(1.0, dtype=torch.float64)}


def rosenbrock(p: Any) -> Tensor:
    return (1 - p["x"]) ** 2 + 100 * (p["y"] - p["x"] ** 2) ** 2


def bowl(p: Any) -> Tensor:
    return (p["x"] - 1) ** 2 + 3 * (p["y"] + 2) ** 2


def opaque(f: Any) -> Any:
    """The same values, by foreign code without a gradient."""
    return lambda p: torch.tensor(float(f({k: np.asarray(v) for k, v in p.items()})), dtype=torch.float64)


def test_the_names_are_those_that_never_ask_for_a_gradient() -> None:
    assert {name for name, make in METHODS.items() if by_values(make())} == set(NAMES)


@pytest.mark.parametrize("name", ["nelder-mead", "cmaes", "xnes"])
def test_the_end_of_a_curved_valley_is_found(name: str) -> None:
    result = tz.minimize(rosenbrock, START, name)
    assert result.success, result.message
    assert result.message == "converged: the search is narrower than the tolerance"
    assert abs(result.x["x"] - 1) < 1e-7
    assert result.value == rosenbrock(result.x)
    assert torch.isnan(result.grad_norm)


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_gradient_is_minimised_too(name: str) -> None:
    kwargs: Any = {"tol": 1e-4, "max_iterations": 400}
    result, smooth = tz.minimize(opaque(bowl), START, name, **kwargs), tz.minimize(bowl, START, name, **kwargs)
    assert abs(result.x["x"] - 1) < 0.05
    assert abs(result.x["y"] + 2) < 0.05
    torch.testing.assert_close(result.x, smooth.x)
    assert result.iterations == smooth.iterations
    assert result.evaluations == smooth.evaluations


@pytest.mark.parametrize("method", [*NAMES, [tz.m.CD(0.1), tz.m.LR(0.1)], [tz.m.SNES(seed=0), tz.m.LR(0.5)]])
def test_every_evaluation_is_counted_and_the_best_one_is_the_result(method: Any) -> None:
    seen: list[float] = []

    def f(p: Any) -> Tensor:
        seen.append(bowl(p).item())  # refuses vmap, so that points come one by one
        return bowl(p)

    result = tz.minimize(f, START, method, max_iterations=20)
    assert result.evaluations == len(seen)
    assert result.value == min(seen) == bowl(result.x)


def test_nelder_mead_costs_what_scipy_does() -> None:
    theirs = scipy.optimize.minimize(
        lambda z: rosenbrock({"x": z[0], "y": z[1]}), [-1.2, 1.0], method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": np.inf},
    )  # fmt: skip
    ours = tz.minimize(rosenbrock, START, "nelder-mead", tol=1e-6)
    assert ours.evaluations == theirs.nfev
    np.testing.assert_allclose([ours.x["x"], ours.x["y"]], theirs.x, rtol=1e-9)


def test_coordinates_are_searched_until_the_steps_are_small() -> None:
    result = tz.minimize(opaque(bowl), START, [tz.m.CD(0.5, grad=True), tz.m.LR(0.1)], tol=1e-5)
    assert result.success, result.message
    assert abs(result.x["x"] - 1) < 1e-3
    fixed = tz.minimize(opaque(bowl), START, [tz.m.CD(0.5, adaptive=False), tz.m.LR(0.1)], max_iterations=30)
    assert fixed.message == "out of iterations"


def test_budgets_failures_and_callbacks_are_data() -> None:
    few = tz.minimize(bowl, START, "cmaes", max_evaluations=20)
    assert few.message == "out of evaluations"
    assert 20 <= few.evaluations < 20 + tz.m.CMAES().points(2)
    failed = tz.minimize(lambda p: p["x"] * torch.nan, START, "snes", max_iterations=3)
    assert failed.message == "out of iterations"
    assert failed.value == torch.inf
    torch.testing.assert_close(failed.x, START)
    walled = tz.minimize(lambda p: torch.where(p["x"] < -1, torch.nan, bowl(p)), START, "cmaes")
    assert walled.success
    assert abs(walled.x["y"] + 2) < 1e-6
    lost = tz.minimize(lambda p: p["x"] * torch.nan, START, [tz.m.CD(), tz.m.LR(0.1)])
    assert lost.message.startswith("the loss")
    seen: list[float] = []
    stopped = tz.minimize(bowl, START, "nelder-mead", callback=lambda r: seen.append(r.value.item()) or len(seen) == 5)
    assert "asked to stop" in stopped.message
    assert seen == sorted(seen, reverse=True)
    done = tz.minimize(bowl, START, [tz.m.SNES(seed=0), tz.m.TerminateAfterNSteps(4)])
    assert done.iterations == 5


@pytest.mark.parametrize("name", ["nelder-mead", "cmaes", "snes"])
def test_batched_is_looped_and_lanes_stop_on_their_own(name: str) -> None:
    centres = torch.tensor([[0.0, 0.3], [2.0, -1.0], [-1.0, 9.0]], dtype=torch.float64)

    def run(centre: Tensor) -> Any:
        r = tz.minimize(lambda x: ((x - centre) ** 2).sum(), torch.zeros(2, dtype=torch.float64), name, tol=1e-4)
        return r.x, r.iterations, r.evaluations, r.status

    batched, looped = torch.vmap(run)(centres), [run(c) for c in centres]
    torch.testing.assert_close(batched[0], torch.stack([x for x, *_ in looped]))
    for i in (1, 2, 3):
        assert batched[i].tolist() == [int(one[i]) for one in looped]
    assert len(set(batched[1].tolist())) > 1


def test_an_implicit_derivative_is_there_for_the_asking() -> None:
    def solve(a: Tensor, **options: Any) -> Tensor:
        return tz.minimize(lambda x: ((x - a**2) ** 2).sum(), torch.zeros(2).double(), "nelder-mead", **options).x

    a = torch.tensor([1.0, 2.0], dtype=torch.float64)
    got = torch.func.jacrev(lambda a: solve(a, differentiate="implicit"))(a)
    torch.testing.assert_close(got, torch.diag(2 * a))
    assert not torch.func.jacrev(solve)(a).any()
