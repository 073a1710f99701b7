"""Reciprocal: one over the direction."""

from typing import Any

from torch import Tensor

from torchzero.core.hyper import Hyper, number
from torchzero.core.transform import At, TensorwiseTransform


class Reciprocal(TensorwiseTransform):
    r"""One over each element, infinite where the sum below is 0.

    $$ d = \frac{1}{u + ε} $$

    Args:
        eps: added to u itself, not to its magnitude; any number.

    >>> import torch, torchzero as tz
    >>> tz.m.Reciprocal().step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 4.0])))[1].update
    tensor([-0.5000,  0.2500])

    Reference: elementary, as torch.reciprocal.
    """

    locality = "elementwise"

    eps: Hyper = number(0)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return 1 / (u + self.eps)
