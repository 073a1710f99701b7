"""Previous: the update of some steps ago."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.transform import At, TensorwiseTransform


class PreviousState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()                  updates absorbed
    h: Tensor  # (n + 1, *param.shape)  the latest updates, newest last; before the first step they equal the first


class Previous(TensorwiseTransform):
    r"""The update of n steps ago; as long as there is none, the first one.

    $$ d_t = u_{\max(t-n,\, 1)} $$

    Args:
        n: at least 1.

    Raises:
        ValueError: for n below 1.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Previous(1)
    >>> p = torch.tensor([0.0])
    >>> state = opt.init(p)
    >>> for g in ([3.0], [-5.0], [7.0]):
    ...     state, var = opt.step(state, tz.Var(p, grad=torch.tensor(g)))
    ...     print(var.update)
    tensor([3.])
    tensor([3.])
    tensor([-5.])

    Reference: delayed gradients: Zinkevich, Langford & Smola 2009, Slow learners are fast.
    """

    locality = "elementwise"

    n: int = static(default=1, low=1, integer=True)

    def init_tensor(self, param: Tensor) -> PreviousState:
        return PreviousState(tree.counter(param), torch.zeros_like(param).expand(self.n + 1, *param.shape).clone())

    def update_tensor(self, state: PreviousState, u: Tensor, at: At) -> PreviousState:
        first = u[None].expand(self.n + 1, *u.shape)
        return PreviousState(state.t, torch.where(state.t == 1, first, torch.cat([state.h[1:], u[None]])))

    def apply_tensor(self, state: PreviousState, u: Tensor, at: At) -> Tensor:
        return state.h[0]
