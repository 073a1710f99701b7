"""NormalizeByEMA: every update as long as its running mean."""

from torch import Tensor

from torchzero.clipping.base import NormByEMA
from torchzero.core.safe import safe_div


class NormalizeByEMA(NormByEMA):
    r"""Scale the update to the norm of its running mean.

    $$ e_t = β e_{t-1} + (1-β) u_t,\quad e_t ← e_t \min\left(1,
       \frac{\max(γ\lVert e_{t-1}\rVert, ν)}{\lVert e_t\rVert}\right) \text{ for } t > 1,\quad
       d_t = u_t \frac{\lVert e_t\rVert}{\lVert u_t\rVert} $$

    The mean is not debiased: from $e_0 = 0$ the first update is shrunk to $1-β$ of its length and the next ones may
    grow by γ each, which makes a warm-up. An update of norm zero gives zero.

    Args:
        beta: β, in [0, 1).
        ord: order of the norm, a number in [0, inf], or the name of a metric: mad, std, var, sum, l0 to l4, linf.
        tensorwise: norms of each tensor, else of all tensors together.
        max_ema_growth: γ > 0, or None for no limit.
        init: every element of $e_0$; the field is called `initial`, as `init` is the function that makes states.
        min_norm: ν > 0, a norm that the limit on growth always allows.
        inner: module whose output is scaled instead of u, by the factor that u has.

    Raises:
        ValueError: for a number outside its range or an unknown `ord`.

    >>> import torch, torchzero as tz
    >>> scale, p = tz.m.NormalizeByEMA(0.75), torch.zeros(2)
    >>> scale(p, scale.init(p), grad=torch.tensor([3.0, -4.0]))[0]
    tensor([-0.7500,  1.0000])

    Reference: none; made for this library.
    """

    __init__ = NormByEMA.__init__  # a dataclass would make another one

    def factor(self, u_norm: Tensor, e_norm: Tensor) -> Tensor:
        return safe_div(e_norm, u_norm)
