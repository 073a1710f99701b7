"""WeightedAveraging: a weighted mean of recent updates."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import is_number, static
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.momentum.averaging import AveragingState


class WeightedAveraging(TensorwiseTransform):
    r"""Replace the update by the weighted sum of the last n over their number.

    $$ d_t = \frac1k \sum_{i=0}^{k-1} w_{n-i}\, u_{t-i},\quad k = \min(t, n) $$

    The sum is divided by the number of updates, not by the sum of the weights.

    Args:
        weights: w, n finite numbers, the oldest update's first. While there are fewer updates, the last ones are used.

    Raises:
        ValueError: for no weights.
        TypeError: for weights that are not finite numbers.

    >>> import torch, torchzero as tz
    >>> mean, p = tz.m.WeightedAveraging([0.5, 1.0]), torch.zeros(1)
    >>> p, state = mean(p, mean.init(p), grad=torch.tensor([1.0]))
    >>> mean(p, state, grad=torch.tensor([2.0]))[0]
    tensor([-2.2500])

    Reference: none; the weighted moving average of time series.
    """

    locality = "elementwise"

    weights: Sequence[float] = static()

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = self.weights
        if not isinstance(weights, tuple) or not all(is_number(w) and math.isfinite(w) for w in weights):
            raise TypeError(f"WeightedAveraging(weights={weights!r}): must be a sequence of finite numbers")
        if not weights:
            raise ValueError("WeightedAveraging(weights=()): must have at least one weight")

    def init_tensor(self, param: Tensor) -> AveragingState:
        return AveragingState(tree.counter(param), param.new_zeros((len(self.weights), *param.shape)))

    def scalars(self, t: Tensor) -> Tensor:
        return t.clamp(1, len(self.weights))

    def update_tensor(self, state: AveragingState, u: Tensor, at: At) -> AveragingState:
        return state._replace(h=torch.cat([state.h[1:], u[None]]))

    def apply_tensor(self, state: AveragingState, u: Tensor, at: At) -> Tensor:
        weights = u.new_tensor(self.weights).reshape(-1, *[1] * u.ndim)  # (n, 1, ...)
        return (weights * state.h).sum(0) / at.scalars
