"""HpuEstimate: the change of the update along the last step."""

from typing import NamedTuple

from torchzero.core import tree
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class HpuEstimateState(NamedTuple):
    """State of HpuEstimate."""

    p_prev: Tree  # like params  parameters of the step before, zero at first
    u_prev: Tree  # like params  update of the step before, zero at first
    y: Tree  # like params  the estimate


class HpuEstimate(Transform):
    r"""Replace the update by its change along the last step, for a step of length 1.

    $$ d_t = \frac{u_t - u_{t-1}}{\max(‖θ_t - θ_{t-1}‖, 10^{-8})},\quad θ_0 = u_0 = 0 $$

    With the gradient as the update that comes in, it estimates the Hessian times the direction of the last step.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.HpuEstimate()
    >>> state = opt.init(torch.zeros(2))
    >>> for x in (0.0, 0.25):
    ...     p = torch.tensor([x, 0.0])
    ...     state, var = opt.step(state, tz.Var(p, objective=lambda p: p[0] ** 2 + p[0] * p[1]))
    >>> var.update
    tensor([2., 1.])

    Reference: the secant equation; Nocedal & Wright 2006, Numerical optimization, section 6.1.
    """

    locality = "global"
    needs = frozenset({"params"})

    def init_tree(self, params: Tree) -> HpuEstimateState:
        zeros = tree.zeros_like(params)
        return HpuEstimateState(zeros, zeros, zeros)

    def update_tree(self, state: HpuEstimateState, u: Tree, var: Var) -> HpuEstimateState:
        length = tree.norm(tree.sub(var.params, state.p_prev)).clamp_min(1e-8)
        y = tree.map(lambda a, b: (a - b) / length, u, state.u_prev)
        return HpuEstimateState(var.params, u, y)

    def apply_tree(self, state: HpuEstimateState, u: Tree, var: Var) -> Tree:
        return state.y
