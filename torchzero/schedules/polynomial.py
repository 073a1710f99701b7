"""Polynomial: a power of what is left."""

from torch import Tensor

from torchzero.core.hyper import Hyper, integer, number, positive
from torchzero.core.safe import safe_pow
from torchzero.core.schedule import Schedule
from torchzero.schedules.base import linear, progress


class Polynomial(Schedule):
    r"""From one value to another as a power of the steps left, held afterwards.

    $$ s_k = b + (a - b)\left(1 - \min(k/n, 1)\right)^p $$

    Args:
        start: a.
        end: b.
        steps: n ≥ 1.
        power: p > 0.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> tz.schedules.Polynomial(1.0, 0.0, steps=4, power=2)(torch.tensor(1))
    tensor(0.5625, dtype=torch.float64)

    Reference: optax.polynomial_schedule, torch.optim.lr_scheduler.PolynomialLR
    """

    start: Hyper = number()
    end: Hyper = number()
    steps: Hyper = integer(1)
    power: Hyper = positive(1.0)

    def value(self, k: Tensor) -> Tensor:
        return linear(self.end, self.start, safe_pow(1 - progress(k, 0, self.steps), self.power))
