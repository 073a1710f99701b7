"""Constant: the schedule that does not change."""

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, number
from torchzero.core.schedule import Schedule


class Constant(Schedule):
    r"""The same value always.

    $$ s_k = c $$

    Args:
        level: c.

    >>> import torch, torchzero as tz
    >>> tz.schedules.Constant(0.5)(torch.tensor(7))
    tensor(0.5000, dtype=torch.float64)

    Reference: optax.constant_schedule
    """

    level: Hyper = number()

    def value(self, k: Tensor) -> Tensor:
        return torch.zeros_like(k, dtype=torch.float64) + self.level
