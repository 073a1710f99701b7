"""Rescale: an affine map onto a given range."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, number, static
from torchzero.core.module import Locality
from torchzero.core.safe import safe_div
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class Rescale(Transform):
    r"""Map the direction affinely so that its elements span [min, max].

    $$ d = a\,(u - \min u) + \mathrm{min},\quad a = \frac{\mathrm{max} - \mathrm{min}}{\max u - \min u + ε} $$

    With only one of the two ends given the direction is shifted, not scaled, so that it begins or ends there.

    Args:
        min: where the smallest element goes; None to leave it free.
        max: where the largest element goes; None to leave it free.
        tensorwise: take the extrema of each tensor instead of those of all tensors together.
        eps: added to the width of u; at least 0. At 0 a constant direction becomes min everywhere.

    Raises:
        ValueError: for a negative eps, or when neither end is given.

    >>> import torch, torchzero as tz
    >>> tz.m.Rescale(0.0, 1.0).step((), tz.Var(torch.zeros(3), grad=torch.tensor([-1.0, 0.0, 3.0])))[1].update
    tensor([0.0000, 0.2500, 1.0000])

    Reference: elementary; min-max normalisation.
    """

    min: Hyper = number(optional=True)
    max: Hyper = number(optional=True)
    tensorwise: bool = static(False)
    eps: Hyper = nonnegative(1e-8)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min is None and self.max is None:
            raise ValueError("Rescale(min=None, max=None): give at least one; to change nothing use Identity")

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        """How far an output element sees."""
        return "tensor" if self.tensorwise else "global"

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        parts = [x for x in tree.leaves(u) if x.numel()]
        if not parts:
            return u
        if self.tensorwise:
            low, high = (tree.map(lambda x, f=f: f(x) if x.numel() else x.sum(), u) for f in (torch.amin, torch.amax))
        else:
            low, high = torch.stack([x.amin() for x in parts]).amin(), torch.stack([x.amax() for x in parts]).amax()
        return tree.zipmap(_affine, u, low, high, *(_spread(v, u) for v in (self.min, self.max)), self.eps)


def _spread(bound: Hyper, u: Tree) -> Any:
    """The bound as a tree that may stand next to u: optree takes None for an empty subtree, so it is wrapped."""
    if bound is None:
        return tree.map(lambda _: _Free(), u)
    return bound


class _Free:
    """A bound that is not given."""


def _affine(u: Tensor, low: Tensor, high: Tensor, start: Any, end: Any, eps: Any) -> Tensor:
    if isinstance(start, _Free):
        return u + (end - high)
    if isinstance(end, _Free):
        return u + (start - low)
    return safe_div(end - start + torch.zeros_like(low), high - low + eps) * (u - low) + start
