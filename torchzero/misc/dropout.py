"""Dropout: a random part of the update."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper, integer, static, within
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import graft


class DropoutState(NamedTuple):
    """State of Dropout."""

    key: Tensor  # (2,)  int64, the key of this step's draws


class Dropout(Transform):
    r"""Set random elements of the update to zero.

    $$ d = u ⊙ ξ,\quad ξ \sim \mathrm{Bernoulli}(1 - p) $$

    The elements that stay are not multiplied by 1/(1-p), as in the paper: it is a learning rate that is dropped.

    Args:
        p: the probability that an element becomes zero, in [0, 1].
        graft: give the result the norm of u, over all parameters.
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for p outside [0, 1].

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Dropout(0.5, seed=0)
    >>> opt(torch.zeros(4), opt.init(torch.zeros(4)), grad=-torch.ones(4))[0].unique()
    tensor([0., 1.])

    Reference: Lin, Zhang, Zhao, Xie & Zhang 2019, learning rate dropout, https://arxiv.org/abs/1912.00144
    """

    p: Hyper = within(0, 1, default=0.5, closed_high=True)
    graft: bool = static(default=False)
    seed: Hyper = integer(0, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init_tree(self, params: Tree) -> DropoutState:
        return DropoutState(random.key(self.seed, tree.reference(params).device))

    def update_tree(self, state: DropoutState, u: Tree, var: Var) -> DropoutState:
        return DropoutState(random.split(state.key)[0])

    def apply_tree(self, state: DropoutState, u: Tree, var: Var) -> Tree:
        leaves, spec = tree.flatten(u)
        kept = []
        for i, (x, p) in enumerate(zip(leaves, tree.spread(self.p, u), strict=True)):
            key = random.fold_in(state.key, i).to(x.device)
            kept.append(torch.where(random.bernoulli(key, p, x.shape), torch.zeros_like(x), x))
        out = tree.unflatten(spec, kept)
        return graft(out, u, tensorwise=False, ord=2, eps=1e-6) if self.graft else out
