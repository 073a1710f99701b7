"""Switch: one module after the other has had its time."""

from typing import Any

from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.misc.base import Choice, durations


class Switch(Choice):
    r"""Run the first module for some steps, then the second, and so on, and stay with the last.

    $$ d_t = \mathrm{module}_{i(t)}(u_t),\quad i(t) = 1 + |\{i : t > n_1 + … + n_i\}| $$

    The states of modules that do not run stay as they are.

    Args:
        modules: modules or sequences of modules.
        steps: nᵢ ≥ 1, how many steps every module but the last runs for: durations, not absolute step numbers; one
            number, or one for each module but the last.

    Raises:
        ValueError: for a duration below 1, or a wrong number of durations.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Switch(tz.m.LR(1.0), tz.m.LR(10.0), steps=2)
    >>> p, state = torch.tensor(0.0), None
    >>> state = opt.init(p)
    >>> for _ in range(4):
    ...     p, state = opt(p, state, grad=torch.tensor(-1.0))
    ...     print(p.item())
    1.0
    2.0
    12.0
    22.0

    Reference: as SWATS, with the moment fixed in advance: Keskar & Socher 2017, https://arxiv.org/abs/1712.07628
    """

    def __init__(self, *modules: Chainable, steps: Any) -> None:
        self._write("links", modules)
        self._write("steps", durations("Switch", steps, len(modules) - 1))
        self._validate()

    def index(self, k: Tensor) -> Tensor:
        end, index = 0, k * 0
        for n in self.steps:
            end += n
            index = index + (k >= end)
        return index
