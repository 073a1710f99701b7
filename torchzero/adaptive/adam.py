"""Adam: a step measured in units of each coordinate's own gradient size."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import bias, ema, ema_square
from torchzero.core.hyper import Hyper, child, positive, static, within
from torchzero.core.hyper import number as real
from torchzero.core.module import Module
from torchzero.core.safe import safe_sqrt
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.core.tree import Tree


class AdamState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()           updates absorbed
    m: Tensor  # like param   running mean of u
    v: Tensor  # like param   running mean of u²
    v_max: Tensor | tuple[()]  # like param   largest v so far; () unless amsgrad


class AdamScalars(NamedTuple):
    """The bias corrections of one step, so that d = c m / (√v + e)."""

    c: Tensor | float  # α √(1 - β₂ᵗ) / (1 - β₁ᵗ)
    e: Tensor | float  # ε √(1 - β₂ᵗ)


class Adam(TensorwiseTransform):
    r"""Divide the running mean of the update by the root of its running mean square.

    $$ m_t = β_1 m_{t-1} + (1-β_1) u_t,\quad v_t = β_2 v_{t-1} + (1-β_2) u_t^2,\quad
       d_t = α\,\frac{m_t/(1-β_1^t)}{\sqrt{v_t/(1-β_2^t)} + ε} $$

    Args:
        beta1: decay of the mean, in [0, 1).
        beta2: decay of the mean square, in [0, 1).
        eps: added outside the root, after bias correction, as in the paper and in torch.optim. Positive.
        amsgrad: divide by the largest mean square so far.
        alpha: factor of the result; the learning rate is better left to LR.
        debias: apply the bias corrections.
        exp_avg_tfm: module applied to m whenever it is used.
        exp_avg_sq_tfm: module applied to v whenever it is used.

    Raises:
        ValueError: for a number outside its range.

    >>> import torchzero as tz
    >>> adam = tz.m.Adam()
    >>> adam.init(torch.zeros(2)).m
    tensor([0., 0.])

    Reference: Kingma & Ba 2015, algorithm 1, https://arxiv.org/abs/1412.6980; AMSGrad: Reddi, Kale & Kumar 2018,
    algorithm 2, https://arxiv.org/abs/1904.09237
    """

    locality = "elementwise"
    buffer_modules = {"m": "exp_avg_tfm", "v": "exp_avg_sq_tfm"}

    beta1: Hyper = within(0, 1, default=0.9)
    beta2: Hyper = within(0, 1, default=0.999)
    eps: Hyper = positive(1e-8)
    amsgrad: bool = static(False)
    alpha: Hyper = real(1.0)
    debias: bool = static(True)
    exp_avg_tfm: Module | None = child(None)
    exp_avg_sq_tfm: Module | None = child(None)

    def init_tensor(self, param: Tensor) -> AdamState:
        zeros = torch.zeros_like(param)
        return AdamState(tree.counter(param), zeros, zeros, zeros if self.amsgrad else ())

    def scalars(self, t: Tensor) -> AdamScalars:
        if not self.debias:
            return AdamScalars(self.alpha, self.eps)
        r = bias(self.beta2, t).sqrt()
        return AdamScalars(self.alpha * r / bias(self.beta1, t), self.eps * r)

    def update_tensor(self, state: AdamState, u: Tensor, at: At) -> AdamState:
        m, v = ema(state.m, u, self.beta1), ema_square(state.v, u, self.beta2)
        return AdamState(state.t, m, v, torch.maximum(state.v_max, v) if isinstance(state.v_max, Tensor) else ())

    def buffer_input(self, slot: str, state: AdamState) -> Tree:
        return state.v_max if slot == "v" and self.amsgrad else getattr(state, slot)

    def apply_tensor(self, state: AdamState, u: Tensor, at: At) -> Tensor:
        largest = self.amsgrad and self.exp_avg_sq_tfm is None  # the module has been given v_max, and v is its output
        v = state.v_max if largest and isinstance(state.v_max, Tensor) else state.v
        return at.scalars.c * state.m / (safe_sqrt(v) + at.scalars.e)
