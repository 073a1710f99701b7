"""Exponential: the same factor every so many steps."""

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, integer, number, positive, static
from torchzero.core.schedule import Schedule


class Exponential(Schedule):
    r"""Multiply by a factor every so many steps.

    $$ s_k = a\,γ^{k/n} \;\text{ or, as a staircase, }\; a\,γ^{\lfloor k/n \rfloor} $$

    Args:
        start: a.
        rate: γ > 0.
        steps: n ≥ 1.
        end: the value to stop at, from above if γ < 1, else from below; None for no such value.
        staircase: change every n steps only.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> tz.schedules.Exponential(1.0, 0.5, steps=10, staircase=True)(torch.tensor(29))
    tensor(0.2500, dtype=torch.float64)

    Reference: optax.exponential_decay, torch.optim.lr_scheduler.ExponentialLR and StepLR
    """

    start: Hyper = number()
    rate: Hyper = positive()
    steps: Hyper = integer(1, 1)
    end: Hyper = number(None)
    staircase: bool = static(False)

    def value(self, k: Tensor) -> Tensor:
        power = k.to(torch.float64) / self.steps
        rate = torch.zeros_like(power) + self.rate
        now = self.start * rate ** (power.floor() if self.staircase else power)
        if self.end is None:
            return now
        end = torch.zeros_like(now) + self.end
        return torch.where(rate < 1, torch.maximum(now, end), torch.minimum(now, end))
