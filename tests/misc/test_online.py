"""Online: what the child is shown."""

import pytest
import torch
from torch import Tensor

import torchzero as tz


def test_differences_are_taken_on_the_current_batch() -> None:
    batches = [torch.tensor(c, dtype=torch.float64) for c in (1.0, -2.0, 5.0, 0.5)]

    def f(x: Tensor, c: Tensor) -> Tensor:
        return (c * x**3).sum()

    opt = tz.Chain(tz.m.Online(tz.m.LastGradDifference()), tz.m.LR(0.01))
    p = torch.tensor([1.0, 2.0], dtype=torch.float64)
    state, before = opt.init(p), None
    for c in batches:
        here = 3 * c * p**2
        wanted = here if before is None else here - 3 * c * before**2
        before = p
        p, state = opt(p, state, lambda x, c=c: f(x, c))
        torch.testing.assert_close(p, before - 0.01 * wanted)


def test_the_state_of_a_previous_evaluation_is_dropped_first() -> None:
    seen = []

    class Spy(tz.Module):
        def update(self, state: tuple[()], var: tz.Var) -> tuple[()]:
            seen.append(("update", var.params.item(), var.grad.item()))
            return state

        def reset_for_online(self, state: tuple[()]) -> tuple[()]:
            seen.append("reset")
            return state

    opt = tz.m.Online([Spy()])
    state = opt.init(torch.tensor(1.0))
    for x, c in ((1.0, 1.0), (2.0, 10.0)):
        state, _ = opt.step(state, tz.Var(torch.tensor(x), objective=lambda p, c=c: c * p))
    assert seen == [("update", 1.0, 1.0), "reset", ("update", 1.0, 10.0), ("update", 2.0, 10.0)]


def test_a_ready_gradient_is_not_enough() -> None:
    opt = tz.m.Online(tz.m.LR(1.0))
    with pytest.raises(RuntimeError, match="Online: must evaluate the objective"):
        opt(torch.ones(1), opt.init(torch.ones(1)), grad=torch.ones(1))
