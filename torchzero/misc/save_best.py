"""SaveBest: the parameters with the lowest loss so far."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class SaveBestState(NamedTuple):
    """State of SaveBest."""

    best_loss: Tensor  # ()           lowest loss so far; inf before the first step
    best_params: Tree  # like params  where it was


class SaveBest(Module):
    r"""Remember the parameters with the lowest loss so far, and publish them.

    $$ θ^* = θ_{t^*},\quad t^* = \arg\min_{s \le t} f(θ_s) $$

    The loss is that at the parameters which the step starts from, so the outcome of the last step is not compared. The
    direction stays as it is; `attrs["best_params"]` and `attrs["best_loss"]` are published, and the state has them too.
    A loss that is NaN is never the best.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.SaveBest()
    >>> state = opt.init(torch.tensor([0.0]))
    >>> for x in (3.0, 1.0, 2.0):
    ...     state, var = opt.step(state, tz.Var(torch.tensor([x]), objective=lambda x: (x**2).sum()))
    >>> var.attrs["best_params"], var.attrs["best_loss"]
    (tensor([1.]), tensor(1.))

    Reference: the pocket algorithm: Gallant 1990, Perceptron-based learning algorithms.
    """

    needs = frozenset({"value", "params"})
    conservative = True

    def init(self, params: Tree) -> SaveBestState:
        like = tree.reference(params)
        dtype = torch.promote_types(like.dtype, torch.float32)
        return SaveBestState(torch.full((), math.inf, dtype=dtype, device=like.device), params)

    def update(self, state: SaveBestState, var: Var) -> SaveBestState:
        loss = tree.cast(var.loss, state.best_loss)
        better = loss < state.best_loss
        return SaveBestState(
            torch.where(better, loss, state.best_loss), tree.where(better, var.params, state.best_params)
        )

    def apply(self, state: SaveBestState, var: Var) -> Var:
        return var.replace(attrs={**var.attrs, "best_params": state.best_params, "best_loss": state.best_loss})
