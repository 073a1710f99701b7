"""ClipNormGrowth: the norm of the update may grow only so fast."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.clipping.base import norms, ratio_where
from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, positive, static, within
from torchzero.core.metrics import check_ord
from torchzero.core.module import Locality
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class ClipNormGrowthState(NamedTuple):
    """State of ClipNormGrowth."""

    t: Tensor  # ()           updates absorbed
    r: Tree  # () each        norm on record, at least ν
    factor: Tree  # () each   what the update is multiplied by


class ClipNormGrowth(Transform):
    r"""Shorten the update where its norm exceeds that of the previous output by too much.

    $$ d_1 = u_1,\quad d_t = u_t \min\left(1, \frac{\min(r_{t-1} + a,\; γ r_{t-1})}{\lVert u_t\rVert}\right),\quad
       r_t = \max(\lVert d_t\rVert, r_{t-1}/δ, ν) $$

    The record does not fall faster than by the factor δ, so that a single short update leaves room for the next.

    Args:
        add: a ≥ 0, or None for no such limit.
        mul: γ > 0, or None for no such limit.
        min_value: ν > 0, the smallest norm on record.
        max_decay: δ > 1, or None for a record that falls with the update.
        ord: order of the norm, a number in [0, inf], or the name of a metric: mad, std, var, sum, l0 to l4, linf.
        tensorwise: norms of each tensor, else of all tensors together.

    Raises:
        ValueError: for a number outside its range or an unknown `ord`.

    >>> import torch, torchzero as tz
    >>> clip, p = tz.m.ClipNormGrowth(mul=2), torch.zeros(2)
    >>> p, state = clip(p, clip.init(p), grad=torch.tensor([0.3, 0.4]))
    >>> clip(p, state, grad=torch.tensor([3.0, 4.0]))[0] - p
    tensor([-0.6000, -0.8000])

    Reference: none in this form; compare the norm-growth limiter of Fira, Chen et al. 2024,
    https://arxiv.org/abs/2410.01623
    """

    add: Hyper = nonnegative(None)
    mul: Hyper = positive(1.5, optional=True)
    min_value: Hyper = positive(1e-4)
    max_decay: Hyper = within(1, math.inf, default=2, closed_low=False, optional=True)
    ord: float | str = static(2)
    tensorwise: bool = static(True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("ClipNormGrowth", "ord", self.ord)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as the norm reaches."""
        return "tensor" if self.tensorwise else "global"

    def init_tree(self, params: Tree) -> ClipNormGrowthState:
        zeros = tree.map(lambda p: p.new_zeros(()), params)
        return ClipNormGrowthState(tree.counter(params), zeros, tree.map(torch.ones_like, zeros))

    def update_tree(self, state: ClipNormGrowthState, u: Tree, var: Var) -> ClipNormGrowthState:
        t = state.t + 1
        norm = norms(u, self.ord, self.tensorwise)
        limit = tree.map(lambda r: torch.full_like(r, math.inf), state.r)
        if self.add is not None:
            limit = tree.zipmap(lambda x, r, a: torch.minimum(x, r + a), limit, state.r, self.add)
        if self.mul is not None:
            limit = tree.zipmap(lambda x, r, c: torch.minimum(x, c * r), limit, state.r, self.mul)
        factor = tree.map(lambda x, most: ratio_where((x > most) & (t > 1), most, x), norm, limit)
        r = tree.mul(norm, factor)
        if self.max_decay is not None:
            r = tree.zipmap(lambda x, before, decay: torch.maximum(x, before / decay), r, state.r, self.max_decay)
        r = tree.zipmap(lambda x, least: torch.maximum(x, torch.zeros_like(x) + least), r, self.min_value)
        return ClipNormGrowthState(t, r, factor)

    def apply_tree(self, state: ClipNormGrowthState, u: Tree, var: Var) -> Tree:
        return tree.mul(u, state.factor)
