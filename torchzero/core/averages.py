"""Running means and the sums they are made of, in one place: every decay in the library means the same."""

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper


def ema(mean: Tensor, x: Tensor, beta: Hyper) -> Tensor:
    """β·mean + (1-β)·x."""
    if isinstance(beta, int | float):
        return torch.lerp(mean, x, 1 - beta)
    return beta * mean + (1 - beta) * x


def ema_square(mean: Tensor, x: Tensor, beta: Hyper) -> Tensor:
    """β·mean + (1-β)·x²."""
    if isinstance(beta, int | float):
        return torch.addcmul(beta * mean, x, x, value=1 - beta)
    return beta * mean + (1 - beta) * (x * x)


def axpy(a: Hyper, x: Tensor, y: Tensor) -> Tensor:
    """a·x + y."""
    if isinstance(a, int | float):
        return torch.add(y, x, alpha=a)
    return y + a * x


def bias(beta: Hyper, t: Tensor) -> Tensor:
    """1 - βᵗ: the weight that a running mean started at zero has gathered after `t` updates."""
    return 1 - beta**t
