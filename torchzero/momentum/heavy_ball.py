"""HeavyBall: Polyak's momentum."""

from torchzero.core.hyper import static
from torchzero.momentum.base import RunningMean


class HeavyBall(RunningMean):
    r"""Add to the update what is left of the ones before.

    $$ m_1 = u_1,\quad m_t = β m_{t-1} + (1-δ) u_t,\quad d_t = m_t $$

    The first output is the incoming update itself, undampened, as in torch.optim.SGD.

    Args:
        momentum: β, in [0, 1).
        dampening: δ: later updates count $1-δ$.
        debias: divide by $1-β^t$, so that a constant update is scaled by $1/(1-β)$ from the first step on.
        lerp: multiply the new update by $1-β$; with it, and a start at the first update, `debias` has nothing to do.
        ema_init: "update" starts with $m_1 = u_1$, "zeros" at $m_0 = 0$, so that the first update is dampened as well.

    Raises:
        ValueError: for a number outside its range or an unknown `ema_init`.

    >>> import torch, torchzero as tz
    >>> ball, p = tz.m.HeavyBall(0.9), torch.zeros(1)
    >>> p, state = ball(p, ball.init(p), grad=torch.ones(1))
    >>> ball(p, state, grad=torch.ones(1))[0]
    tensor([-2.9000])

    Reference: Polyak 1964, https://doi.org/10.1016/0041-5553(64)90137-5; the first step as in torch.optim.SGD
    """

    lerp: bool = static(False)
    ema_init: str = static("update", choices=("zeros", "update"))
