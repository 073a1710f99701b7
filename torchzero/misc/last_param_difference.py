"""LastParamDifference: the change of the parameters."""

from torch import Tensor

from torchzero.core.transform import At
from torchzero.misc.base import Last


class LastParamDifference(Last):
    r"""The parameters minus those of the step before; the update that comes in is not looked at.

    $$ d_t = θ_t - θ_{t-1},\quad θ_0 = 0 $$

    The first direction is the parameters themselves.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.LastParamDifference()
    >>> p = torch.tensor([4.0])
    >>> opt(p, opt.init(p), grad=torch.tensor([1.0]))[0]
    tensor([0.])

    Reference: none; an operand for combining modules.
    """

    locality = "elementwise"
    needs = frozenset({"params"})

    def look(self, u: Tensor, at: At) -> Tensor:
        return at.param

    def combine(self, now: Tensor, before: Tensor) -> Tensor:
        return now - before
