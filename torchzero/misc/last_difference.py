"""LastDifference: the change of the update."""

from torch import Tensor

from torchzero.misc.base import Last


class LastDifference(Last):
    r"""The update minus the update of the step before.

    $$ d_t = u_t - u_{t-1},\quad u_0 = 0 $$

    >>> import torch, torchzero as tz
    >>> opt = tz.m.LastDifference()
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

    def combine(self, now: Tensor, before: Tensor) -> Tensor:
        return now - before
