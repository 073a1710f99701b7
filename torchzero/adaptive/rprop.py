"""Rprop: step sizes from nothing but the signs of successive gradients."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, positive, static, within
from torchzero.core.transform import At, TensorwiseTransform


class RpropState(NamedTuple):
    """State of one tensor."""

    prev: Tensor  # like param         direction of the last step
    size: Tensor  # like param         step size Δ of each element
    allowed: Tensor  # like param, bool   whether the element may adapt: not right after a sign change


class Rprop(TensorwiseTransform):
    r"""Move each element by a step size that grows while its sign stays and shrinks when it changes.

    $$ s = \mathrm{sign}(u_t d_{t-1}),\quad
       Δ_t = \mathrm{clip}\bigl(Δ_{t-1}·\{η^+ \text{ if } s>0,\ η^- \text{ if } s<0,\ 1\},\ l,\ h\bigr),\quad
       d_t = \begin{cases} -d_{t-1} \text{ or } 0 & s<0 \\ Δ_t\,\mathrm{sign}(u_t) & \text{otherwise} \end{cases} $$

    An element whose sign changed sits out the next comparison: its s is 0 then.

    Args:
        nplus: η⁺ ≥ 1.
        nminus: η⁻ in (0, 1].
        lb: smallest step size l ≥ 0.
        ub: largest step size h > 0.
        backtrack: after a sign change undo the last step; without it the element stays, as in torch.optim.Rprop.
        alpha: first step size, Δ₀ > 0.

    Raises:
        ValueError: for a number outside its range.

    >>> import torchzero as tz
    >>> rprop, x = tz.m.Rprop(alpha=0.5), torch.tensor([0.0])
    >>> x, state = rprop(x, rprop.init(x), grad=torch.tensor([3.0]))
    >>> rprop(x, state, grad=torch.tensor([1.0]))[0]
    tensor([-1.1000])

    Reference: Riedmiller & Braun 1993, https://doi.org/10.1109/ICNN.1993.298623
    """

    locality = "elementwise"

    nplus: Hyper = within(1, float("inf"), default=1.2)
    nminus: Hyper = within(0, 1, default=0.5, closed_low=False, closed_high=True)
    lb: Hyper = nonnegative(1e-6)
    ub: Hyper = positive(50)
    backtrack: bool = static(True)
    alpha: Hyper = positive(1)

    def _clip(self, size: Tensor) -> Tensor:
        return size.clamp_min(self.lb).clamp_max(self.ub)

    def init_tensor(self, param: Tensor) -> RpropState:
        size = tree.cast(self._clip(tree.full_like(param, self.alpha)), param)
        return RpropState(torch.zeros_like(param), size, torch.ones_like(param, dtype=torch.bool))

    def update_tensor(self, state: RpropState, u: Tensor, at: At) -> RpropState:
        sign = u.sign()
        agreement = sign * state.prev.sign() * state.allowed
        grown = torch.where(agreement > 0, state.size * self.nplus, state.size)
        size = self._clip(torch.where(agreement < 0, state.size * self.nminus, grown))
        back = -state.prev if self.backtrack else torch.zeros_like(state.prev)
        changed = agreement < 0
        return RpropState(torch.where(changed, back, sign * size), size, ~changed)

    def apply_tensor(self, state: RpropState, u: Tensor, at: At) -> Tensor:
        return state.prev
