"""ClipValueGrowth: every element of the update may grow only so fast."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.clipping.clip_value import clamp
from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, positive, within
from torchzero.core.transform import At, TensorwiseTransform


class ClipValueGrowthState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()               updates absorbed
    r: Tensor  # like param       magnitude on record
    bound: Tensor  # like param   largest magnitude that this step allows


class ClipValueGrowth(TensorwiseTransform):
    r"""Bound every element of the update by the magnitude of the previous output and some growth.

    $$ d_1 = u_1,\quad b_t = \min\bigl(r_{t-1} + a,\; γ \max(r_{t-1}, ν)\bigr),\quad d_t = \min(\max(u_t, -b_t), b_t) $$

    The record is $r_t = |d_t|$, except where $|u_t| < \max(r_{t-1}, ν)/δ$, where it falls to $r_{t-1}/δ$ only.

    Args:
        add: a ≥ 0, or None for no such limit.
        mul: γ > 0, or None for no such limit.
        min_value: ν > 0, the magnitude that γ multiplies at least.
        max_decay: δ > 1, or None for a record that falls with the update.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> clip, p = tz.m.ClipValueGrowth(mul=2), torch.zeros(2)
    >>> p, state = clip(p, clip.init(p), grad=torch.tensor([1.0, 1.0]))
    >>> clip(p, state, grad=torch.tensor([3.0, -1.5]))[0] - p
    tensor([-2.0000,  1.5000])

    Reference: none; made for this library.
    """

    locality = "elementwise"

    add: Hyper = nonnegative(None)
    mul: Hyper = positive(1.5, optional=True)
    min_value: Hyper = positive(1e-4)
    max_decay: Hyper = within(1, math.inf, default=2, closed_low=False, optional=True)

    def init_tensor(self, param: Tensor) -> ClipValueGrowthState:
        zeros = torch.zeros_like(param)
        return ClipValueGrowthState(tree.counter(param), zeros, zeros)

    def scalars(self, t: Tensor) -> Tensor:
        return t <= 1

    def update_tensor(self, state: ClipValueGrowthState, u: Tensor, at: At) -> ClipValueGrowthState:
        first, r, magnitude = at.scalars, state.r, u.abs()
        floored = torch.maximum(r, torch.zeros_like(r) + self.min_value)
        bound = torch.full_like(r, math.inf)
        if self.add is not None:
            bound = torch.minimum(bound, r + self.add)
        if self.mul is not None:
            bound = torch.minimum(bound, self.mul * floored)
        bound = torch.where(first, math.inf, bound)
        new = torch.minimum(magnitude, bound)
        if self.max_decay is not None:
            falls = (magnitude < floored / self.max_decay) & ~first
            new = torch.where(falls, r / self.max_decay, new)
        return ClipValueGrowthState(state.t, new, bound)

    def apply_tensor(self, state: ClipValueGrowthState, u: Tensor, at: At) -> Tensor:
        return clamp(u, state.bound)
