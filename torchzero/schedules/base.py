"""What schedules share: how far along, and the shapes of a passage from one value to another."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper
from torchzero.core.safe import safe_sqrt


def progress(k: Tensor, start: Hyper, end: Hyper) -> Tensor:
    """How far `k` is from `start` to `end`: 0-d float64 in [0, 1]; 1 from `end` on, even if `start` is later."""
    k = k.to(torch.float64)
    zero = torch.zeros_like(k)
    length = zero + (end - start)
    long = length > 0
    part = torch.where(long, k - start, zero) / torch.where(long, length, zero + 1)
    return torch.where(k < end, part.clamp(0, 1), zero + 1)


def linear(a: Hyper, b: Hyper, x: Tensor) -> Tensor:
    """A straight line."""
    return a + (b - a) * x


def cosine(a: Hyper, b: Hyper, x: Tensor) -> Tensor:
    """Half a period of a cosine: flat at both ends."""
    return b + (a - b) * (1 + torch.cos(math.pi * x)) / 2


def exponential(a: Hyper, b: Hyper, x: Tensor) -> Tensor:
    """The same factor in every step; both values are positive."""
    a = torch.zeros_like(x) + a
    return a * (b / a) ** x


def sqrt(a: Hyper, b: Hyper, x: Tensor) -> Tensor:
    """The difference grows with the root: steep first."""
    return a + (b - a) * safe_sqrt(x)


SHAPES: dict[str, Callable[[Hyper, Hyper, Tensor], Tensor]] = {
    "linear": linear,
    "cosine": cosine,
    "exponential": exponential,
    "sqrt": sqrt,
}


def passages(k: Tensor, times: Sequence[Hyper], values: Sequence[Hyper], shape: str) -> Tensor:
    """From value to value between the times, held before the first and after the last."""
    out = SHAPES[shape](values[0], values[1], progress(k, times[0], times[1]))
    for i in range(1, len(times) - 1):
        passage = SHAPES[shape](values[i], values[i + 1], progress(k, times[i], times[i + 1]))
        out = torch.where(k <= times[i], out, passage)
    return out
