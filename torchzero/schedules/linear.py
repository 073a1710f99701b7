"""Linear: a straight line between two values."""

from torch import Tensor

from torchzero.core.hyper import Hyper, integer, number
from torchzero.core.schedule import Schedule
from torchzero.schedules.base import linear, progress


class Linear(Schedule):
    r"""A straight line from one value to another, held afterwards.

    $$ s_k = a + (b - a) \min(k/n, 1) $$

    Args:
        start: a.
        end: b.
        steps: n ≥ 1.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> tz.schedules.Linear(1.0, 0.0, steps=4)(torch.tensor(1))
    tensor(0.7500, dtype=torch.float64)

    Reference: optax.linear_schedule, torch.optim.lr_scheduler.LinearLR
    """

    start: Hyper = number()
    end: Hyper = number()
    steps: Hyper = integer(1)

    def value(self, k: Tensor) -> Tensor:
        return linear(self.start, self.end, progress(k, 0, self.steps))
