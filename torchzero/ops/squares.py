"""Running means of powers of the direction, the denominators of RMSprop and Adam: one row for each.

Where p is 2 these are the mean square and, centred, the variance.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import bias, ema, ema_square
from torchzero.core.hyper import Hyper, positive, static, within
from torchzero.core.safe import safe_pow, safe_sqrt
from torchzero.core.transform import At, TensorwiseTransform


def ema_power(mean: Tensor, x: Tensor, beta: Hyper, pow: Hyper) -> Tensor:
    """β·mean + (1-β)·|x|^p."""
    if isinstance(pow, int | float) and pow == 2:
        return ema_square(mean, x, beta)
    return ema(mean, safe_pow(x.abs(), pow), beta)


def root(x: Tensor, pow: Hyper) -> Tensor:
    """x^(1/p), with the derivative 0 at 0."""
    if isinstance(pow, int | float) and pow == 2:
        return safe_sqrt(x)
    return safe_pow(x, 1 / pow)


def largest(slot: Tensor | tuple[()], x: Tensor) -> Tensor | tuple[()]:
    """The AMSGrad slot after seeing `x`; an absent slot stays absent."""
    return torch.maximum(slot, x) if isinstance(slot, Tensor) else ()


class SquareState(NamedTuple):
    """State of one tensor."""

    v: Tensor  # like param   running mean of |u|^p
    v_max: Tensor | tuple[()]  # like param   largest v so far; () unless amsgrad


class EMASquared(TensorwiseTransform):
    r"""The running mean of a power of the magnitude.

    $$ v_t = β v_{t-1} + (1-β)\,|u_t|^p,\quad d_t = v_t $$

    Args:
        beta: β, in [0, 1).
        amsgrad: emit the largest v so far.
        pow: p, positive.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.EMASquared(0.75)
    >>> module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([-2.0])))[1].update
    tensor([1.])

    Reference: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980; AMSGrad: Reddi, Kale & Kumar 2018, algorithm 2,
    https://arxiv.org/abs/1904.09237
    """

    locality = "elementwise"

    beta: Hyper = within(0, 1, default=0.999)
    amsgrad: bool = static(False)
    pow: Hyper = positive(2)

    def init_tensor(self, param: Tensor) -> SquareState:
        zeros = torch.zeros_like(param)
        return SquareState(zeros, zeros if self.amsgrad else ())

    def update_tensor(self, state: SquareState, u: Tensor, at: At) -> SquareState:
        v = ema_power(state.v, u, self.beta, self.pow)
        return SquareState(v, largest(state.v_max, v))

    def apply_tensor(self, state: SquareState, u: Tensor, at: At) -> Tensor:
        return state.v_max if isinstance(state.v_max, Tensor) else state.v


class CountedSquareState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()           directions absorbed
    v: Tensor  # like param   running mean of |u|^p
    v_max: Tensor | tuple[()]  # like param   largest v so far; () unless amsgrad


class SqrtEMASquared(TensorwiseTransform):
    r"""The root of the running mean of a power of the magnitude.

    $$ v_t = β v_{t-1} + (1-β)\,|u_t|^p,\quad
       d_t = v_t^{1/p} \quad\text{or}\quad \left(\frac{v_t}{1-β^t}\right)^{1/p} $$

    Args:
        beta: β, in [0, 1).
        amsgrad: take the largest v so far.
        debiased: divide by the weight $1-β^t$ that the mean has gathered.
        pow: p, positive.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.SqrtEMASquared(0.75)
    >>> module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([-2.0])))[1].update
    tensor([1.])

    Reference: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980; AMSGrad: Reddi, Kale & Kumar 2018, algorithm 2,
    https://arxiv.org/abs/1904.09237
    """

    locality = "elementwise"

    beta: Hyper = within(0, 1, default=0.999)
    amsgrad: bool = static(False)
    debiased: bool = static(False)
    pow: Hyper = positive(2)

    def init_tensor(self, param: Tensor) -> CountedSquareState:
        zeros = torch.zeros_like(param)
        return CountedSquareState(tree.counter(param), zeros, zeros if self.amsgrad else ())

    def scalars(self, t: Tensor) -> Tensor | float:
        return bias(self.beta, t) ** (1 / self.pow) if self.debiased else 1.0

    def update_tensor(self, state: CountedSquareState, u: Tensor, at: At) -> CountedSquareState:
        v = ema_power(state.v, u, self.beta, self.pow)
        return CountedSquareState(state.t, v, largest(state.v_max, v))

    def apply_tensor(self, state: CountedSquareState, u: Tensor, at: At) -> Tensor:
        v = state.v_max if isinstance(state.v_max, Tensor) else state.v
        return root(v, self.pow) / at.scalars


class CenteredState(NamedTuple):
    """State of one tensor."""

    m: Tensor  # like param   running mean of u
    v: Tensor  # like param   running mean of |u|^p
    c_max: Tensor | tuple[()]  # like param   largest v - m² so far; () unless amsgrad


class CenteredEMASquared(TensorwiseTransform):
    r"""The running mean of a power of the magnitude, less the square of the running mean.

    $$ m_t = β m_{t-1} + (1-β)\,u_t,\quad v_t = β v_{t-1} + (1-β)\,|u_t|^p,\quad d_t = v_t - m_t^2 $$

    The mean is squared whatever p is. For p = 2 the result is a variance, negative at most by rounding.

    Args:
        beta: β, in [0, 1).
        amsgrad: emit the largest result so far, at least 0.
        pow: p, positive.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.CenteredEMASquared(0.5)
    >>> module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([-2.0])))[1].update
    tensor([1.])

    Reference: Graves 2013, Generating sequences with recurrent neural networks, https://arxiv.org/abs/1308.0850
    """

    locality = "elementwise"

    beta: Hyper = within(0, 1, default=0.99)
    amsgrad: bool = static(False)
    pow: Hyper = positive(2)

    def init_tensor(self, param: Tensor) -> CenteredState:
        zeros = torch.zeros_like(param)
        return CenteredState(zeros, zeros, zeros if self.amsgrad else ())

    def update_tensor(self, state: CenteredState, u: Tensor, at: At) -> CenteredState:
        m, v = ema(state.m, u, self.beta), ema_power(state.v, u, self.beta, self.pow)
        return CenteredState(m, v, largest(state.c_max, v - m * m))

    def apply_tensor(self, state: CenteredState, u: Tensor, at: At) -> Tensor:
        return state.c_max if isinstance(state.c_max, Tensor) else state.v - state.m * state.m


class CountedCenteredState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()           directions absorbed
    m: Tensor  # like param   running mean of u
    v: Tensor  # like param   running mean of |u|^p
    c_max: Tensor | tuple[()]  # like param   largest v - m² so far; () unless amsgrad


class CenteredSqrtEMASquared(TensorwiseTransform):
    r"""The root of the running mean of a power of the magnitude, less the square of the running mean.

    $$ m_t = β m_{t-1} + (1-β)\,u_t,\quad v_t = β v_{t-1} + (1-β)\,|u_t|^p,\quad c_t = \max(v_t - m_t^2, 0),\quad
       d_t = c_t^{1/p} \quad\text{or}\quad \left(\frac{c_t}{1-β^t}\right)^{1/p} $$

    The mean is squared whatever p is. For p = 2 the result is a standard deviation, and the maximum with 0 only removes
    negative rounding errors, whose root would be NaN.

    Args:
        beta: β, in [0, 1).
        amsgrad: take the largest c so far.
        debiased: divide by the weight $1-β^t$ that the means have gathered.
        pow: p, positive.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.CenteredSqrtEMASquared(0.5)
    >>> module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([-2.0])))[1].update
    tensor([1.])

    Reference: Graves 2013, Generating sequences with recurrent neural networks, https://arxiv.org/abs/1308.0850
    """

    locality = "elementwise"

    beta: Hyper = within(0, 1, default=0.99)
    amsgrad: bool = static(False)
    debiased: bool = static(False)
    pow: Hyper = positive(2)

    def init_tensor(self, param: Tensor) -> CountedCenteredState:
        zeros = torch.zeros_like(param)
        return CountedCenteredState(tree.counter(param), zeros, zeros, zeros if self.amsgrad else ())

    def scalars(self, t: Tensor) -> Tensor | float:
        return bias(self.beta, t) ** (1 / self.pow) if self.debiased else 1.0

    def update_tensor(self, state: CountedCenteredState, u: Tensor, at: At) -> CountedCenteredState:
        m, v = ema(state.m, u, self.beta), ema_power(state.v, u, self.beta, self.pow)
        return CountedCenteredState(state.t, m, v, largest(state.c_max, v - m * m))

    def apply_tensor(self, state: CountedCenteredState, u: Tensor, at: At) -> Tensor:
        c = state.c_max if isinstance(state.c_max, Tensor) else state.v - state.m * state.m
        return root(c.clamp(min=0), self.pow) / at.scalars
