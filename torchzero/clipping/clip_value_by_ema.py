"""ClipValueByEMA: no element larger than its running mean magnitude."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.clipping.clip_value import clamp
from torchzero.core import tree
from torchzero.core.averages import axpy
from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, child, nonnegative, within
from torchzero.core.module import Module
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.momentum.base import first_gain


class ClipValueByEMAState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()           updates absorbed
    e: Tensor  # like param   running mean of |u|


class ClipValueByEMA(TensorwiseTransform):
    r"""Bound every element of the update by the running mean of its absolute value.

    $$ e_0 = κ |u_1|,\quad e_t = β e_{t-1} + (1-β)|u_t|,\quad d_t = \min(\max(u_t, -e_t), e_t) $$

    With κ = 0 the bound starts small and grows: a warm-up.

    Args:
        beta: β, in [0, 1).
        init: κ ≥ 0; the field is called `initial`, as `init` is the function that makes states.
        inner: module whose output is bounded instead of u.
        exp_avg_tfm: module applied to e whenever it is used.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> clip, p = tz.m.ClipValueByEMA(0.75), torch.zeros(2)
    >>> clip(p, clip.init(p), grad=torch.tensor([1.0, -4.0]))[0]
    tensor([-0.2500,  1.0000])

    Reference: none; made for this library.
    """

    locality = "elementwise"
    buffer_modules = {"e": "exp_avg_tfm"}

    beta: Hyper = within(0, 1, default=0.99)
    initial: Hyper = nonnegative(0)
    inner: Module | None = child(None)
    exp_avg_tfm: Module | None = child(None)

    def __init__(
        self,
        beta: Hyper = 0.99,
        init: Hyper = 0,
        inner: Chainable | None = None,
        exp_avg_tfm: Chainable | None = None,
    ) -> None:
        self._write("beta", beta)
        self._write("initial", init)
        self._write("inner", inner)
        self._write("exp_avg_tfm", exp_avg_tfm)
        self._validate()

    def init_tensor(self, param: Tensor) -> ClipValueByEMAState:
        return ClipValueByEMAState(tree.counter(param), torch.zeros_like(param))

    def scalars(self, t: Tensor) -> Tensor | float:
        gain = 1 - self.beta
        return first_gain(t, gain, self.beta * self.initial + gain)

    def update_tensor(self, state: ClipValueByEMAState, u: Tensor, at: At) -> ClipValueByEMAState:
        return state._replace(e=axpy(at.scalars, u.abs(), self.beta * state.e))

    def apply_tensor(self, state: ClipValueByEMAState, u: Tensor, at: At) -> Tensor:
        return clamp(u, state.e)
