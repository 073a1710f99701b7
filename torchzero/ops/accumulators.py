"""Running sums, means, products and extrema of the direction: one row for each.

The decay acts on what is accumulated, before the new direction is absorbed: δ = 0 remembers everything, and with δ > 0
the weight of a direction has shrunk by (1-δ)^k after k further steps.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, static, within
from torchzero.core.transform import At, TensorwiseTransform


class SumState(NamedTuple):
    """State of one tensor."""

    sum: Tensor  # like param   decayed sum of u


class AccumulateSum(TensorwiseTransform):
    r"""The sum of all directions so far.

    $$ s_t = (1-δ)\,s_{t-1} + u_t,\quad d_t = s_t $$

    Args:
        decay: δ, in [0, 1).

    Raises:
        ValueError: for a decay outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.AccumulateSum()
    >>> state, var = module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([2.0])))
    >>> module.step(state, tz.Var(torch.zeros(1), grad=torch.tensor([4.0])))[1].update
    tensor([6.])

    Reference: elementary.
    """

    locality = "elementwise"

    decay: Hyper = within(0, 1, default=0)

    def init_tensor(self, param: Tensor) -> SumState:
        return SumState(torch.zeros_like(param))

    def update_tensor(self, state: SumState, u: Tensor, at: At) -> SumState:
        return SumState((1 - self.decay) * state.sum + u)

    def apply_tensor(self, state: SumState, u: Tensor, at: At) -> Tensor:
        return state.sum


class MeanState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()             directions absorbed
    sum: Tensor  # like param   decayed sum of u


class AccumulateMean(TensorwiseTransform):
    r"""The mean of all directions so far, each with the weight that the decay has left it.

    $$ s_t = (1-δ)\,s_{t-1} + u_t,\quad d_t = \frac{s_t}{\sum_{k<t} (1-δ)^k} $$

    Args:
        decay: δ, in [0, 1).

    Raises:
        ValueError: for a decay outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.AccumulateMean()
    >>> state, var = module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([2.0])))
    >>> module.step(state, tz.Var(torch.zeros(1), grad=torch.tensor([4.0])))[1].update
    tensor([3.])

    Reference: elementary.
    """

    locality = "elementwise"

    decay: Hyper = within(0, 1, default=0)

    def init_tensor(self, param: Tensor) -> MeanState:
        return MeanState(tree.counter(param), torch.zeros_like(param))

    def scalars(self, t: Tensor) -> Tensor:
        # Σ (1-δ)^k = (1 - (1-δ)^t) / δ, and its tangent t - δ t(t-1)/2 at δ = 0: the derivative holds there too
        decay = torch.as_tensor(self.decay, dtype=t.dtype, device=t.device)
        none = decay == 0
        some = torch.where(none, torch.full_like(decay, 0.5), decay)
        return torch.where(none, t - decay * t * (t - 1) / 2, -torch.expm1(t * torch.log1p(-some)) / some)

    def update_tensor(self, state: MeanState, u: Tensor, at: At) -> MeanState:
        return MeanState(state.t, (1 - self.decay) * state.sum + u)

    def apply_tensor(self, state: MeanState, u: Tensor, at: At) -> Tensor:
        return state.sum / at.scalars


class ProductState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()                 directions absorbed
    product: Tensor  # like param   decayed product of u; 1 until the first is absorbed


class AccumulateProduct(TensorwiseTransform):
    r"""The product of all directions so far.

    $$ p_1 = u_1,\quad p_t = (1-δ)\,p_{t-1} u_t,\quad d_t = p_t $$

    Args:
        decay: δ, in [0, 1).
        target: kept for old code: "update" is the only choice.

    Raises:
        ValueError: for a decay outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.AccumulateProduct()
    >>> state, var = module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([2.0])))
    >>> module.step(state, tz.Var(torch.zeros(1), grad=torch.tensor([4.0])))[1].update
    tensor([8.])

    Reference: elementary.
    """

    locality = "elementwise"

    decay: Hyper = within(0, 1, default=0)
    target: str = static("update", choices=("update",))

    def init_tensor(self, param: Tensor) -> ProductState:
        return ProductState(tree.counter(param), torch.ones_like(param))

    def update_tensor(self, state: ProductState, u: Tensor, at: At) -> ProductState:
        kept = torch.where(state.t == 1, 1, (1 - self.decay) * state.product)
        return ProductState(state.t, kept * u)

    def apply_tensor(self, state: ProductState, u: Tensor, at: At) -> Tensor:
        return state.product


class ExtremumState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()                 directions absorbed
    extremum: Tensor  # like param  decayed largest or smallest u; 0 until the first is absorbed


class AccumulateMaximum(TensorwiseTransform):
    r"""The largest direction so far, element by element.

    $$ m_1 = u_1,\quad m_t = \max((1-δ)\,m_{t-1}, u_t),\quad d_t = m_t $$

    Args:
        decay: δ, in [0, 1); it pulls what is remembered towards 0.

    Raises:
        ValueError: for a decay outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.AccumulateMaximum()
    >>> state, var = module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([-2.0])))
    >>> module.step(state, tz.Var(torch.zeros(1), grad=torch.tensor([-4.0])))[1].update
    tensor([-2.])

    Reference: elementary.
    """

    locality = "elementwise"

    decay: Hyper = within(0, 1, default=0)

    def init_tensor(self, param: Tensor) -> ExtremumState:
        return ExtremumState(tree.counter(param), torch.zeros_like(param))

    def update_tensor(self, state: ExtremumState, u: Tensor, at: At) -> ExtremumState:
        kept = (1 - self.decay) * state.extremum
        return ExtremumState(state.t, torch.where(state.t == 1, u, torch.maximum(kept, u)))

    def apply_tensor(self, state: ExtremumState, u: Tensor, at: At) -> Tensor:
        return state.extremum


class AccumulateMinimum(TensorwiseTransform):
    r"""The smallest direction so far, element by element.

    $$ m_1 = u_1,\quad m_t = \min((1-δ)\,m_{t-1}, u_t),\quad d_t = m_t $$

    Args:
        decay: δ, in [0, 1); it pulls what is remembered towards 0.

    Raises:
        ValueError: for a decay outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.AccumulateMinimum()
    >>> state, var = module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([2.0])))
    >>> module.step(state, tz.Var(torch.zeros(1), grad=torch.tensor([4.0])))[1].update
    tensor([2.])

    Reference: elementary.
    """

    locality = "elementwise"

    decay: Hyper = within(0, 1, default=0)

    def init_tensor(self, param: Tensor) -> ExtremumState:
        return ExtremumState(tree.counter(param), torch.zeros_like(param))

    def update_tensor(self, state: ExtremumState, u: Tensor, at: At) -> ExtremumState:
        kept = (1 - self.decay) * state.extremum
        return ExtremumState(state.t, torch.where(state.t == 1, u, torch.minimum(kept, u)))

    def apply_tensor(self, state: ExtremumState, u: Tensor, at: At) -> Tensor:
        return state.extremum
