"""GradientCorrection: take the change of the gradient along the last step out of the direction."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.safe import safe_div
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class GradientCorrectionState(NamedTuple):
    """State of GradientCorrection."""

    known: Tensor  # ()          whether x and u_prev belong to an update before
    x: Tree  # like params       parameters of the update before, zero at first
    u_prev: Tree  # like params  the update before, zero at first
    s: Tree  # like params       the last step, zero at first
    y: Tree  # like params       change of the update along it, zero at first


class GradientCorrection(Transform):
    r"""Estimate what the gradient would be if the last step had been exact along its line.

    $$ d_t = u_t - \frac{s^Tu_t}{s^Ty}y,\quad s = θ_t - θ_{t-1},\quad y = u_t - u_{t-1} $$

    so that sᵀd = 0. The first direction, and any where sᵀy = 0, is u. The inner products run over all parameters.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.GradientCorrection()
    >>> state = opt.init(torch.zeros(2))
    >>> for x in (2.0, 1.0):
    ...     p = torch.tensor([x, x])
    ...     state, var = opt.step(state, tz.Var(p, objective=lambda p: p[0] ** 2 + 2 * p[1] ** 2))
    >>> var.update
    tensor([0., 0.])

    Reference: Hoshino 1972, A formulation of variable metric methods, https://doi.org/10.1093/imamat/10.3.394
    """

    locality = "global"
    whole = True
    needs = frozenset({"params"})

    def init_tree(self, params: Tree) -> GradientCorrectionState:
        zeros = tree.zeros_like(params)
        known = torch.zeros((), dtype=torch.bool, device=tree.reference(params).device)
        return GradientCorrectionState(known, zeros, zeros, zeros, zeros)

    def update_tree(self, state: GradientCorrectionState, u: Tree, var: Var) -> GradientCorrectionState:
        s = tree.where(state.known, tree.sub(var.params, state.x), state.s)
        y = tree.where(state.known, tree.sub(u, state.u_prev), state.y)
        return GradientCorrectionState(torch.ones_like(state.known), var.params, u, s, y)

    def apply_tree(self, state: GradientCorrectionState, u: Tree, var: Var) -> Tree:
        factor = safe_div(tree.dot(state.s, u), tree.dot(state.s, state.y))
        return tree.map(lambda x, y: x - factor * y, u, state.y)

    def reset_tree(self, state: GradientCorrectionState) -> GradientCorrectionState:
        return state._replace(known=torch.zeros_like(state.known))
