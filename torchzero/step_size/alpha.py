"""Alpha: StepSize under its first name."""

from typing import Any

from torch import Tensor

from torchzero.core.hyper import Hyper, number
from torchzero.core.transform import At, TensorwiseTransform


class Alpha(TensorwiseTransform):
    r"""Multiply the update by a number that is not the learning rate: StepSize as it was called in 0.1.

    $$ d = α u $$

    Args:
        alpha: α.

    Raises:
        ValueError: for a number that is not finite.

    >>> import torch, torchzero as tz
    >>> half, p = tz.m.Alpha(0.5), torch.zeros(1)
    >>> half(p, half.init(p), grad=torch.tensor([2.0]))[0]
    tensor([-1.])

    Reference: Robbins & Monro 1951, A stochastic approximation method.
    """

    locality = "elementwise"
    conservative = True

    alpha: Hyper = number(0.001)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return self.alpha * u
