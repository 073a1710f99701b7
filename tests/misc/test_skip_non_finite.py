"""SkipNonFinite: nothing that is not finite is remembered."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz

BAD = (float("nan"), float("inf"), -float("inf"))


def _inner() -> list[tz.Module]:
    return [tz.m.Adam(0.8, 0.9), tz.m.Previous(2), tz.m.LR(0.1)]


@settings(max_examples=15)
@given(st.lists(st.booleans(), min_size=6, max_size=6), st.sampled_from(BAD), st.integers(0, 2**31))
def test_a_run_with_bad_steps_is_the_run_without_them(bad: list[bool], value: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grads = [torch.from_numpy(rng.normal(size=3)) for _ in bad]
    guarded, plain = tz.m.SkipNonFinite(_inner()), tz.Chain(*_inner())
    p = q = torch.from_numpy(rng.normal(size=3))
    mine, theirs, row, total = guarded.init(p), plain.init(p), 0, 0
    for is_bad, g in zip(bad, grads, strict=True):
        spoiled = torch.where(torch.tensor([False, is_bad, False]), value, g)
        p, mine = guarded(p, mine, grad=spoiled)
        if not is_bad:
            q, theirs = plain(q, theirs, grad=g)
        row, total = (row + 1, total + 1) if is_bad else (0, total)
        assert torch.equal(p, q)
        assert (bool(mine.ok), int(mine.consecutive), int(mine.total)) == (not is_bad, row, total)
        for x, y in zip(tz.tree.leaves(mine.children["module"]), tz.tree.leaves(theirs), strict=True):
            assert torch.equal(x, y)


class Spoils(tz.Transform):
    """Emits NaN, or keeps NaN, at the second step."""

    where: str = "output"

    def init_tree(self, params: Any) -> Any:
        return (tz.tree.counter(params), params)

    def update_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        t, kept = state
        poison = torch.where(t == 1, torch.nan, 0.0)
        return (t + 1, kept + poison if self.where == "state" else kept)

    def apply_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return u / torch.where((state[0] == 2) & (self.where == "output"), 0.0, 1.0)


@pytest.mark.parametrize("where", ["output", "state"])
def test_what_the_optimizer_makes_is_checked_as_well(where: str) -> None:
    opt = tz.m.SkipNonFinite(Spoils(where))
    p = torch.zeros(1)
    p, state = opt(p, opt.init(p), grad=torch.ones(1))
    for _ in range(3):  # the inner step count does not advance, so that it fails again
        p, state = opt(p, state, grad=torch.ones(1))
    assert p.item() == -1.0
    assert int(state.consecutive) == 3
    assert all(torch.isfinite(x).all() for x in tz.tree.leaves(state))


def test_modules_after_it_do_not_run() -> None:
    opt = tz.Chain(tz.m.SkipNonFinite(tz.m.LR(1.0)), tz.m.EMA(0.5), tz.m.WeightDecay(0.1))
    p = torch.ones(2)
    after, state = opt(p, opt.init(p), grad=torch.tensor([1.0, float("nan")]))
    assert torch.equal(after, p)
    assert all(torch.isfinite(x).all() for x in tz.tree.leaves(state))


def test_every_lane_decides_for_itself_and_no_nan_is_left() -> None:
    opt = tz.m.SkipNonFinite(_inner())
    p = torch.zeros(3, 2, dtype=torch.float64)
    grads = torch.tensor([[1.0, 2.0], [float("nan"), 1.0], [float("inf"), 1.0]], dtype=torch.float64)
    state = torch.vmap(opt.init)(p)
    q, state = torch.vmap(lambda p, s, g: opt(p, s, grad=g))(p, state, grads)
    assert state.total.tolist() == [0, 1, 1]
    assert torch.equal(q[1:], p[1:])
    assert not torch.equal(q[0], p[0])
    assert all(torch.isfinite(x).all() for x in tz.tree.leaves(state))


def test_too_many_in_a_row_end_the_work() -> None:
    opt = tz.m.SkipNonFinite(tz.m.LR(1.0), max_consecutive=2)
    p, nan = torch.zeros(1), torch.tensor([float("nan")])
    state, seen = opt.init(p), []
    for g in (nan, torch.ones(1), nan, nan):
        state, var = opt.step(state, tz.Var(p, grad=g))
        seen.append(bool(var.should_terminate))
    assert seen == [False, False, False, True]
