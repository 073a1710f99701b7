"""LastGradDifference: the change of the gradient."""

from torch import Tensor

from torchzero.core.transform import At
from torchzero.misc.base import Last


class LastGradDifference(Last):
    r"""The gradient minus the gradient of the step before; the update that comes in is not looked at.

    $$ d_t = ∇f_t - ∇f_{t-1},\quad ∇f_0 = 0 $$

    >>> import torch, torchzero as tz
    >>> opt = tz.m.LastGradDifference()
    >>> p = torch.tensor([0.0])
    >>> state = opt.init(p)
    >>> for g in ([3.0], [-5.0]):
    ...     state, var = opt.step(state, tz.Var(p, grad=torch.tensor(g)))
    ...     print(var.update)
    tensor([3.])
    tensor([-8.])

    Reference: none; an operand for combining modules.
    """

    locality = "elementwise"
    needs = frozenset({"grad"})

    def look(self, u: Tensor, at: At) -> Tensor:
        return at.grad  # pyright: ignore[reportReturnType]

    def combine(self, now: Tensor, before: Tensor) -> Tensor:
        return now - before
