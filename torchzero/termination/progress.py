"""Criteria about what a step achieves: one row for each thing that is looked at."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, nonnegative, number, static
from torchzero.core.metrics import check_ord, tree_metric
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.step_size.base import single
from torchzero.termination.base import TerminationCriteriaBase


class _Norm(TerminationCriteriaBase):
    """A size of all parameters' elements together that is small for several steps."""

    tol: Hyper = nonnegative(1e-8)
    n: Hyper = integer(1, 3)
    ord: float | str = static(2)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord(type(self).__name__, "ord", self.ord)


class TerminateByGradientNorm(_Norm):
    r"""Terminate when the gradient is small, several times in a row.

    $$ \mathrm{criterion}_t ⇔ ‖∇f(θ_t)‖ ≤ \mathrm{tol},\quad \mathrm{terminate}_t ⇔ n \text{ times in a row} $$

    Args:
        tol: at least 0, in units of the gradient.
        n: how many steps in a row, at least 1.
        ord: which norm of all elements together: a number in [0, inf] or the name of a metric, such as "mad".

    Raises:
        ValueError: for a number outside its range or an unknown metric.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.TerminateByGradientNorm(tol=1e-2, n=2), torch.zeros(2)
    >>> state = opt.init(p)
    >>> for size in (1.0, 1e-3, 1e-3):
    ...     state, var = opt.step(state, tz.Var(p, grad=p + size))
    ...     print(var.should_terminate)
    tensor(False)
    tensor(False)
    tensor(True)

    Reference: Nocedal & Wright 2006, Numerical Optimization, section 3.1.
    """

    needs = frozenset({"grad"})

    def holds(self, own: Any, var: Var) -> tuple[Any, Tensor]:
        return own, tree_metric(var.grad, self.ord) <= single(self, "tol")[0]


class PointState(NamedTuple):
    """What TerminateByUpdateNorm remembers."""

    known: Tensor  # () bool     whether there was a step before
    params: Tree  # like params  the parameters then


class TerminateByUpdateNorm(_Norm):
    r"""Terminate when the parameters have hardly moved, several times in a row.

    $$ \mathrm{criterion}_t ⇔ ‖θ_t - θ_{t-1}‖ ≤ \mathrm{tol},\quad
       \mathrm{terminate}_t ⇔ n \text{ times in a row} $$

    At the first step there is nothing to compare with, and the criterion does not hold.

    Args:
        tol: at least 0, in units of the parameters.
        n: how many steps in a row, at least 1.
        ord: which norm of all elements together: a number in [0, inf] or the name of a metric, such as "mad".

    Raises:
        ValueError: for a number outside its range or an unknown metric.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.TerminateByUpdateNorm(tol=1e-2, n=1), torch.zeros(2)
    >>> state, var = opt.step(opt.init(p), tz.Var(p, grad=p))
    >>> var.should_terminate, opt.step(state, tz.Var(p + 1e-3, grad=p))[1].should_terminate
    (tensor(False), tensor(True))

    Reference: Nocedal & Wright 2006, Numerical Optimization; Dennis & Schnabel 1996, section 7.2.
    """

    needs = frozenset({"params"})

    def init_own(self, params: Tree) -> PointState:
        return PointState(torch.zeros((), dtype=torch.bool, device=tree.reference(params).device), params)

    def holds(self, own: PointState, var: Var) -> tuple[PointState, Tensor]:
        moved = tree_metric(tree.sub(var.params, own.params), self.ord)
        return PointState(torch.ones_like(own.known), var.params), own.known & (moved <= single(self, "tol")[0])


class TerminateOnNoImprovement(TerminationCriteriaBase):
    r"""Terminate when the loss has not fallen below its minimum so far, several times in a row.

    $$ \mathrm{criterion}_t ⇔ \min_{k<t} f_k - f_t ≤ \mathrm{tol},\quad
       \mathrm{terminate}_t ⇔ n \text{ times in a row} $$

    At the first step the criterion does not hold. A loss that is NaN is no improvement.

    Args:
        tol: at least 0, in units of the loss.
        n: how many steps in a row, at least 1.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.TerminateOnNoImprovement(n=2), torch.zeros(1)
    >>> state = opt.init(p)
    >>> for loss in (3.0, 1.0, 2.0, 1.0):
    ...     state, var = opt.step(state, tz.Var(p, grad=p, loss=torch.tensor(loss)))
    ...     print(var.should_terminate)
    tensor(False)
    tensor(False)
    tensor(False)
    tensor(True)

    Reference: elementary; early stopping, e.g. Prechelt 1998, https://doi.org/10.1007/3-540-49430-8_3
    """

    needs = frozenset({"value"})

    tol: Hyper = nonnegative(1e-8)
    n: Hyper = integer(1, 10)

    def init_own(self, params: Tree) -> Tensor:
        """The smallest loss so far, () float64."""
        return torch.full((), math.inf, dtype=torch.float64, device=tree.reference(params).device)

    def holds(self, own: Tensor, var: Var) -> tuple[Tensor, Tensor]:
        f = var.loss.to(own.dtype)
        first = own == math.inf
        return torch.fmin(own, f), ~first & ~(own - f > single(self, "tol")[0])


class TerminateOnLossReached(TerminationCriteriaBase):
    r"""Terminate when the loss is small enough.

    $$ \mathrm{terminate}_t ⇔ f(θ_t) ≤ \mathrm{value} $$

    Args:
        value: any number, in units of the loss.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.TerminateOnLossReached(0.1), torch.zeros(1)
    >>> opt.step(opt.init(p), tz.Var(p, grad=p, loss=torch.tensor(0.05)))[1].should_terminate
    tensor(True)

    Reference: elementary.
    """

    needs = frozenset({"value"})

    value: Hyper = number()

    def holds(self, own: Any, var: Var) -> tuple[Any, Tensor]:
        return own, var.loss <= single(self, "value")[0]
