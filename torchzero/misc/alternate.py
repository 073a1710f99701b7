"""Alternate: modules taking turns."""

from typing import Any

from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.misc.base import Choice, durations


class Alternate(Choice):
    r"""Run the first module for some steps, then the second, and so on, and begin again.

    $$ d_t = \mathrm{module}_{i(t)}(u_t),\quad i(t) = \min\{i : (t-1) \bmod \textstyle\sum_j n_j < n_1 + … + n_i\} $$

    The states of modules that do not run stay as they are.

    Args:
        modules: modules or sequences of modules.
        steps: nᵢ ≥ 1, how many steps each module runs for: one number, or one for each module.

    Raises:
        ValueError: for a duration below 1, or a wrong number of durations.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Alternate(tz.m.LR(1.0), tz.m.LR(10.0), steps=(2, 1))
    >>> p, state = torch.tensor(0.0), None
    >>> state = opt.init(p)
    >>> for _ in range(4):
    ...     p, state = opt(p, state, grad=torch.tensor(-1.0))
    ...     print(p.item())
    1.0
    2.0
    12.0
    13.0

    Reference: alternating methods are folklore; nothing is assumed about the modules.
    """

    def __init__(self, *modules: Chainable, steps: Any = 1) -> None:
        self._write("links", modules)
        self._write("steps", durations("Alternate", steps, len(modules)))
        self._validate()

    def index(self, k: Tensor) -> Tensor:
        phase, end, index = k % sum(self.steps), 0, k * 0
        for n in self.steps[:-1]:
            end += n
            index = index + (phase >= end)
        return index
