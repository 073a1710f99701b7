"""MedianAveraging: the median of recent updates."""

import math

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.momentum.averaging import AveragingState


class MedianAveraging(TensorwiseTransform):
    r"""Replace every element of the update by the median of its last n values.

    $$ d_t = \mathrm{median}(u_{t-k+1}, …, u_t),\quad k = \min(t, n) $$

    The median of an even number of values is the mean of the two in the middle.

    Args:
        history_size: n ≥ 1.

    Raises:
        ValueError: for a history without room for an update.

    >>> import torch, torchzero as tz
    >>> median, p = tz.m.MedianAveraging(3), torch.zeros(1)
    >>> p, state = median(p, median.init(p), grad=torch.tensor([1.0]))
    >>> median(p, state, grad=torch.tensor([4.0]))[0]
    tensor([-3.5000])

    Reference: none; Tukey's running median.
    """

    locality = "elementwise"

    history_size: int = static(low=1, integer=True)

    def init_tensor(self, param: Tensor) -> AveragingState:
        return AveragingState(tree.counter(param), param.new_zeros((self.history_size, *param.shape)))

    def update_tensor(self, state: AveragingState, u: Tensor, at: At) -> AveragingState:
        return state._replace(h=torch.cat([state.h[1:], u[None]]))

    def apply_tensor(self, state: AveragingState, u: Tensor, at: At) -> Tensor:
        n, h = self.history_size, state.h
        k = state.t.clamp(1, n)
        age = torch.arange(n - 1, -1, -1, device=h.device).reshape(-1, *[1] * u.ndim)  # (n, 1, ...)
        ascending = torch.sort(torch.where(age < k, h, math.inf), dim=0).values
        middle = torch.stack([(k - 1) // 2, k // 2])
        return ascending.index_select(0, middle).sum(0) / 2
