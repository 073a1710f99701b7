"""FDM: the gradient by differences along every coordinate."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, positive, static
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.grad_approximation.base import (
    STENCILS,
    Estimate,
    GradApproximator,
    batches,
    differences,
    outside,
    touches_centre,
)


def coordinates(params: Tree, low: int, high: int) -> Tree:
    """The unit vectors low … high-1 among all elements: (high - low, *shape) for each leaf."""
    parts, spec = tree.flatten(params)
    at, out = 0, []
    rows = torch.arange(low, high, device=tree.reference(params).device).unsqueeze(1)
    for p in parts:
        one = rows.to(p.device) == torch.arange(at, at + p.numel(), device=p.device)
        out.append(one.reshape(high - low, *p.shape).to(p.dtype))
        at += p.numel()
    return tree.unflatten(spec, out)


class FDM(GradApproximator):
    r"""The gradient by finite differences along every coordinate.

    $$ g_i = \frac{1}{h} \sum_k w_k\, f(θ + o_k h e_i) $$

    | formula | offsets o | weights w | values for n elements |
    |---|---|---|---|
    | "forward", "forward2" | 0, 1 | -1, 1 | n + 1 |
    | "backward", "backward2" | -1, 0 | -1, 1 | n + 1 |
    | "central", "central2" | -1, 1 | -1/2, 1/2 | 2n |
    | "forward3" | 0, 1, 2 | -3/2, 2, -1/2 | 2n + 1 |
    | "backward3" | -2, -1, 0 | 1/2, -2, 3/2 | 2n + 1 |
    | "central4" | -2, -1, 1, 2 | 1/12, -2/3, 2/3, -1/12 | 4n |
    | "forward4" | 0, 1, 2, 3 | -11/6, 3, -3/2, 1/3 | 3n + 1 |
    | "forward5" | 0, 1, 2, 3, 4 | -25/12, 4, -3, 4/3, -1/4 | 4n + 1 |

    A function is evaluated at many points at once, a closure at one after the other. The loss at θ takes one value more
    where the formula has none.

    Args:
        h: the step, positive, in units of the parameters.
        formula: a name in the table.
        target: "closure" gives all modules after this one an objective with estimated gradients, at whatever points;
            "grad" fills in the gradient at the step's point, and "update" the direction alone.

    Raises:
        ValueError: for a step that is not positive, or an unknown formula or target.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.FDM(h=0.5, formula="forward"), tz.m.LR(0.1))
    >>> p = torch.tensor([2.0, 0.0])
    >>> opt(p, opt.init(p), lambda x: (x**2).sum())[0]
    tensor([ 1.5500, -0.0500])

    Reference: Fornberg 1988, Generation of finite difference formulas on arbitrarily spaced grids,
    https://doi.org/10.1090/S0025-5718-1988-0935077-0
    """

    h: Hyper = positive(1e-3)
    formula: str = static("central", choices=tuple(STENCILS))

    def __init__(self, h: Hyper = 1e-3, formula: str = "central", target: str = "closure") -> None:
        self._set(h=h, formula=formula, target=target, return_approx_loss=False)

    def probes(self, params: Tree) -> int:
        return outside(self.formula) * tree.count(params)

    def approximate(self, own: Any, objective: Objective, params: Tree, loss: Tensor | None) -> Estimate:
        n = tree.count(params)
        if loss is None and touches_centre(self.formula):
            loss = objective.value(params)
        parts = [
            differences(objective, params, coordinates(params, low, high), self.h, self.formula, loss).slopes
            for low, high in batches(n, n)
        ]
        if not parts:
            return tree.zeros_like(params), loss, None
        leaves, spec = tree.flatten(params)
        pieces = torch.split(torch.cat(parts), [p.numel() for p in leaves])
        rows = zip(pieces, leaves, tree.spread(self.h, params), strict=True)
        return tree.unflatten(spec, [tree.cast((x / h).reshape(p.shape), p) for x, p, h in rows]), loss, None
