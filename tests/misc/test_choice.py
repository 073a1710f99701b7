"""Alternate and Switch: who runs."""

from typing import Any

import pytest
import torch

import torchzero as tz


def _owners(opt: tz.Module, steps: int) -> list[float]:
    p = torch.zeros(())
    state, out = opt.init(p), []
    for _ in range(steps):
        state, var = opt.step(state, tz.Var(p, grad=torch.ones(())))
        out.append(var.update.item())
    return out


def test_durations() -> None:
    mods = tz.m.LR(1.0), tz.m.LR(2.0), tz.m.LR(3.0)
    assert _owners(tz.m.Alternate(*mods), 7) == [1, 2, 3, 1, 2, 3, 1]
    assert _owners(tz.m.Alternate(*mods, steps=(2, 1, 3)), 8) == [1, 1, 2, 3, 3, 3, 1, 1]
    assert _owners(tz.m.Switch(*mods, steps=(2, 1)), 6) == [1, 1, 2, 3, 3, 3]
    assert _owners(tz.m.Switch(*mods, steps=2), 6) == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("make", [tz.m.Alternate, tz.m.Switch])
def test_bad_durations_are_named(make: Any) -> None:
    for steps in (0, (1, 2, 3, 4), (1.5, 1)):
        with pytest.raises(ValueError, match=rf"{make.__name__}\(steps="):
            make(tz.m.LR(1.0), tz.m.LR(2.0), tz.m.LR(3.0), steps=steps)


def test_accumulation_inside_a_turn_stops_the_step_but_not_the_modules_after() -> None:
    opt = tz.Chain(tz.m.Alternate(tz.m.GradientAccumulation(2), tz.m.LR(1.0)), tz.m.Previous(1))
    p = torch.zeros(())
    state = opt.init(p)
    for _ in range(2):
        p, state = opt(p, state, grad=torch.ones(()))
    assert state["1.Previous"].t.item() == 2
