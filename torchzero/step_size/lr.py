"""LR: the learning rate, and the only module with a setting of that name."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from torchzero.core.hyper import Hyper, nonnegative, static
from torchzero.core.transform import At, TensorwiseTransform


class LR(TensorwiseTransform):
    r"""Multiply the update by the learning rate.

    $$ d = η u $$

    Args:
        lr: η ≥ 0. Schedulers and parameter groups of `Modular` write this one.
        scheduler_cls: a torch scheduler class, or a function optimizer -> scheduler; `Modular` makes it and steps it,
            and lets it cycle `momentum` (or `beta1`) of the other modules.
        cycle_momentum: hand the scheduler's momentum to the other modules.
        sheduler_step_every: advance the scheduler every so many steps. (Spelled as it has always been.)
        scheduler_kwargs: dict of further arguments of `scheduler_cls`.

    Raises:
        ValueError: for a negative number.

    >>> import torch, torchzero as tz
    >>> lr = tz.m.LR(0.1)
    >>> lr(torch.tensor([1.0]), lr.init(torch.tensor([1.0])), grad=torch.tensor([2.0]))[0]
    tensor([0.8000])

    Reference: Robbins & Monro 1951, A stochastic approximation method.
    """

    locality = "elementwise"
    conservative = True

    lr: Hyper = nonnegative()
    scheduler_cls: Callable[..., Any] | None = static(None)
    cycle_momentum: bool = static(True)
    sheduler_step_every: int = static(1, low=1, integer=True)
    scheduler_kwargs: tuple[tuple[str, Any], ...] = static(())

    def __init__(
        self,
        lr: Hyper,
        scheduler_cls: Callable[..., Any] | None = None,
        cycle_momentum: bool = True,
        sheduler_step_every: int = 1,
        **kwargs: Any,
    ) -> None:
        self._write("lr", lr)
        self._write("scheduler_cls", scheduler_cls)
        self._write("cycle_momentum", cycle_momentum)
        self._write("sheduler_step_every", sheduler_step_every)
        self._write("scheduler_kwargs", tuple(kwargs.items()))
        self._validate()

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return self.lr * u
