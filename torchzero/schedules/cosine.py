"""Cosine: a smooth passage between two values."""

from torch import Tensor

from torchzero.core.hyper import Hyper, integer, number
from torchzero.core.schedule import Schedule
from torchzero.schedules.base import cosine, progress


class Cosine(Schedule):
    r"""Half a period of a cosine from one value to another, held afterwards.

    $$ s_k = b + \frac{a - b}{2}\left(1 + \cos\frac{π \min(k, n)}{n}\right) $$

    Args:
        start: a.
        end: b.
        steps: n ≥ 1.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> tz.schedules.Cosine(1.0, 0.0, steps=4)(torch.tensor(2))
    tensor(0.5000, dtype=torch.float64)

    Reference: Loshchilov & Hutter 2017, equation 5 without restarts, https://arxiv.org/abs/1608.03983
    """

    start: Hyper = number()
    end: Hyper = number()
    steps: Hyper = integer(1)

    def value(self, k: Tensor) -> Tensor:
        return cosine(self.start, self.end, progress(k, 0, self.steps))
