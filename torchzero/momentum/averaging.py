"""Averaging: the mean of recent updates."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.transform import At, TensorwiseTransform


class AveragingState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()            updates absorbed
    h: Tensor  # (n, *param)   last updates, newest last; zeros before there are n


class Averaging(TensorwiseTransform):
    r"""Replace the update by the mean of the last n.

    $$ d_t = \frac1k \sum_{i=0}^{k-1} u_{t-i},\quad k = \min(t, n) $$

    Args:
        history_size: n ≥ 1.

    Raises:
        ValueError: for a history without room for an update.

    >>> import torch, torchzero as tz
    >>> mean, p = tz.m.Averaging(2), torch.zeros(1)
    >>> p, state = mean(p, mean.init(p), grad=torch.tensor([1.0]))
    >>> mean(p, state, grad=torch.tensor([2.0]))[0]
    tensor([-2.5000])

    Reference: none; the moving average of time series.
    """

    locality = "elementwise"

    history_size: int = static(low=1, integer=True)

    def init_tensor(self, param: Tensor) -> AveragingState:
        return AveragingState(tree.counter(param), param.new_zeros((self.history_size, *param.shape)))

    def scalars(self, t: Tensor) -> Tensor:
        return t.clamp(1, self.history_size)

    def update_tensor(self, state: AveragingState, u: Tensor, at: At) -> AveragingState:
        return state._replace(h=torch.cat([state.h[1:], u[None]]))

    def apply_tensor(self, state: AveragingState, u: Tensor, at: At) -> Tensor:
        return state.h.sum(0) / at.scalars
