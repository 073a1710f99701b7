"""RestartOnStuck: start afresh when the parameters no longer move."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, nonnegative
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.restarts.base import RestartStrategyBase, no
from torchzero.step_size.base import single


class StuckState(NamedTuple):
    """What RestartOnStuck remembers."""

    known: Tensor  # () bool     whether there was a step before, since the last restart
    params: Tree  # like params  the parameters at the step before
    bad: Tensor  # ()            steps in a row in which nothing moved


class RestartOnStuck(RestartStrategyBase):
    r"""Start modules afresh when no parameter has moved for several steps in a row.

    $$ \mathrm{stuck}_t ⇔ \max_i |θ_{t,i} - θ_{t-1,i}| ≤ \mathrm{tol},\quad
       s_{t-1} ← \mathrm{init}(θ_t) \quad\text{after } n \text{ stuck steps in a row} $$

    The first step, and the first after a restart, is compared with nothing and leaves the count as it is.

    Args:
        modules: module or sequence of modules; None for all other modules of the chain that this one stands in.
        tol: at least 0, in units of the parameters; None for twice the smallest normal number of their dtype, which
            means that nothing moved at all.
        n_tol: n, a whole number of at least 1.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.RestartOnStuck(tz.m.AccumulateSum(), n_tol=2), torch.zeros(1)
    >>> state, sums = opt.init(p), []
    >>> for _ in range(6):
    ...     state, var = opt.step(state, tz.Var(p, grad=torch.ones(1)))
    ...     sums.append(var.update.item())
    >>> sums
    [1.0, 2.0, 1.0, 2.0, 3.0, 1.0]

    Reference: elementary.
    """

    needs = frozenset({"params"})

    tol: Hyper = nonnegative(None)
    n_tol: Hyper = integer(1, 10)

    def init_own(self, params: Tree) -> StuckState:
        return StuckState(no(params), params, tree.counter(params))

    def should_restart(self, own: StuckState, var: Var) -> tuple[StuckState, Tensor]:
        tol, n_tol = single(self, "tol", "n_tol")
        tol = 2 * torch.finfo(tree.reference(var.params).dtype).tiny if tol is None else tol
        still = tree.norm(tree.sub(var.params, own.params), math.inf) <= tol
        counted = torch.where(still, own.bad + 1, torch.zeros_like(own.bad))
        bad = torch.where(own.known, counted, own.bad)
        restart = bad >= n_tol
        return StuckState(~restart, var.params, torch.where(restart, torch.zeros_like(bad), bad)), restart
