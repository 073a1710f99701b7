"""Sequential: several optimizers, each with steps of its own, as one."""

from collections.abc import Iterable
from typing import Any

from torchzero.core.chain import Chainable
from torchzero.core.hyper import children, static
from torchzero.misc.base import InnerSteps


class Sequential(InnerSteps):
    r"""Let modules take real steps one after another, and make of them one update.

    $$ θ_{k+1} = θ_k - \mathrm{module}_{k \bmod m}(∇f(θ_k)),\quad d = θ_0 - θ_{nm} $$

    In a chain a module transforms the update of the one before; here every module takes a step of its own, from where
    the one before it has arrived. The first one gets the update that comes in. Attributes that inner modules publish
    stay inside; their wish to end the work is passed on.

    Args:
        modules: the m modules; a sequence among them is one chain.
        steps: n, how many times to run through them, at least 1.

    Raises:
        ValueError: for fewer than 1 step.
        RuntimeError: in a step without an objective, if n m > 1.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Sequential([tz.m.LR(0.25), [tz.m.LR(0.125), tz.m.LR(0.5)]])
    >>> p = torch.tensor([8.0])
    >>> opt(p, opt.init(p), lambda x: (x**2).sum())[0]
    tensor([3.5000])

    Reference: as `Multistep`.
    """

    links: tuple[Any, ...] = children()
    steps: int = static(default=1, low=1, integer=True)

    def __init__(self, modules: Iterable[Chainable], steps: int = 1) -> None:
        self._write("links", tuple(modules))
        self._write("steps", steps)
        self._validate()

    def plan(self) -> list[str]:
        return list(self.children()) * self.steps
