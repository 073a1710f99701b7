"""Multistep and Sequential: steps inside a step."""

from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz


def _f(x: Tensor) -> Tensor:
    return (x**2).sum() + x.prod()


def _start() -> Tensor:
    return torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_is_as_many_steps_of_the_module(steps: int) -> None:
    def inner() -> list[tz.Module]:
        return [tz.m.Adam(), tz.m.LR(0.1)]

    opt, plain = tz.m.Multistep(inner(), steps), tz.Chain(*inner())
    p = q = _start()
    mine, theirs = opt.init(p), plain.init(q)
    for _ in range(3):
        p, mine = opt(p, mine, _f)
        for _ in range(steps):
            q, theirs = plain(q, theirs, _f)
        torch.testing.assert_close(p, q)


def test_sequential_gives_each_module_steps_of_its_own() -> None:
    opt = tz.m.Sequential([tz.m.LR(0.1), [tz.m.Adam(), tz.m.LR(0.01)]], steps=2)
    a, b = tz.m.LR(0.1), tz.Chain(tz.m.Adam(), tz.m.LR(0.01))
    p = q = _start()
    state, sa, sb = opt.init(p), a.init(q), b.init(q)
    for _ in range(3):
        p, state = opt(p, state, _f)
        for _ in range(2):
            q, sa = a(q, sa, _f)
            q, sb = b(q, sb, _f)
        torch.testing.assert_close(p, q)


def test_the_first_step_gets_the_update_that_comes_in() -> None:
    opt = tz.Chain(tz.m.LR(10.0), tz.m.Multistep(tz.m.LR(0.1), 2))
    p = torch.tensor([1.0], dtype=torch.float64)
    after, _ = opt(p, opt.init(p), lambda x: x.sum() * 0.5)
    assert after.item() == pytest.approx(1 - 10 * 0.05 - 0.05)


def test_a_single_step_needs_no_objective_and_more_do() -> None:
    p = torch.ones(1)
    one, two = tz.m.Multistep(tz.m.LR(0.5), 1), tz.m.Multistep(tz.m.LR(0.5), 2)
    assert one(p, one.init(p), grad=p)[0].item() == 0.5
    with pytest.raises(RuntimeError, match="Multistep: must evaluate the objective"):
        two(p, two.init(p), grad=p)


def test_a_wish_to_end_the_work_is_passed_on() -> None:
    class Ends(tz.Module):
        def apply(self, state: Any, var: tz.Var) -> tz.Var:
            return var.replace(should_terminate=True)

    opt = tz.m.Multistep([Ends(), tz.m.LR(0.1)], 2)
    _, var = opt.step(opt.init(_start()), tz.Var(_start(), objective=_f))
    assert bool(var.should_terminate)


def test_accumulation_inside_waits_at_a_point() -> None:
    opt = tz.m.Multistep([tz.m.GradientAccumulation(2), tz.m.LR(1.0)], 2)
    p = torch.tensor([1.0])
    assert opt(p, opt.init(p), lambda x: (x**2).sum() / 4)[0].item() == 0.5


def test_what_an_inner_step_has_evaluated_at_its_end_is_not_evaluated_again() -> None:
    class Knows(tz.Module):
        def apply(self, state: Any, var: tz.Var) -> tz.Var:
            end = var.params - 0.1 * var.update
            grad, loss = torch.func.grad_and_value(_f)(end)
            return var.replace(update=0.1 * var.update).replace(accepted=(loss, grad))

    calls = []

    class Counted(tz.FunctionObjective):
        def value_and_grad(self, params: Any) -> tuple[Tensor, Any]:
            calls.append(params)
            return super().value_and_grad(params)

    opt, plain = tz.m.Multistep(Knows(), 4), tz.m.Multistep(tz.m.LR(0.1), 4)
    _, var = opt.step(opt.init(_start()), tz.Var(_start(), objective=Counted(_f)))
    _, same = plain.step(plain.init(_start()), tz.Var(_start(), objective=_f))
    torch.testing.assert_close(var.update, same.update)
    assert len(calls) == 1
