"""EMA: the exponential moving average of updates."""

from torchzero.momentum.base import RunningMean


class EMA(RunningMean):
    r"""Replace the update by its exponential moving average.

    $$ m_t = β m_{t-1} + (1-β)(1-δ) u_t,\quad d_t = m_t \;\text{ or }\; \frac{m_t}{1-β^t} $$

    With `lerp=False` the factor $1-β$ is left out.

    Args:
        momentum: β, in [0, 1).
        dampening: δ: the new update counts $1-δ$.
        debias: divide by $1-β^t$, which a mean that started at zero lacks; one with `lerp` that started at the first
            update lacks nothing, and is not divided.
        lerp: multiply the new update by $1-β$, so that the weights of a long run sum to one.
        ema_init: "zeros" starts at $m_0 = 0$, "update" with $m_1 = u_1$, neither dampened nor averaged.

    Raises:
        ValueError: for a number outside its range or an unknown `ema_init`.

    >>> import torch, torchzero as tz
    >>> ema, p = tz.m.EMA(0.9, debias=True), torch.zeros(1)
    >>> ema(p, ema.init(p), grad=torch.ones(1))[0]
    tensor([-1.])

    Reference: the first moment of Adam, Kingma & Ba 2015, https://arxiv.org/abs/1412.6980
    """
