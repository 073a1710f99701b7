"""StrongWolfe between bounds: no trial outside, and an end that is flat, or on the first bound of the line."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from torchzero.line_search.base import Line


def test_where_the_loss_falls_all_the_way_the_step_ends_on_the_bound() -> None:
    x, search = {"a": torch.zeros(2), "b": torch.ones(())}, tz.m.StrongWolfe(lb={"a": -9.0, "b": 0.25}, ub=5.0)
    state = search.init(x)
    state, var = search.step(state, tz.Var(x, objective=lambda p: p["a"].sum() + 4 * p["b"]))
    end = tz.apply_update(var)
    assert state.success
    assert end["b"] == 0.25
    torch.testing.assert_close(end["a"], torch.full((2,), -0.1875))
    assert state.evaluations == 1


def test_without_room_there_is_no_step() -> None:
    x, search = torch.zeros(3), tz.m.StrongWolfe(lb=torch.tensor([-1.0, 0.0, -math.inf]))
    state, var = search.step(search.init(x), tz.Var(x, objective=lambda p: p.sum()))
    assert not state.success
    assert state.evaluations == 0
    assert not var.update.any()


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_trials_stay_inside_and_the_end_is_flat_or_on_a_bound(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    A, b, u, x = (torch.from_numpy(rng.normal(size=s)) for s in ((n, n), n, n, n))
    lower, upper = (x - torch.from_numpy(rng.uniform(0.01, 3, n)), x + torch.from_numpy(rng.uniform(0.01, 3, n)))
    lower[0] = -torch.inf

    def f(p: Tensor) -> Tensor:
        assert ((torch.func.debug_unwrap(p, recurse=True) >= lower) & (p <= upper)).all()
        return 0.5 * (A @ p) @ (A @ p) - b @ p + torch.cos(3 * p).sum()

    g = torch.func.grad(f)(x)
    u = u if g @ u > 0 else -u
    search = tz.m.StrongWolfe(c2=0.3, lb=lower, ub=upper)
    state, _ = search.step(search.init(x), tz.Var(x, objective=f, update=u))
    room = float(torch.where(u > 0, (x - lower) / u, (x - upper) / u).min())
    assert float(Line(tz.Var(x, objective=f, update=u), tz.FunctionObjective(f), lower, upper).room()) == pytest.approx(
        room
    )
    assert float(state.a) <= room * (1 + 1e-14)
    if state.success:
        end = torch.minimum(torch.maximum(x - state.a * u, lower), upper)
        slope0, slope = -float(g @ u), -float(torch.func.grad(f)(end) @ u)
        assert float(f(end)) <= float(f(x)) + 1e-4 * float(state.a) * slope0 + 1e-12
        on_bound = bool(((end == lower) | (end == upper)).any())
        assert abs(slope) <= 0.3 * abs(slope0) or (on_bound and slope < 0)


def test_bounds_and_a_search_on_both_sides_are_refused() -> None:
    with pytest.raises(ValueError, match=r"StrongWolfe\(plus_minus=True\): searches on both sides"):
        tz.m.StrongWolfe(plus_minus=True, lb=0.0)


def test_a_flat_end_is_enough_where_values_are_equal_to_the_last_bit() -> None:
    x, search = torch.tensor([1e-9], dtype=torch.float64), tz.m.StrongWolfe()
    state, var = search.step(search.init(x), tz.Var(x, objective=lambda p: 1 + 0.5 * (p**2).sum()))
    assert state.success
    assert tz.apply_update(var).tolist() == [0.0]
