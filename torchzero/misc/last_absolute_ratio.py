"""LastAbsoluteRatio: the size of the update over that of the one before."""

from torch import Tensor

from torchzero.core.hyper import Hyper, positive, static
from torchzero.core.transform import At
from torchzero.misc.base import Last, at_least


class LastAbsoluteRatio(Last):
    r"""The size of the update divided by that of the step before, element by element.

    $$ d_t = \frac{|u_t|}{\max(|u_{t-1}|, ε)}\ \text{or}\ \frac{|u_{t-1}|}{\max(|u_t|, ε)},\quad u_0 = 1 $$

    Args:
        numerator: "cur" for u over the previous u, "prev" for the reciprocal.
        eps: ε > 0, the least divisor.

    Raises:
        ValueError: for another numerator or ε ≤ 0.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.LastAbsoluteRatio()
    >>> p = torch.tensor([0.0])
    >>> state = opt.init(p)
    >>> for g in ([3.0], [-5.0]):
    ...     state, var = opt.step(state, tz.Var(p, grad=torch.tensor(g)))
    ...     print(var.update)
    tensor([3.])
    tensor([1.6667])

    Reference: none; an operand for combining modules.
    """

    locality = "elementwise"
    start = 1.0

    numerator: str = static(default="cur", choices=("cur", "prev"))
    eps: Hyper = positive(default=1e-8)

    def look(self, u: Tensor, at: At) -> Tensor:
        return u.abs()

    def combine(self, now: Tensor, before: Tensor) -> Tensor:
        top, bottom = (now, before) if self.numerator == "cur" else (before, now)
        return top / at_least(bottom, self.eps)
