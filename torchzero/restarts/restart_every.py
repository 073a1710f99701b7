"""RestartEvery: start afresh at regular intervals."""

from typing import Any

from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.restarts.base import RestartStrategyBase


class RestartEvery(RestartStrategyBase):
    r"""Start modules afresh at every so many-th step.

    $$ s_{t-1} ← \mathrm{init}(θ_t) \quad\text{where } t \bmod N = 0,\quad t = 1, 2, … $$

    Args:
        modules: module or sequence of modules, afresh in the steps N, 2N, ...; None for all other modules of the chain
            that this one stands in, afresh in the steps N + 1, 2N + 1, ...
        steps: N, a whole number of at least 1, or "ndim" for the number of elements of all parameters.

    Raises:
        ValueError: for any other `steps`.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.RestartEvery(tz.m.AccumulateSum(), 3), torch.zeros(1)
    >>> state, sums = opt.init(p), []
    >>> for _ in range(7):
    ...     state, var = opt.step(state, tz.Var(p, grad=torch.ones(1)))
    ...     sums.append(var.update.item())
    >>> sums
    [1.0, 2.0, 1.0, 2.0, 3.0, 1.0, 2.0]

    Reference: Nocedal & Wright 2006, Numerical Optimization, section 5.2, "Restarts".
    """

    steps: Any = static()

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.steps, int) and not isinstance(self.steps, bool) and self.steps >= 1
        if not whole and self.steps != "ndim":
            raise ValueError(
                f'RestartEvery(steps={self.steps!r}): must be a whole number of at least 1, or "ndim" for the number '
                "of elements of all parameters"
            )

    def init_own(self, params: Tree) -> Tensor:
        return tree.counter(params)

    def should_restart(self, own: Tensor, var: Var) -> tuple[Tensor, Tensor]:
        every = max(tree.count(var.params), 1) if self.steps == "ndim" else self.steps
        return own + 1, (own + 1) % every == 0
