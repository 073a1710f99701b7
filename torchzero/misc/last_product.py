"""LastProduct: the update times the one before."""

from torch import Tensor

from torchzero.misc.base import Last


class LastProduct(Last):
    r"""The update times the update of the step before, element by element.

    $$ d_t = u_t u_{t-1},\quad u_0 = 1 $$

    >>> import torch, torchzero as tz
    >>> opt = tz.m.LastProduct()
    >>> p = torch.tensor([0.0])
    >>> state = opt.init(p)
    >>> for g in ([3.0], [-5.0]):
    ...     state, var = opt.step(state, tz.Var(p, grad=torch.tensor(g)))
    ...     print(var.update)
    tensor([3.])
    tensor([-15.])

    Reference: none; an operand for combining modules.
    """

    locality = "elementwise"
    start = 1.0

    def combine(self, now: Tensor, before: Tensor) -> Tensor:
        return now * before
