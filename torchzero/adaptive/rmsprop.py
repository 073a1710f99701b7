"""RMSprop: a step measured in units of a coordinate's recent gradient size."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import bias, ema, ema_square
from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, child, positive, static, within
from torchzero.core.module import Module
from torchzero.core.safe import safe_sqrt
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.core.tree import Tree
from torchzero.momentum.base import first_gain


class RMSpropState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()           updates absorbed
    v: Tensor  # like param   running mean of u²
    m: Tensor | tuple[()]  # like param   running mean of u; () unless centered
    v_max: Tensor | tuple[()]  # like param   largest v so far; () unless amsgrad


class RMSpropScalars(NamedTuple):
    """Weights of one step."""

    gain: Tensor | float | None  # of u² in v; None for 1-β
    weight: Tensor | float  # 1-βᵗ, which the hats divide by


class RMSprop(TensorwiseTransform):
    r"""Divide the update by the root of its running mean square.

    $$ v_t = βv_{t-1} + (1-β)u_t^2,\quad m_t = βm_{t-1} + (1-β)u_t,\quad
       d_t = \frac{u_t}{\sqrt{\hat v_t - \hat m_t^2} + ε} $$

    where m is 0 unless `centered`, and the hat divides by 1-β^t if `debias`. A variance that is smaller than its
    rounding error counts as zero. With AMSGrad v is replaced by its largest value so far, before the hat.

    Args:
        smoothing: β in [0, 1).
        eps: ε > 0, added outside the root.
        centered: subtract the squared mean.
        debias: apply the bias corrections.
        amsgrad: divide by the largest mean square so far.
        init: what v starts from: "zeros", or "update" for the first u². The field is called `initial`, as `init` is the
            function that makes states.
        inner: module that makes the direction which is divided; v and m are those of the incoming update.
        exp_avg_sq_tfm: module applied to v (its hat, its maximum) whenever it is used.

    Raises:
        ValueError: for a number outside its range or an unknown `init`.

    >>> import torchzero as tz
    >>> opt, x = tz.m.RMSprop(init="update"), torch.tensor([5.0, 5.0])
    >>> opt(x, opt.init(x), grad=torch.tensor([2.0, -8.0]))[0]
    tensor([4., 6.])

    Reference: Tieleman & Hinton 2012, Coursera lecture 6.5; centered: Graves 2013, equations 38-45,
    https://arxiv.org/abs/1308.0850
    """

    locality = "elementwise"
    buffer_modules = {"v": "exp_avg_sq_tfm"}

    smoothing: Hyper = within(0, 1, default=0.99)
    eps: Hyper = positive(1e-8)
    centered: bool = static(False)
    debias: bool = static(False)
    amsgrad: bool = static(False)
    initial: str = static("zeros", choices=("zeros", "update"))
    inner: Module | None = child(None)
    exp_avg_sq_tfm: Module | None = child(None)

    def __init__(
        self,
        smoothing: Hyper = 0.99,
        eps: Hyper = 1e-8,
        centered: bool = False,
        debias: bool = False,
        amsgrad: bool = False,
        init: str = "zeros",
        inner: Chainable | None = None,
        exp_avg_sq_tfm: Chainable | None = None,
    ) -> None:
        self._write("smoothing", smoothing)
        self._write("eps", eps)
        self._write("centered", centered)
        self._write("debias", debias)
        self._write("amsgrad", amsgrad)
        self._write("initial", init)
        self._write("inner", inner)
        self._write("exp_avg_sq_tfm", exp_avg_sq_tfm)
        self._validate()

    def init_tensor(self, param: Tensor) -> RMSpropState:
        zeros = torch.zeros_like(param)
        return RMSpropState(tree.counter(param), zeros, zeros if self.centered else (), zeros if self.amsgrad else ())

    def scalars(self, t: Tensor) -> RMSpropScalars:
        gain = first_gain(t, 1 - self.smoothing) if self.initial == "update" else None
        return RMSpropScalars(gain, bias(self.smoothing, t) if self.debias else 1.0)

    def update_tensor(self, state: RMSpropState, u: Tensor, at: At) -> RMSpropState:
        gain = at.scalars.gain
        v = ema_square(state.v, u, self.smoothing) if gain is None else self.smoothing * state.v + gain * (u * u)
        m = ema(state.m, u, self.smoothing) if isinstance(state.m, Tensor) else ()
        return RMSpropState(state.t, v, m, torch.maximum(state.v_max, v) if isinstance(state.v_max, Tensor) else ())

    def buffer_input(self, slot: str, state: RMSpropState) -> Tree:
        v = state.v_max if self.amsgrad else state.v
        if not self.debias:
            return v
        return tree.zipmap(lambda x, beta, t: tree.cast(x / bias(beta, t.double()), x), v, self.smoothing, state.t)

    def apply_tensor(self, state: RMSpropState, u: Tensor, at: At) -> Tensor:
        v, weight = state.v, at.scalars.weight
        if self.exp_avg_sq_tfm is None:
            v = (state.v_max if isinstance(state.v_max, Tensor) else v) / weight
        if isinstance(state.m, Tensor):
            variance = v - (state.m / weight) ** 2
            v = torch.where(variance > 8 * torch.finfo(u.dtype).eps * v, variance, torch.zeros_like(variance))
        return u / (safe_sqrt(v) + self.eps)


RMSProp = RMSprop  # the name until 0.2
