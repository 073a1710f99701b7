"""Lion: the sign of a running mean."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core.averages import ema
from torchzero.core.hyper import Hyper, within
from torchzero.core.transform import At, TensorwiseTransform


class LionState(NamedTuple):
    """State of one tensor."""

    m: Tensor  # like param   running mean of u
    d: Tensor  # like param   direction, made with the mean before this update


class Lion(TensorwiseTransform):
    r"""Take the sign of the update mixed with its running mean.

    $$ d_t = \mathrm{sign}(β_1 m_{t-1} + (1-β_1) u_t),\quad m_t = β_2 m_{t-1} + (1-β_2) u_t $$

    Args:
        beta1: share of the mean in the direction, in [0, 1).
        beta2: decay of the mean, in [0, 1).

    Raises:
        ValueError: for a number outside its range.

    >>> import torchzero as tz
    >>> lion, x = tz.m.Lion(), torch.tensor([5.0, 5.0])
    >>> lion(x, lion.init(x), grad=torch.tensor([2.0, -8.0]))[0]
    tensor([4., 6.])

    Reference: Chen et al. 2023, algorithm 2, https://arxiv.org/abs/2302.06675
    """

    locality = "elementwise"

    beta1: Hyper = within(0, 1, default=0.9)
    beta2: Hyper = within(0, 1, default=0.99)

    def init_tensor(self, param: Tensor) -> LionState:
        zeros = torch.zeros_like(param)
        return LionState(zeros, zeros)

    def update_tensor(self, state: LionState, u: Tensor, at: At) -> LionState:
        return LionState(ema(state.m, u, self.beta2), ema(state.m, u, self.beta1).sign())

    def apply_tensor(self, state: LionState, u: Tensor, at: At) -> Tensor:
        return state.d
