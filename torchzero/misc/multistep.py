"""Multistep: several steps as one."""

from torchzero.core.hyper import child, static
from torchzero.core.module import Module
from torchzero.misc.base import InnerSteps


class Multistep(InnerSteps):
    r"""Let a module take several steps, and make of them one update.

    $$ θ_0 = θ,\quad θ_{k+1} = θ_k - \mathrm{module}(∇f(θ_k)),\quad d = θ_0 - θ_n $$

    The first inner step gets the update that comes in; the later ones start from the gradient at their own point.
    Attributes that the inner module publishes stay inside; its wish to end the work is passed on.

    Args:
        module: module or sequence of modules.
        steps: n, at least 1.

    Raises:
        ValueError: for fewer than 1 step.
        RuntimeError: in a step without an objective, if n > 1.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Multistep(tz.m.LR(0.25), steps=2)
    >>> p = torch.tensor([8.0])
    >>> opt(p, opt.init(p), lambda x: (x**2).sum())[0]
    tensor([2.])

    Reference: the inner loop of Reptile: Nichol, Achiam & Schulman 2018, https://arxiv.org/abs/1803.02999
    """

    module: Module = child()
    steps: int = static(low=1, integer=True)

    def plan(self) -> list[str]:
        return ["module"] * self.steps
