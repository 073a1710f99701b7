"""NegateOnLossIncrease: no step uphill."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var, apply_update
from torchzero.misc.base import as_bool


class NegateOnLossIncreaseState(NamedTuple):
    """State of NegateOnLossIncrease."""

    worse: Tensor  # ()  bool: whether the step would raise the loss, or lead where it is NaN


class NegateOnLossIncrease(Module):
    r"""Give up, or turn round, a step that would raise the loss.

    $$ d = \begin{cases} u & f(θ - u) \le f(θ) \\ 0\ \text{or}\ {-u} & \text{otherwise} \end{cases} $$

    Place it last, after the learning rate. It costs one evaluation of the loss; a loss that is NaN counts as higher.

    Args:
        backtrack: turn round; otherwise stay.

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.LR(1.5), tz.m.NegateOnLossIncrease())
    >>> p = torch.tensor([2.0])
    >>> opt(p, opt.init(p), lambda x: (x**2).sum())[0]
    tensor([2.])

    Reference: as the simplest of line searches; Nocedal & Wright 2006, Numerical optimization, section 3.1.
    """

    needs = frozenset({"value", "objective", "params"})

    backtrack: bool = static(default=False)

    def init(self, params: Tree) -> NegateOnLossIncreaseState:
        return NegateOnLossIncreaseState(as_bool(False, params))

    def update(self, state: NegateOnLossIncreaseState, var: Var) -> NegateOnLossIncreaseState:
        after = var.need_objective(self).value(apply_update(var.replace(skip_update=False)))
        return NegateOnLossIncreaseState(torch.logical_not(after <= var.loss))

    def apply(self, state: NegateOnLossIncreaseState, var: Var) -> Var:
        u = var.update
        instead = tree.scale(-1, u) if self.backtrack else tree.zeros_like(u)
        return var.replace(update=tree.where(state.worse, instead, u))
