"""WithinBounds: no step out of a box."""

import math
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, within
from torchzero.core.module import Locality
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class WithinBounds(Transform):
    r"""Shorten every element of the step so that it ends between bounds: the projected method of what comes before.

    $$ d = θ - \min(\max(θ - u, l), b) $$

    Sound where elements are treated by themselves (gradient descent, Adam): the others may not go down once they are
    cut. It comes last, or before a line search along the cut step.

    Args:
        lb: lower bounds l: a number, a tree of numbers or tensors like the parameters, -inf for none; None for none.
        ub: upper bounds b, likewise.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.Chain(tz.m.LR(0.5), tz.m.WithinBounds(lb=0.0)), torch.tensor([1.0, 1.0])
    >>> opt(p, opt.init(p), grad=torch.tensor([1.0, 4.0]))[0]
    tensor([0.5000, 0.0000])

    Reference: Bertsekas 1976, On the Goldstein-Levitin-Polyak gradient projection method,
    https://doi.org/10.1109/TAC.1976.1101194
    """

    needs = frozenset({"params"})

    lb: Hyper = within(-math.inf, math.inf, default=None, closed_high=True, optional=True)
    ub: Hyper = within(-math.inf, math.inf, default=None, closed_high=True, optional=True)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The same element only, unless bounds are tensors with the shape of their parameter."""
        alike = all(not isinstance(b, Tensor) or b.ndim == 0 for b in tree.leaves((self.lb, self.ub)))
        return "elementwise" if alike else "tensor"

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        def step(p: Tensor, u: Tensor, *bounds: Any) -> Tensor:
            low, high = (torch.as_tensor(b, dtype=p.dtype, device=p.device) for b in bounds)
            return torch.where(p - u < low, p - low, torch.where(p - u > high, p - high, u))

        bounds = [
            tree.spread(absent if b is None else b, u) for b, absent in ((self.lb, -math.inf), (self.ub, math.inf))
        ]
        (us, spec), ps = tree.flatten(u), tree.leaves(var.params)
        return tree.unflatten(spec, [step(p, x, *b) for p, x, *b in zip(ps, us, *bounds, strict=True)])
