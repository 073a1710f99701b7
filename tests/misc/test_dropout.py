"""Dropout: what is kept."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import torchzero as tz


@given(st.floats(0, 1), st.integers(0, 2**31))
def test_elements_are_kept_or_zero_in_the_right_proportion(p: float, seed: int) -> None:
    u = torch.linspace(1, 2, 4000, dtype=torch.float64)
    opt = tz.m.Dropout(p, seed=seed)
    _, var = opt.step(opt.init(u), tz.Var(u, grad=u))
    dropped = var.update == 0
    assert torch.equal(torch.where(dropped, u, var.update), u)
    assert abs(dropped.double().mean() - p) < 0.05


def test_graft_restores_the_norm_over_all_parameters() -> None:
    u = {"a": torch.linspace(1, 2, 50, dtype=torch.float64), "b": torch.linspace(-9, 5, 70, dtype=torch.float64)}
    opt = tz.m.Dropout(0.4, graft=True, seed=1)
    _, var = opt.step(opt.init(u), tz.Var(u, grad=u))
    assert tz.tree.norm(var.update).item() == pytest.approx(tz.tree.norm(u).item())
    ratios = torch.cat([(var.update[k] / u[k])[var.update[k] != 0] for k in u])
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios))


def test_other_elements_are_dropped_at_the_next_step() -> None:
    u = torch.ones(100)
    opt = tz.m.Dropout(seed=0)
    state, first = opt.step(opt.init(u), tz.Var(u, grad=u))
    _, second = opt.step(state, tz.Var(u, grad=u))
    assert not torch.equal(first.update, second.update)


def test_probability_per_parameter() -> None:
    u = [torch.ones(10), torch.ones(10)]
    opt = tz.m.Dropout([0.0, 1.0], seed=0)
    _, var = opt.step(opt.init(u), tz.Var(u, grad=u))
    assert [x.sum().item() for x in var.update] == [10.0, 0.0]
