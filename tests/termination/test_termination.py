"""Termination criteria against their rules in plain Python, through the flag that a step carries."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Step, runs

Rule = Callable[[list[Step], dict[str, Any]], list[bool]]


def _flat(tensors: list[Any]) -> Any:
    return np.concatenate([np.asarray(x).reshape(-1) for x in tensors])


def _size(x: Any, ord: Any) -> float:
    return float(np.abs(x).mean()) if ord == "mad" else float(np.linalg.norm(x, ord))


def _in_a_row(raw: list[bool], n: int) -> list[bool]:
    return [k + 1 >= n and all(raw[k + 1 - n : k + 1]) for k in range(len(raw))]


def _gradient(run: list[Step], h: dict[str, Any]) -> list[bool]:
    return _in_a_row([_size(_flat(s.u), h["ord"]) <= h["tol"] for s in run], h["n"])


def _moved(run: list[Step], h: dict[str, Any]) -> list[bool]:
    points = [_flat(s.p) for s in run]
    raw = [_size(b - a, h["ord"]) <= h["tol"] for a, b in itertools.pairwise(points)]
    return _in_a_row([False, *raw], h["n"])


def _no_improvement(run: list[Step], h: dict[str, Any]) -> list[bool]:
    losses = [s.f for s in run]
    raw = [k > 0 and min(losses[:k]) - losses[k] <= h["tol"] for k in range(len(losses))]
    return _in_a_row(raw, h["n"])


orders = st.sampled_from([1, 2, math.inf, "mad"])
tolerances, counts = st.floats(0, 8), st.integers(1, 3)

RULES: dict[str, tuple[Rule, dict[str, st.SearchStrategy[Any]]]] = {
    "TerminateAfterNSteps": (lambda run, h: [k >= h["steps"] for k in range(len(run))], {"steps": st.integers(0, 6)}),
    "TerminateByGradientNorm": (_gradient, {"tol": tolerances, "n": counts, "ord": orders}),
    "TerminateByUpdateNorm": (_moved, {"tol": tolerances, "n": counts, "ord": orders}),
    "TerminateNever": (lambda run, h: [False] * len(run), {}),
    "TerminateOnLossReached": (lambda run, h: [s.f <= h["value"] for s in run], {"value": st.floats(0, 1)}),
    "TerminateOnNoImprovement": (_no_improvement, {"tol": st.floats(0, 0.3), "n": counts}),
}


def _flags(module: tz.Module, run: list[Step]) -> list[bool]:
    state, out = module.init([torch.from_numpy(x.copy()) for x in run[0].p]), []
    for step in run:
        params, grad = ([torch.from_numpy(x.copy()) for x in t] for t in (step.p, step.u))
        state, var = module.step(state, tz.Var(params, grad=grad, loss=torch.tensor(step.f, dtype=torch.float64)))
        assert var.update is grad
        assert var.should_terminate.dtype == torch.bool
        out.append(bool(var.should_terminate))
    return out


@pytest.mark.parametrize("name", sorted(RULES))
@settings(max_examples=40)
@given(run=runs(), data=st.data())
def test_a_criterion_holds_when_its_rule_says_so(name: str, run: list[Step], data: st.DataObject) -> None:
    rule, hypers = RULES[name]
    drawn = data.draw(st.fixed_dictionaries(hypers))
    assert _flags(getattr(tz.m, name)(**drawn), run) == rule(run, drawn)


@settings(max_examples=30)
@given(run=runs(), a=st.integers(0, 5), n=counts, m=counts, tol=st.floats(0, 0.3), size=tolerances)
def test_all_and_any_let_every_criterion_count_for_itself(
    run: list[Step], a: int, n: int, m: int, tol: float, size: float
) -> None:
    parts = [
        tz.m.TerminateAfterNSteps(a),
        tz.m.TerminateOnNoImprovement(tol, n),
        tz.m.TerminateByGradientNorm(size, m),
    ]
    alone = list(zip(*(_flags(p, run) for p in parts), strict=True))
    assert _flags(tz.m.TerminateAll(*parts), run) == [all(flags) for flags in alone]
    assert _flags(tz.m.TerminateAny(*parts), run) == [any(flags) for flags in alone]


def test_any_fires_when_its_criterion_has_held_often_enough_and_not_at_the_first_hit() -> None:
    p, criterion = torch.zeros(2), tz.m.TerminateAny(tz.m.TerminateByGradientNorm(n=3))
    state, seen = criterion.init(p), []
    for _ in range(5):
        state, var = criterion.step(state, tz.Var(p, grad=p))
        seen.append(bool(var.should_terminate))
    assert seen == [False, False, True, True, True]


def test_a_wish_to_end_of_an_earlier_module_is_kept() -> None:
    p = torch.zeros(2)
    chain = tz.Chain(tz.m.TerminateByGradientNorm(n=1), tz.m.TerminateNever())
    assert bool(chain.step(chain.init(p), tz.Var(p, grad=p))[1].should_terminate)
    never = tz.m.TerminateNever()
    assert never.step(never.init(p), tz.Var(p, grad=p, should_terminate=True))[1].should_terminate is True


def test_a_loss_that_is_nan_is_no_improvement_and_is_forgotten() -> None:
    p, criterion = torch.zeros(1), tz.m.TerminateOnNoImprovement(n=2)
    state, seen = criterion.init(p), []
    for loss in (3.0, math.nan, 2.0, math.nan, math.nan, 1.0):
        state, var = criterion.step(state, tz.Var(p, grad=p, loss=torch.tensor(loss)))
        seen.append(bool(var.should_terminate))
    assert seen == [False, False, False, False, True, False]


def test_seconds_are_those_since_the_first_step() -> None:
    ticks = iter([50.0, 51.0, 52.5, 53.0])
    p, criterion = torch.zeros(1), tz.m.TerminateAfterNSeconds(2.5, lambda: next(ticks))
    state, seen = criterion.init(p), []
    for _ in range(4):
        state, var = criterion.step(state, tz.Var(p, grad=p))
        seen.append(bool(var.should_terminate))
    assert seen == [False, False, True, True]


def _modular(criterion: tz.Module, values_each_step: int, **kwargs: Any) -> list[bool]:
    class Evaluate(tz.Module):
        needs = frozenset({"objective"})

        def update(self, state: Any, var: tz.Var) -> Any:
            for _ in range(values_each_step):
                var.objective.value(var.params)  # pyright: ignore[reportOptionalMemberAccess]
            return state

    x = torch.ones(2, requires_grad=True)
    opt = tz.Modular([x], Evaluate(), criterion, tz.m.LR(0.1))

    def closure(backward: bool = True) -> torch.Tensor:
        loss = (x**2).sum()
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    seen = []
    for _ in range(4):
        opt.step(closure, **({"num_evaluations": opt.num_evaluations} if kwargs else {}))
        seen.append(opt.should_terminate)
    return seen


def test_evaluations_are_counted_through_the_closure() -> None:
    assert _modular(tz.m.TerminateAfterNEvaluations(6), 2) == [False, True, True, True]  # 3, 6, ...
    assert _modular(tz.m.TerminateAfterNEvaluations(7), 2) == [False, False, True, True]
    assert _modular(tz.m.TerminateAfterNEvaluations(6), 2, told=True) == [False, False, True, True]  # 0, 3, 6, ...
    p, criterion = torch.zeros(1), tz.m.TerminateAfterNEvaluations(2)
    state, first = criterion.step(criterion.init(p), tz.Var(p, grad=p))
    second = criterion.step(state, tz.Var(p, grad=p))[1]
    assert [bool(v.should_terminate) for v in (first, second)] == [False, True]


def test_the_usual_settings_make_the_usual_criteria() -> None:
    made = tz.m.make_termination_criteria(1e-3, 1e-4, 1e-5, 10, 20, 30.0, 0.1, [tz.m.TerminateNever()], n=2)
    assert repr(made) == (
        "TerminateAny(TerminateOnNoImprovement(tol=0.001, n=2), TerminateByGradientNorm(tol=0.0001, n=2), "
        "TerminateByUpdateNorm(tol=1e-05, n=2), TerminateAfterNSteps(steps=10), "
        "TerminateAfterNEvaluations(maxevals=20), TerminateAfterNSeconds(seconds=30.0), "
        "TerminateOnLossReached(value=0.1), TerminateNever())"
    )
    assert repr(tz.m.make_termination_criteria(target_loss=0.0)) == "TerminateOnLossReached(value=0.0)"
    assert repr(tz.m.make_termination_criteria(extra=tz.m.TerminateAfterNSteps(3))) == "TerminateAfterNSteps(steps=3)"
    p = [torch.zeros(2)]
    for settings_, fires in (({"gtol": 1e-3, "maxiter": 100, "n": 1}, True), ({"maxiter": 100, "maxeval": 9}, False)):
        criterion = tz.m.make_termination_criteria(**settings_)  # pyright: ignore[reportArgumentType]
        assert bool(criterion.step(criterion.init(p), tz.Var(p, grad=p))[1].should_terminate) is fires


def test_lanes_end_each_for_itself_under_vmap() -> None:
    opt = tz.Chain(tz.m.TerminateByGradientNorm(0.5, n=1), tz.m.LR(0.1))

    def flag(g: torch.Tensor) -> torch.Tensor:
        return opt.step(opt.init(g), tz.Var(g, grad=g))[1].should_terminate  # type: ignore[return-value]

    assert torch.vmap(flag)(torch.tensor([[1.0], [0.1]])).tolist() == [False, True]


@pytest.mark.parametrize("make", [tz.m.TerminateAll, tz.m.TerminateAny])
def test_nothing_to_combine_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="give at least one criterion"):
        make()


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"TerminateAfterNSteps\(steps=-1\)"):
        tz.m.TerminateAfterNSteps(-1)
    with pytest.raises(ValueError, match=r"TerminateByGradientNorm\(ord='what'\)"):
        tz.m.TerminateByGradientNorm(ord="what")
    with pytest.raises(ValueError, match=r"n=0"):
        tz.m.TerminateOnNoImprovement(n=0)
