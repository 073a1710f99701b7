"""LastRatio: the update over the one before."""

from torch import Tensor

from torchzero.core.hyper import static
from torchzero.core.safe import safe_div
from torchzero.misc.base import Last


class LastRatio(Last):
    r"""The update divided by the update of the step before, element by element.

    $$ d_t = u_t / u_{t-1}\ \text{or}\ u_{t-1} / u_t,\quad u_0 = 1 $$

    An element whose divisor is zero is 0.

    Args:
        numerator: "cur" for u over the previous u, "prev" for the reciprocal.

    Raises:
        ValueError: for another numerator.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.LastRatio()
    >>> p = torch.tensor([0.0])
    >>> state = opt.init(p)
    >>> for g in ([3.0], [-5.0]):
    ...     state, var = opt.step(state, tz.Var(p, grad=torch.tensor(g)))
    ...     print(var.update)
    tensor([3.])
    tensor([-1.6667])

    Reference: none; an operand for combining modules.
    """

    locality = "elementwise"
    start = 1.0

    numerator: str = static(default="cur", choices=("cur", "prev"))

    def combine(self, now: Tensor, before: Tensor) -> Tensor:
        return safe_div(now, before) if self.numerator == "cur" else safe_div(before, now)
