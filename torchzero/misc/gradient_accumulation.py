"""GradientAccumulation: one step for several gradients."""

from typing import NamedTuple

from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import either


class GradientAccumulationState(NamedTuple):
    """State of GradientAccumulation."""

    t: Tensor  # ()           updates absorbed
    a: Tree  # like params  sum of u since the last step that was let through


class GradientAccumulation(Module):
    r"""Gather the updates of n steps, and let every n-th step through with their mean.

    $$ a_t = u_t + \begin{cases} 0 & t \equiv 1 \pmod n \\ a_{t-1} & \text{otherwise} \end{cases},\quad
       d_t = a_t / n \ \text{if}\ t \equiv 0 \pmod n $$

    At the other steps the modules after this one do not run and the parameters stay where they are.

    Args:
        n: how many steps to gather, at least 1.
        mean: divide by n; otherwise the sum is let through.
        stop: at the other steps stop the chain; if False they are let through with their own update.

    Raises:
        ValueError: for n below 1.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.GradientAccumulation(2), tz.m.LR(0.5))
    >>> p, state = torch.tensor(0.0), None
    >>> state = opt.init(p)
    >>> for g in (1.0, 3.0):
    ...     p, state = opt(p, state, grad=torch.tensor(g))
    ...     print(p.item())
    0.0
    -1.0

    Reference: the gradient of a large batch, one small batch after another.
    """

    locality = "elementwise"
    conservative = True

    n: int = static(low=1, integer=True)
    mean: bool = static(default=True)
    stop: bool = static(default=True)

    def init(self, params: Tree) -> GradientAccumulationState:
        return GradientAccumulationState(tree.counter(params), tree.zeros_like(params))

    def update(self, state: GradientAccumulationState, var: Var) -> GradientAccumulationState:
        fresh = state.t % self.n == 0
        u = tree.cast_like(var.update, state.a)
        return GradientAccumulationState(state.t + 1, tree.where(fresh, u, tree.add(state.a, u)))

    def apply(self, state: GradientAccumulationState, var: Var) -> Var:
        gathering = state.t % self.n != 0
        total = tree.scale(1 / self.n, state.a) if self.mean else state.a
        out = var.replace(update=tree.where(gathering, var.update, tree.cast_like(total, var.update)))
        if not self.stop:
            return out
        return out.replace(stop=either(var.stop, gathering), skip_update=either(var.skip_update, gathering))
