"""SGD: torch.optim.SGD as a module, without its learning rate."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import axpy
from torchzero.core.hyper import Hyper, is_number, nonnegative, number, static, within
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.momentum.base import first_gain


class SGDState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()           updates absorbed
    m: Tensor  # like param   decayed sum of penalised updates


class SGD(TensorwiseTransform):
    r"""Stochastic gradient descent with L2 penalty and heavy-ball or Nesterov momentum.

    $$ g_t = α (u_t + λ θ),\quad m_1 = g_1,\quad m_t = μ m_{t-1} + (1-δ) g_t,\quad d_t = m_t $$

    With `nesterov` the sum is not dampened and $d_t = g_t + (1-δ) μ m_t$.

    Args:
        momentum: μ, in [0, 1). Without momentum δ has no effect, as in torch.optim.
        dampening: δ; torch.optim allows it with heavy-ball momentum only.
        weight_decay: λ ≥ 0.
        nesterov: look ahead.
        alpha: α; the learning rate is better left to LR.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> sgd, p = tz.m.SGD(weight_decay=0.5), torch.ones(1)
    >>> sgd(p, sgd.init(p), grad=torch.zeros(1))[0]
    tensor([0.5000])

    Reference: torch.optim.SGD; Sutskever, Martens, Dahl & Hinton 2013
    """

    locality = "elementwise"
    needs = frozenset({"params"})

    momentum: Hyper = within(0, 1, default=0)
    dampening: Hyper = number(0)
    weight_decay: Hyper = nonnegative(0)
    nesterov: bool = static(False)
    alpha: Hyper = number(1)

    def init_tensor(self, param: Tensor) -> SGDState:
        return SGDState(tree.counter(param), torch.zeros_like(param))

    def scalars(self, t: Tensor) -> Tensor | float:
        if self.nesterov or (is_number(self.dampening) and self.dampening == 0):
            return 1.0
        momentum = t * 0 + self.momentum
        return first_gain(t, torch.where(momentum == 0, torch.ones_like(t), torch.zeros_like(t) + 1 - self.dampening))

    def _penalised(self, u: Tensor, at: At) -> Tensor:
        return self.alpha * axpy(self.weight_decay, at.param, u)

    def update_tensor(self, state: SGDState, u: Tensor, at: At) -> SGDState:
        return state._replace(m=axpy(at.scalars, self._penalised(u, at), self.momentum * state.m))

    def apply_tensor(self, state: SGDState, u: Tensor, at: At) -> Tensor:
        if not self.nesterov:
            return state.m
        return self._penalised(u, at) + (1 - self.dampening) * self.momentum * state.m
