"""OneCycle: up to a large value and down to a very small one."""

from torch import Tensor

from torchzero.core.hyper import Hyper, integer, number, positive, static, within
from torchzero.core.schedule import Schedule
from torchzero.schedules.base import passages


class OneCycle(Schedule):
    r"""From p/d up to p and down to p/(d·f), over a given number of steps; held afterwards.

    The values at the turning points, with $a = p/d$ and $b = a/f$ and q the fraction of steps up, are

    $$ s_0 = a,\quad s_{qn-1} = p,\quad (s_{2qn-2} = a,)\quad s_{n-1} = b $$

    the one in brackets with three phases, and the passages between them are cosines or straight lines. Turning points
    lie where torch has them; optax has them one step later. A momentum that goes down and up is
    `OneCycle(0.85, n, div_factor=0.85 / 0.95, final_div_factor=1)`.

    Args:
        peak: p.
        steps: n ≥ 1, all steps.
        pct_start: q, in [0, 1].
        div_factor: d > 0.
        final_div_factor: f > 0.
        shape: "cosine" or "linear".
        three_phase: go down as fast as up, and further down in the remaining steps.

    Raises:
        ValueError: for a number outside its range, or an unknown shape.

    >>> import torch, torchzero as tz
    >>> s = tz.schedules.OneCycle(1.0, steps=10, div_factor=4, shape="linear")
    >>> torch.stack([s(torch.tensor(k)) for k in range(4)])
    tensor([0.2500, 0.6250, 1.0000, 0.8571], dtype=torch.float64)

    Reference: Smith & Topin 2018, https://arxiv.org/abs/1708.07120, as torch.optim.lr_scheduler.OneCycleLR
    """

    peak: Hyper = number()
    steps: Hyper = integer(1)
    pct_start: Hyper = within(0, 1, default=0.3, closed_high=True)
    div_factor: Hyper = positive(25.0)
    final_div_factor: Hyper = positive(1e4)
    shape: str = static("cosine", choices=("cosine", "linear"))
    three_phase: bool = static(False)

    def value(self, k: Tensor) -> Tensor:
        up, last = self.pct_start * self.steps, self.steps - 1
        start = self.peak / self.div_factor
        end = start / self.final_div_factor
        if self.three_phase:
            return passages(k, (0, up - 1, 2 * up - 2, last), (start, self.peak, start, end), self.shape)
        return passages(k, (0, up - 1, last), (start, self.peak, end), self.shape)
