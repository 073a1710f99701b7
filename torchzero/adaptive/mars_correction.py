"""MARSCorrection: variance reduction by the change of the gradient, for any optimizer."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, number, positive, within
from torchzero.core.safe import safe_div
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class MARSCorrectionState(NamedTuple):
    """State of all tensors."""

    t: Tensor  # ()              updates absorbed
    u_prev: Tree  # like params    the update before, uncorrected
    c: Tree  # like params         the corrected update, before clipping


class MARSCorrection(Transform):
    r"""Add to the update a multiple of its change, and bound the norm of the result.

    $$ c_t = u_t + γ\frac{β}{1-β}(u_t - u_{t-1}),\quad d_t = \min(1, M/\|c_t\|)\, c_t,\quad u_0 = u_1 $$

    with the norm over all parameters together. This is the approximate variant, which compares gradients of different
    minibatches; the authors' code clips every tensor on its own. Place it before an optimizer whose first decay is β.

    Args:
        beta: β in [0, 1).
        scaling: γ.
        max_norm: M > 0.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> mars, x = tz.m.MARSCorrection(scaling=0.5, max_norm=10), torch.tensor([0.0])
    >>> x, state = mars(x, mars.init(x), grad=torch.tensor([1.0]))
    >>> mars(x, state, grad=torch.tensor([2.0]))[0]
    tensor([-7.5000])

    Reference: Yuan, Liu, Wu, Zhou & Gu 2025, algorithm 1, https://arxiv.org/abs/2411.10438
    """

    locality = "global"

    beta: Hyper = within(0, 1, default=0.9)
    scaling: Hyper = number(0.025)
    max_norm: Hyper = positive(1)

    def init_tree(self, params: Tree) -> MARSCorrectionState:
        return MARSCorrectionState(tree.counter(params), tree.zeros_like(params), tree.zeros_like(params))

    def update_tree(self, state: MARSCorrectionState, u: Tree, var: Var) -> MARSCorrectionState:
        known = (state.t > 0).to(torch.float64)

        def correct(x: Tensor, prev: Tensor, beta: Any, scaling: Any) -> Tensor:
            return x + known * (scaling * beta / (1 - beta)) * (x - prev)

        return MARSCorrectionState(state.t + 1, u, tree.zipmap(correct, u, state.u_prev, self.beta, self.scaling))

    def apply_tree(self, state: MARSCorrectionState, u: Tree, var: Var) -> Tree:
        norm = tree.norm(state.c)

        def clip(x: Tensor, limit: Any) -> Tensor:
            over = norm > limit
            return torch.where(over, safe_div(torch.zeros_like(norm) + limit, norm), torch.ones_like(norm)) * x

        return tree.zipmap(clip, state.c, self.max_norm)
