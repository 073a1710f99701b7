"""Relative: steps in proportion to the parameters."""

from typing import Any

from torch import Tensor

from torchzero.core.hyper import Hyper, nonnegative
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.misc.base import at_least


class Relative(TensorwiseTransform):
    r"""Multiply the update by the size of the parameters, element by element.

    $$ d = u \max(|θ|, m) $$

    Args:
        min_value: m ≥ 0, so that parameters at zero can leave it.

    Raises:
        ValueError: for a negative number.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Relative()
    >>> p = torch.tensor([2.0, -4.0])
    >>> opt(p, opt.init(p), grad=torch.tensor([0.5, 0.5]))[0]
    tensor([ 1., -6.])

    Reference: You, Gitman & Ginsburg 2017, LARS, https://arxiv.org/abs/1708.03888, does so for whole layers.
    """

    locality = "elementwise"
    needs = frozenset({"params"})

    min_value: Hyper = nonnegative(default=1e-4)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return u * at_least(at.param.abs(), self.min_value)
