"""What step sizes share: the step when nothing better is known, ramps, and settings that must be one number."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, is_number, is_scalar
from torchzero.core.tree import Tree


def epsilon_step(u: Tree, size: Hyper) -> Tensor:
    """A step that moves no element by more than about `size`: what stands where no step size is available.

    1 where the largest |u| is below `size`; else size / max|u| where that is below 1; else `size`. 0-d.
    """
    largest = tree.norm(u, float("inf"))
    one = torch.ones_like(largest)
    small = torch.where(largest < one, size / torch.where(largest > 0, largest, one), size * one)
    return torch.where(largest < size, one, small)


def usable(a: Tensor) -> Tensor:
    """Whether a step size is finite and not nearly zero: 0-d bool."""
    return torch.isfinite(a) & (a > 2 * torch.finfo(a.dtype).tiny)


def ramp(k: Tensor, steps: Hyper, start: Hyper, end: Hyper) -> Tensor:
    """The value after k steps of a straight line from `start` to `end`, held before and after."""
    steps = k * 0 + steps
    part = torch.where(k < steps, k / torch.where(steps > 0, steps, torch.ones_like(k)), torch.ones_like(k))
    return start + (end - start) * part.clamp_min(0)


def single(module: object, *names: str) -> tuple[Any, ...]:
    """Hyperparameters that cannot differ between parameters; a tree that repeats one value counts as that value.

    Raises:
        ValueError: for a tree of different values.
    """
    return tuple(_single(module, name, getattr(module, name)) for name in names)


def _single(module: object, name: str, value: Any) -> Any:
    if value is None or is_scalar(value):
        return value
    first, *others = tree.leaves(value)
    if all(x is first or (is_number(x) and is_number(first) and x == first) for x in others):
        return first
    raise ValueError(
        f"{type(module).__name__}({name}={value!r}): must be one number, because all parameters are treated together; "
        "to treat groups of parameters apart, give each its own module with Split"
    )
