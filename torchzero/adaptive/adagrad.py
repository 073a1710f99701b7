"""Adagrad: a step measured in units of everything a coordinate's gradient has been so far."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, child, nonnegative, number, positive
from torchzero.core.module import Module
from torchzero.core.safe import safe_sqrt
from torchzero.core.transform import At, TensorwiseTransform


class AdagradState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()           updates absorbed
    s: Tensor  # like param   sum of u²


class Adagrad(TensorwiseTransform):
    r"""Divide the update by the root of the sum of its squares.

    $$ s_t = s_{t-1} + u_t^2,\quad d_t = \frac{α}{1 + κ(t-1)}\,\frac{u_t}{\sqrt{s_t} + ε} $$

    Args:
        lr_decay: κ ≥ 0.
        initial_accumulator_value: s₀ ≥ 0.
        eps: ε > 0, added outside the root.
        alpha: α; the learning rate is better left to LR.
        inner: module that makes the direction which is divided; s is that of the incoming update.
        accumulator_tfm: module applied to s whenever it is used.

    Raises:
        ValueError: for a number outside its range.

    >>> import torchzero as tz
    >>> adagrad, x = tz.m.Adagrad(), torch.tensor([5.0, 5.0])
    >>> adagrad(x, adagrad.init(x), grad=torch.tensor([2.0, -8.0]))[0]
    tensor([4., 6.])

    Reference: Duchi, Hazan & Singer 2011, https://jmlr.org/papers/v12/duchi11a.html
    """

    locality = "elementwise"
    buffer_modules = {"s": "accumulator_tfm"}

    lr_decay: Hyper = nonnegative(0)
    initial_accumulator_value: Hyper = nonnegative(0)
    eps: Hyper = positive(1e-10)
    alpha: Hyper = number(1)
    inner: Module | None = child(None)
    accumulator_tfm: Module | None = child(None)

    def init_tensor(self, param: Tensor) -> AdagradState:
        return AdagradState(tree.counter(param), tree.full_like(param, self.initial_accumulator_value))

    def scalars(self, t: Tensor) -> Tensor:
        return self.alpha / (1 + self.lr_decay * (t - 1).clamp_min(0))

    def update_tensor(self, state: AdagradState, u: Tensor, at: At) -> AdagradState:
        return AdagradState(state.t, torch.addcmul(state.s, u, u))

    def apply_tensor(self, state: AdagradState, u: Tensor, at: At) -> Tensor:
        return at.scalars * u / (safe_sqrt(state.s) + self.eps)
