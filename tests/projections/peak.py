"""A child that shows everything a projection hands on: tensors' shapes, states, parameters and settings."""

from typing import NamedTuple

import torch
from torch import Tensor

import torchzero as tz
from torchzero.core.hyper import Hyper, number


class PeakState(NamedTuple):
    """State of one tensor."""

    m: Tensor  # like param  running mean of u


class Peak(tz.TensorwiseTransform):
    """The running mean over one plus the largest magnitude in its tensor, plus a multiple of the parameter."""

    locality = "tensor"
    needs = frozenset({"params"})

    beta: Hyper = number(0.9)
    decay: Hyper = number(0.1)

    def init_tensor(self, param: Tensor) -> PeakState:
        return PeakState(torch.zeros_like(param))

    def update_tensor(self, state: PeakState, u: Tensor, at: tz.core.At) -> PeakState:
        return PeakState(self.beta * state.m + (1 - self.beta) * u)

    def apply_tensor(self, state: PeakState, u: Tensor, at: tz.core.At) -> Tensor:
        return state.m / (1 + state.m.abs().max()) + self.decay * at.param
