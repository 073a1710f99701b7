"""WarmupDecay: up, along, and down."""

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, integer, is_number, number, static
from torchzero.core.schedule import Schedule
from torchzero.schedules.base import SHAPES, linear, progress


class WarmupDecay(Schedule):
    r"""A straight line up to the peak, a plateau, and a decay; held afterwards.

    $$ s_k = \begin{cases} a + (p - a)\,k/w & k < w \\ p & w ≤ k < w + h \\
       D\bigl(p, b, \min((k - w - h)/n, 1)\bigr) & \text{else} \end{cases} $$

    The decay D(p, b, x) from p to b is $p + (b-p)x$ ("linear"), $b + (p-b)(1 + \cos πx)/2$ ("cosine"),
    $p (b/p)^x$ ("exponential") or $p + (b-p)\sqrt{x}$ ("sqrt").

    Args:
        peak: p.
        warmup: w ≥ 0, steps up.
        decay: n ≥ 1, steps down.
        start: a, the first value if there is a warm-up.
        end: b, the last value; positive, as p, if the decay is exponential.
        hold: h ≥ 0, steps between.
        shape: "cosine", "linear", "exponential" or "sqrt".

    Raises:
        ValueError: for a number outside its range, or an unknown shape.

    >>> import torch, torchzero as tz
    >>> s = tz.schedules.WarmupDecay(1.0, warmup=2, decay=4, shape="linear")
    >>> torch.stack([s(torch.tensor(k)) for k in range(8)])
    tensor([0.0000, 0.5000, 1.0000, 0.7500, 0.5000, 0.2500, 0.0000, 0.0000],
           dtype=torch.float64)

    Reference: Goyal et al. 2017, https://arxiv.org/abs/1706.02677, and Loshchilov & Hutter 2017,
    https://arxiv.org/abs/1608.03983; with a plateau and "sqrt" Hägele et al. 2024, https://arxiv.org/abs/2405.18392
    """

    peak: Hyper = number()
    warmup: Hyper = integer(0)
    decay: Hyper = integer(1)
    start: Hyper = number(0.0)
    end: Hyper = number(0.0)
    hold: Hyper = integer(0, 0)
    shape: str = static("cosine", choices=tuple(SHAPES))

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("peak", "end") if self.shape == "exponential" else ():
            value = getattr(self, name)
            if is_number(value) and value <= 0:
                raise ValueError(f"WarmupDecay({name}={value!r}): must be positive for an exponential decay")

    def value(self, k: Tensor) -> Tensor:
        fall = self.warmup + self.hold
        up = linear(self.start, self.peak, progress(k, 0, self.warmup))
        down = SHAPES[self.shape](self.peak, self.end, progress(k, fall, fall + self.decay))
        return torch.where(k < self.warmup, up, down)
