"""GradientAccumulation: what happens between the steps that are let through."""

import pytest
import torch

import torchzero as tz


def test_is_a_step_with_the_mean_gradient() -> None:
    def inner() -> list[tz.Module]:
        return [tz.m.Adam(), tz.m.WeightDecay(0.1), tz.m.LR(0.1)]

    opt, plain = tz.Chain(tz.m.GradientAccumulation(3), *inner()), tz.Chain(*inner())
    g = torch.Generator().manual_seed(0)
    grads = torch.randn(9, 2, generator=g, dtype=torch.float64)
    p = q = torch.ones(2, dtype=torch.float64)
    mine, theirs = opt.init(p), plain.init(q)
    for k, grad in enumerate(grads):
        before = p
        p, mine = opt(p, mine, grad=grad)
        if (k + 1) % 3:
            assert torch.equal(p, before)
            continue
        q, theirs = plain(q, theirs, grad=grads[k - 2 : k + 1].mean(0))
        torch.testing.assert_close(p, q)


def test_without_stop_other_steps_go_through_as_they_are() -> None:
    opt = tz.m.GradientAccumulation(2, mean=False, stop=False)
    p = torch.zeros(())
    state, seen = opt.init(p), []
    for g in (1.0, 2.0, 5.0, 7.0):
        p, state = opt(p, state, grad=torch.tensor(g))
        seen.append(p.item())
    assert seen == [-1.0, -4.0, -9.0, -21.0]


def test_at_least_one_step() -> None:
    with pytest.raises(ValueError, match=r"GradientAccumulation\(n=0\)"):
        tz.m.GradientAccumulation(0)
