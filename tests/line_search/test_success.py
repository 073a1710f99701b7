"""How often the searches succeed on random smooth functions of one number, and that success is what they say."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from tests.line_search.problems import FAMILIES, Problems, direction, draw, slope, value

N = 100  # of each of six families


def outcomes(search: tz.Module, problems: Problems) -> dict[str, Tensor]:
    """Search all lines of a family at once: (n,) each."""
    family = problems.family

    def one(theta: Tensor, x: Tensor, u: Tensor) -> dict[str, Tensor]:
        var = tz.Var(x, objective=lambda x: value(family, theta, x), update=u)
        state = search.update(search.init(x), var)
        at = x - state.a * u
        return {
            "success": state.success,
            "a": state.a,
            "f0": value(family, theta, x),
            "f": value(family, theta, at),
            "slope0": -u * slope(family, theta, x),
            "slope": -u * slope(family, theta, at),
            "evaluations": state.evaluations,
        }

    return torch.vmap(one)(problems.theta, problems.x, direction(problems))


def rate(search: tz.Module, holds: Callable[[dict[str, Tensor]], Tensor], seed: int) -> float:
    """The fraction of searches that succeed; and none of these may have told a lie."""
    good = total = 0
    for family in FAMILIES:
        got = outcomes(search, draw(family, N, seed))
        assert bool(((got["slope0"] < 0) & torch.isfinite(got["f0"])).all())
        lies = got["success"] & ~holds(got)
        assert not bool(lies.any()), {k: v[lies] for k, v in got.items()}
        assert bool((got["a"][~got["success"]] == 0).all())
        good, total = good + int(got["success"].sum()), total + N
    return good / total


def armijo(got: dict[str, Tensor], c: float) -> Tensor:
    # φ(0) + c a φ'(0) is rounded in another order here than there.
    return got["f"] <= got["f0"] + c * got["a"] * got["slope0"] + 1e-13 * got["f0"].abs()


def strong_wolfe(got: dict[str, Tensor], c1: float, c2: float) -> Tensor:
    return armijo(got, c1) & (got["slope"].abs() <= -c2 * got["slope0"] * (1 + 1e-9))


def either_wolfe(got: dict[str, Tensor], delta: float, sigma: float, epsilon: float) -> Tensor:
    steep = got["slope"] >= sigma * got["slope0"] * (1 + 1e-9)
    flat = got["slope"] <= (2 * delta - 1) * got["slope0"] * (1 - 1e-9)
    low = got["f"] <= got["f0"] + epsilon * got["f0"].abs() * (1 + 1e-9)
    return steep & (armijo(got, delta) | (flat & low))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("c2", [0.1, 0.9])
@pytest.mark.parametrize("interpolation", ["cubic", "quadratic", "bisection", "polynomial", "polynomial2"])
def test_strong_wolfe_succeeds(interpolation: str, c2: float, seed: int) -> None:
    """On at least 99 % of 600 problems; halving needs more evaluations than the default allows."""
    zooms = 20 if interpolation == "bisection" else 10
    search = tz.m.StrongWolfe(c2=c2, interpolation=interpolation, maxzoom=zooms)
    assert rate(search, lambda got: strong_wolfe(got, 1e-4, c2), seed) >= 0.99


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("delta", [1e-4, 0.1])
@pytest.mark.parametrize("sigma", [0.1, 0.9])
def test_hager_zhang_succeeds(sigma: float, delta: float, seed: int) -> None:
    search = tz.m.HagerZhangLineSearch(delta, sigma)
    assert rate(search, lambda got: either_wolfe(got, delta, sigma, 1e-6), seed) >= 0.99


DECREASING = {
    "Backtracking": (lambda: tz.m.Backtracking(maxiter=20), 1e-4),
    "ArmijoLS": (lambda: tz.m.ArmijoLS(max_iter=20), 0.01),
    "AdaptiveBacktracking": (lambda: tz.m.AdaptiveBacktracking(), 1e-4),
    "AdaptiveBisection": (lambda: tz.m.AdaptiveBisection(maxiter=20), 0.0),
}


@pytest.mark.parametrize("name", sorted(DECREASING))
def test_searches_by_values_alone_find_a_decrease(name: str) -> None:
    make, c = DECREASING[name]

    def holds(got: dict[str, Tensor]) -> Tensor:
        # Backtracking also stops where φ rises again.
        return (got["f"] < got["f0"]) if name.endswith("Backtracking") else armijo(got, c)

    assert rate(make(), holds, 0) >= 0.99


# ---------------------------------------------------------------------- first trials that are off by 10⁶

FIRST: dict[str, tuple[Callable[[float], tz.Module], Callable[..., Tensor]]] = {
    "cubic, flat": (
        lambda a: tz.m.StrongWolfe(c2=0.1, init_value=a),
        functools.partial(strong_wolfe, c1=1e-4, c2=0.1),
    ),
    "cubic": (lambda a: tz.m.StrongWolfe(init_value=a), functools.partial(strong_wolfe, c1=1e-4, c2=0.9)),
    **{
        how: (
            lambda a, how=how: tz.m.StrongWolfe(c2=0.1, init_value=a, interpolation=how),
            functools.partial(strong_wolfe, c1=1e-4, c2=0.1),
        )
        for how in ("quadratic", "polynomial", "polynomial2")
    },
    # doubling and halving take more evaluations than the default allows
    "bisection": (
        lambda a: tz.m.StrongWolfe(c2=0.1, init_value=a, interpolation="bisection", maxiter=40, maxzoom=20),
        functools.partial(strong_wolfe, c1=1e-4, c2=0.1),
    ),
    "hager-zhang": (
        lambda a: tz.m.HagerZhangLineSearch(sigma=0.1, init_value=a),
        functools.partial(either_wolfe, delta=0.1, sigma=0.1, epsilon=1e-6),
    ),
    "backtracking": (lambda a: tz.m.Backtracking(init=a, maxiter=60), lambda got: got["f"] < got["f0"]),
    "adaptive backtracking": (
        lambda a: tz.m.AdaptiveBacktracking(init=a, maxiter=60),
        lambda got: got["f"] < got["f0"],
    ),
    "adaptive bisection": (lambda a: tz.m.AdaptiveBisection(init=a, maxiter=60), lambda got: got["f"] < got["f0"]),
}


@pytest.mark.parametrize("exponent", [-6, -3, 3, 6])
@pytest.mark.parametrize("how", sorted(FIRST))
def test_it_matters_little_how_far_off_the_first_trial_is(how: str, exponent: int) -> None:
    make, holds = FIRST[how]
    assert rate(make(10.0**exponent), holds, 2) >= 0.99


@pytest.mark.parametrize("exponent", [-6, -3, 3, 6])
@pytest.mark.parametrize("name", ["Backtracking", "AdaptiveBacktracking", "AdaptiveBisection"])
def test_searches_that_adapt_find_a_decrease_after_a_few_that_fail(name: str, exponent: int) -> None:
    """With the evaluations that are allowed by default: a failure leaves the next search a better beginning."""
    search, good, total = getattr(tz.m, name)(init=10.0**exponent), 0, 0
    for family in FAMILIES:
        p = draw(family, 50, 4)

        def one(theta: Tensor, x: Tensor, u: Tensor, family: str = family) -> Any:
            state = search.init(x)
            var, found = tz.Var(x, objective=lambda x: value(family, theta, x), update=u), torch.zeros(()) > 0
            for _ in range(5):
                state = search.update(state, var)
                found = found | state.success
            return found

        ever = torch.vmap(one)(p.theta, p.x, direction(p))
        good, total = good + int(ever.sum()), total + len(ever)
    assert good / total >= 0.99
