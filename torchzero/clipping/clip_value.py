"""ClipValue: no element larger than a bound."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, is_number, positive
from torchzero.core.transform import At, TensorwiseTransform


class ClipValue(TensorwiseTransform):
    r"""Bound the absolute value of every element of the update.

    $$ d = \min(\max(u, -c), c) $$

    Args:
        value: c > 0.

    Raises:
        ValueError: for a bound that is not positive.

    >>> import torch, torchzero as tz
    >>> clip, p = tz.m.ClipValue(1.0), torch.zeros(2)
    >>> clip(p, clip.init(p), grad=torch.tensor([0.5, -4.0]))[0]
    tensor([-0.5000,  1.0000])

    Reference: Mikolov 2012, Statistical language models based on neural networks, section 3.2.2;
    torch.nn.utils.clip_grad_value_
    """

    locality = "elementwise"

    value: Hyper = positive()

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        if is_number(self.value):
            return u.clamp(-self.value, self.value)
        return clamp(u, self.value)


def clamp(u: Tensor, bound: Tensor) -> Tensor:
    """`u` between -bound and bound."""
    return torch.minimum(torch.maximum(u, -bound), bound)
