"""Piecewise: one schedule after the other."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import children, is_number
from torchzero.core.schedule import Schedule


class Piecewise(Schedule):
    r"""One schedule or number after the other, each with a clock of its own.

    $$ s_k = s^{(i)}_{k - b_{i-1}} \text{ for } b_{i-1} ≤ k < b_i,\quad b_{-1} = 0 $$

    Args:
        pieces: m schedules or numbers, at least one.
        boundaries: $b_0 < … < b_{m-2}$, the steps at which the next piece begins.

    Raises:
        ValueError: for boundaries that do not ascend from 0 or are not one fewer than the pieces.
        TypeError: for a piece that is neither a schedule nor a number.

    >>> import torch, torchzero as tz
    >>> s = tz.schedules.Piecewise([0.1, tz.schedules.Linear(1.0, 0.0, steps=4)], [2])
    >>> torch.stack([s(torch.tensor(k)) for k in range(5)])
    tensor([0.1000, 0.1000, 1.0000, 0.7500, 0.5000], dtype=torch.float64)

    Reference: optax.join_schedules, torch.optim.lr_scheduler.SequentialLR and MultiStepLR
    """

    pieces: Sequence[Any] = children()
    boundaries: Sequence[Any] = children()

    def __post_init__(self) -> None:
        super().__post_init__()
        known = [b for b in self.boundaries if is_number(b)]
        if any(isinstance(b, Schedule) for b in self.boundaries):
            raise TypeError(f"Piecewise(boundaries={self.boundaries!r}): must be numbers")
        if len(self.boundaries) != len(self.pieces) - 1:
            raise ValueError(
                f"Piecewise(boundaries={self.boundaries!r}): {len(self.pieces)} pieces need "
                f"{max(len(self.pieces) - 1, 0)} boundaries, and there must be a piece"
            )
        if any(b <= a for a, b in zip([0, *known], known, strict=False)):
            raise ValueError(f"Piecewise(boundaries={self.boundaries!r}): must ascend, and begin after 0")

    def value(self, k: Tensor) -> Tensor:
        zero = torch.zeros_like(k, dtype=torch.float64)
        out, times = zero, (0, *self.boundaries)
        for i, (piece, begin) in enumerate(zip(self.pieces, times, strict=True)):
            clock = (k - begin).clamp_min(0)
            if i < len(self.boundaries):  # beyond its end a piece is not asked for values, which might overflow
                clock = torch.where(k < times[i + 1], clock, times[i + 1] - begin)
            now = piece(clock) if isinstance(piece, Schedule) else zero + piece
            out = torch.where(k >= begin, now, out)
        return out
