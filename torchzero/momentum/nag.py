"""NAG: Nesterov's momentum."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core.averages import axpy, ema
from torchzero.core.hyper import Hyper, number, static, within
from torchzero.core.transform import At, TensorwiseTransform


class NAGState(NamedTuple):
    """State of one tensor."""

    v: Tensor  # like param   velocity, already decayed once for the look ahead


class NAG(TensorwiseTransform):
    r"""Add to the update the velocity that the next step will start with.

    $$ v_t = β (v_{t-1} + u_t),\quad d_t = u_t + (1-δ) v_t $$

    With `lerp` the velocity is $v_t = β v_{t-1} + (1-β) u_t$.

    Args:
        momentum: β, in [0, 1).
        dampening: δ: the velocity counts $1-δ$.
        lerp: make the velocity an exponential moving average.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> nag, p = tz.m.NAG(0.5), torch.zeros(1)
    >>> nag(p, nag.init(p), grad=torch.ones(1))[0]
    tensor([-1.5000])

    Reference: Nesterov 1983; in this form Sutskever, Martens, Dahl & Hinton 2013, and torch.optim.SGD(nesterov=True)
    """

    locality = "elementwise"

    momentum: Hyper = within(0, 1, default=0.9)
    dampening: Hyper = number(0)
    lerp: bool = static(False)

    def init_tensor(self, param: Tensor) -> NAGState:
        return NAGState(torch.zeros_like(param))

    def update_tensor(self, state: NAGState, u: Tensor, at: At) -> NAGState:
        return NAGState(ema(state.v, u, self.momentum) if self.lerp else self.momentum * (state.v + u))

    def apply_tensor(self, state: NAGState, u: Tensor, at: At) -> Tensor:
        return axpy(1 - self.dampening, state.v, u)
