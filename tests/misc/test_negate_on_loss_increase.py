"""NegateOnLossIncrease: bad steps."""

import pytest
import torch

import torchzero as tz


@pytest.mark.parametrize(
    ("lr", "backtrack", "after"), [(0.5, False, 1.0), (3.0, False, 2.0), (3.0, True, 8.0), (2.0, False, -2.0)]
)
def test_uphill(lr: float, backtrack: bool, after: float) -> None:
    """f = x²/2 at 2: a factor of 2 leads to an equal loss, which is accepted."""
    opt = tz.Chain(tz.m.LR(lr), tz.m.NegateOnLossIncrease(backtrack))
    p = torch.tensor([2.0])
    assert opt(p, opt.init(p), lambda x: (x**2).sum() / 2)[0].item() == after


def test_nan_is_uphill() -> None:
    opt = tz.Chain(tz.m.LR(10.0), tz.m.NegateOnLossIncrease())
    p = torch.tensor([2.0])
    assert opt(p, opt.init(p), lambda x: x.sqrt().sum())[0].item() == 2.0
