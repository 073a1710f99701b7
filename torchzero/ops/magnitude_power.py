"""MagnitudePower: a power of the magnitude, the sign kept."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, number
from torchzero.core.transform import At, TensorwiseTransform


class MagnitudePower(TensorwiseTransform):
    r"""Raise the magnitude to a power and keep the sign.

    $$ d = \mathrm{sign}(u)\,|u|^p $$

    0 stays 0 for every p, negative ones included; for p < 1 the derivative there is taken to be 0.

    Args:
        value: p, any number.

    >>> import torch, torchzero as tz
    >>> tz.m.MagnitudePower(2).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([-4.,  9.])

    Reference: elementary; p between 0 and 1 interpolates between signSGD and gradient descent, Chen, Zhou, Tang, Yang,
    Cao & Gu 2018, https://arxiv.org/abs/1806.06763
    """

    locality = "elementwise"

    value: Hyper = number()

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        zero = u == 0
        x = torch.where(zero, torch.ones_like(u), u)
        return torch.where(zero, u * (self.value == 1), x.sign() * x.abs() ** self.value)
