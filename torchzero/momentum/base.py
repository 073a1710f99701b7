"""What the running means of updates share."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import axpy, bias
from torchzero.core.hyper import Hyper, is_number, number, static, within
from torchzero.core.transform import At, TensorwiseTransform


class RunningMeanState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()           updates absorbed
    m: Tensor  # like param   running mean of u


class RunningMeanScalars(NamedTuple):
    """Weights of one step."""

    gain: Tensor | float  # of the new update
    debias: Tensor | float  # what the mean is divided by


def first_gain(t: Tensor, gain: Hyper, first: Hyper = 1.0) -> Tensor | float:
    """`first` in the first update, `gain` in all others."""
    if is_number(gain) and is_number(first) and gain == first:
        return gain
    zero = torch.zeros_like(t)
    return torch.where(t <= 1, zero + first, zero + gain)


class RunningMean(TensorwiseTransform):
    """m ← β·m + gain·u; what EMA and HeavyBall are, whose defaults differ."""

    locality = "elementwise"

    momentum: Hyper = within(0, 1, default=0.9)
    dampening: Hyper = number(0)
    debias: bool = static(False)
    lerp: bool = static(True)
    ema_init: str = static("zeros", choices=("zeros", "update"))

    def init_tensor(self, param: Tensor) -> RunningMeanState:
        return RunningMeanState(tree.counter(param), torch.zeros_like(param))

    def scalars(self, t: Tensor) -> RunningMeanScalars:
        gain = 1 - self.dampening
        if self.lerp:
            gain = gain * (1 - self.momentum)
        if self.ema_init == "update":
            gain = first_gain(t, gain)
        unbiased = self.lerp and self.ema_init == "update"
        return RunningMeanScalars(gain, bias(self.momentum, t) if self.debias and not unbiased else 1.0)

    def update_tensor(self, state: RunningMeanState, u: Tensor, at: At) -> RunningMeanState:
        return state._replace(m=axpy(at.scalars.gain, u, self.momentum * state.m))

    def apply_tensor(self, state: RunningMeanState, u: Tensor, at: At) -> Tensor:
        return state.m / at.scalars.debias if self.debias else state.m
