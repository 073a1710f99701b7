"""StepSize: a factor that learning-rate schedulers leave alone."""

from typing import Any

from torch import Tensor

from torchzero.core.hyper import Hyper, number, static
from torchzero.core.transform import At, TensorwiseTransform


class StepSize(TensorwiseTransform):
    r"""Multiply the update by a number that is not the learning rate.

    $$ d = s u $$

    Args:
        step_size: s.
        key: what it was called in parameter groups of earlier versions; it changes nothing, as groups call it
            `step_size` now, which no learning-rate scheduler writes.

    Raises:
        ValueError: for a number that is not finite.

    >>> import torch, torchzero as tz
    >>> half, p = tz.m.StepSize(0.5), torch.zeros(1)
    >>> half(p, half.init(p), grad=torch.tensor([2.0]))[0]
    tensor([-1.])

    Reference: Robbins & Monro 1951, A stochastic approximation method.
    """

    locality = "elementwise"
    conservative = True

    step_size: Hyper = number()
    key: str = static("step_size")

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return self.step_size * u
