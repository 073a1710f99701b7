"""SaveBest against a loop."""

import torch
from hypothesis import given
from hypothesis import strategies as st

import torchzero as tz


@given(st.lists(st.sampled_from([3.0, 1.0, 2.0, 0.5, 7.0, float("nan"), float("inf")]), min_size=1, max_size=8))
def test_keeps_the_parameters_of_the_lowest_loss(losses: list[float]) -> None:
    opt = tz.m.SaveBest()
    state = opt.init([torch.tensor([-1.0])])
    best, where = float("inf"), -1.0
    for i, f in enumerate(losses):
        var = tz.Var([torch.tensor([float(i)])], grad=[torch.ones(1)], loss=torch.tensor(f))
        state, var = opt.step(state, var)
        if f < best:
            best, where = f, float(i)
        assert var.attrs["best_loss"].item() == best
        assert var.attrs["best_params"][0].item() == where
        assert var.update[0].item() == 1.0
