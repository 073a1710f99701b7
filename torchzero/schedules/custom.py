"""Custom: any function of the step."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import static
from torchzero.core.schedule import Schedule


class Custom(Schedule):
    r"""A function of the number of updates so far.

    $$ s_k = f(k) $$

    Args:
        fn: 0-d integer tensor k -> 0-d tensor or number; pure, and made of torch functions if it is to be compiled or
            vmapped. What it closes over is no leaf: for numbers to differentiate or vmap over, write a Schedule.

    Raises:
        TypeError: for something that is not a function.

    >>> import torch, torchzero as tz
    >>> tz.schedules.Custom(lambda k: 1 / (1 + k))(torch.tensor(3))
    tensor(0.2500)

    Reference: torch.optim.lr_scheduler.LambdaLR
    """

    fn: Callable[[Tensor], Any] = static()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.fn):
            raise TypeError(f"Custom(fn={self.fn!r}): must be a function of the number of updates")

    def value(self, k: Tensor) -> Tensor:
        return torch.as_tensor(self.fn(k), device=k.device)
