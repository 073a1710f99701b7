"""Adan: Adam with Nesterov's look ahead, written by gradient differences."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import bias, ema, ema_square
from torchzero.core.hyper import Hyper, child, positive, within
from torchzero.core.module import Module
from torchzero.core.safe import safe_sqrt
from torchzero.core.transform import At, TensorwiseTransform


class AdanState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()              updates absorbed
    m: Tensor  # like param      running mean of u
    v: Tensor  # like param      running mean of the change of u
    n: Tensor  # like param      running mean square of u + β₂·change
    u_prev: Tensor  # like param   the update before


class AdanScalars(NamedTuple):
    """Weights of one step."""

    known: Tensor  # 1, and 0 in the first step, which has no change
    c1: Tensor  # 1 / (1 - β₁ᵗ)
    c2: Tensor  # β₂ / (1 - β₂ᵗ)
    r3: Tensor  # √(1 - β₃ᵗ)


class Adan(TensorwiseTransform):
    r"""Divide the running mean of the update, corrected by that of its change, by a root mean square.

    $$ δ_t = u_t - u_{t-1},\quad m_t = β_1 m_{t-1} + (1-β_1) u_t,\quad v_t = β_2 v_{t-1} + (1-β_2) δ_t,\quad
       n_t = β_3 n_{t-1} + (1-β_3)(u_t + β_2 δ_t)^2, $$
    $$ d_t = \frac{m_t/(1-β_1^t) + β_2 v_t/(1-β_2^t)}{\sqrt{n_t/(1-β_3^t)} + ε},\quad δ_1 = 0 $$

    The betas are decays, as in the authors' code: the paper writes 1-β for each of them.

    Args:
        beta1: decay of the mean, in [0, 1).
        beta2: decay of the mean change, in [0, 1).
        beta3: decay of the mean square, in [0, 1).
        eps: ε > 0, added outside the root.
        m_tfm: module applied to m whenever it is used.
        v_tfm: module applied to v whenever it is used.
        n_tfm: module applied to n whenever it is used.

    Raises:
        ValueError: for a number outside its range.

    >>> import torchzero as tz
    >>> adan, x = tz.m.Adan(), torch.tensor([5.0, 5.0])
    >>> adan(x, adan.init(x), grad=torch.tensor([2.0, -8.0]))[0]
    tensor([4., 6.])

    Reference: Xie, Zhou, Li, Lin & Yan 2024, algorithm 1, https://arxiv.org/abs/2208.06677
    """

    locality = "elementwise"
    buffer_modules = {"m": "m_tfm", "v": "v_tfm", "n": "n_tfm"}

    beta1: Hyper = within(0, 1, default=0.98)
    beta2: Hyper = within(0, 1, default=0.92)
    beta3: Hyper = within(0, 1, default=0.99)
    eps: Hyper = positive(1e-8)
    m_tfm: Module | None = child(None)
    v_tfm: Module | None = child(None)
    n_tfm: Module | None = child(None)

    def init_tensor(self, param: Tensor) -> AdanState:
        zeros = torch.zeros_like(param)
        return AdanState(tree.counter(param), zeros, zeros, zeros, zeros)

    def scalars(self, t: Tensor) -> AdanScalars:
        known = (t > 1).to(t.dtype)
        c1, c2 = 1 / bias(self.beta1, t), self.beta2 / bias(self.beta2, t)
        return AdanScalars(known, c1, c2, bias(self.beta3, t).sqrt())

    def update_tensor(self, state: AdanState, u: Tensor, at: At) -> AdanState:
        change = at.scalars.known.to(u.dtype) * (u - state.u_prev)
        n = ema_square(state.n, u + self.beta2 * change, self.beta3)
        return AdanState(state.t, ema(state.m, u, self.beta1), ema(state.v, change, self.beta2), n, u)

    def apply_tensor(self, state: AdanState, u: Tensor, at: At) -> Tensor:
        k = at.scalars
        return (k.c1 * state.m + k.c2 * state.v) / (safe_sqrt(state.n) / k.r3 + self.eps)
