"""What a chain of three modules does, worked out with pencil and paper."""

import torch

import torchzero as tz


def test_links_run_in_order_each_on_what_the_one_before_handed_on() -> None:
    opt = tz.Chain(tz.m.WeightDecay(0.5), tz.m.ClipValue(2.0), tz.m.LR(0.25))
    params = torch.tensor([4.0, -2.0], dtype=torch.float64)
    # u = g + 0.5 p = (3, -0.5), clipped (2, -0.5), times 0.25 (0.5, -0.125)
    new, _ = opt(params, opt.init(params), grad=torch.tensor([1.0, 0.5], dtype=torch.float64))
    assert new.tolist() == [3.5, -1.875]


def test_the_other_order_is_another_optimizer() -> None:
    opt = tz.Chain(tz.m.LR(0.25), tz.m.ClipValue(2.0), tz.m.WeightDecay(0.5))
    params = torch.tensor([4.0, -2.0], dtype=torch.float64)
    # u = 0.25 g = (0.25, 0.125), unclipped, plus 0.5 p (2.25, -0.875)
    new, _ = opt(params, opt.init(params), grad=torch.tensor([1.0, 0.5], dtype=torch.float64))
    assert new.tolist() == [1.75, -1.125]
