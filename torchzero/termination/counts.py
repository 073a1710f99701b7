"""Criteria about how long it has been: one row for each thing that is counted, and one that never holds."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, nonnegative, static
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.step_size.base import single
from torchzero.termination.base import TerminationCriteriaBase


class TerminateAfterNSteps(TerminationCriteriaBase):
    r"""Terminate when so many steps were taken before this one.

    $$ \mathrm{terminate}_t ⇔ t > N,\quad t = 1, 2, … $$

    Args:
        steps: N, a whole number of at least 0.

    Raises:
        ValueError: for any other number.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.TerminateAfterNSteps(1), torch.zeros(1)
    >>> state, var = opt.step(opt.init(p), tz.Var(p, grad=p))
    >>> var.should_terminate, opt.step(state, tz.Var(p, grad=p))[1].should_terminate
    (tensor(False), tensor(True))

    Reference: elementary.
    """

    steps: Hyper = integer(0)

    def init_own(self, params: Tree) -> Tensor:
        return tree.counter(params)

    def holds(self, own: Tensor, var: Var) -> tuple[Tensor, Tensor]:
        return own + 1, own >= single(self, "steps")[0]


class TerminateAfterNEvaluations(TerminationCriteriaBase):
    r"""Terminate when the objective was evaluated so many times.

    $$ \mathrm{terminate}_t ⇔ \text{evaluations} ≥ N $$

    The caller may tell the number of evaluations before this step as `storage["num_evaluations"]`, with `Modular`
    `opt.step(closure, num_evaluations=opt.num_evaluations)`. Otherwise they are counted here: the calls of the closure
    in every step until this module runs, so place it last to count those of line searches, too; and where there is no
    closure one for every step.

    Args:
        maxevals: N, a whole number of at least 0.

    Raises:
        ValueError: for any other number.

    >>> import torch, torchzero as tz
    >>> x = torch.ones(1, requires_grad=True)
    >>> opt = tz.Modular([x], tz.m.LR(0.1), tz.m.TerminateAfterNEvaluations(3))
    >>> def closure(backward=True):
    ...     loss = (x**2).sum()
    ...     if backward:
    ...         opt.zero_grad()
    ...         loss.backward()
    ...     return loss
    >>> while not opt.should_terminate:
    ...     _ = opt.step(closure)
    >>> opt.num_evaluations
    3

    Reference: elementary.
    """

    maxevals: Hyper = integer(0)

    def init_own(self, params: Tree) -> Tensor:
        return tree.counter(params)

    def holds(self, own: Tensor, var: Var) -> tuple[Tensor, Tensor]:
        seen = own + getattr(var.objective, "calls", 1)
        told = var.storage.get("num_evaluations")
        spent = seen if told is None else torch.as_tensor(told, device=seen.device)
        return seen, spent >= single(self, "maxevals")[0]


class ClockState(NamedTuple):
    """What TerminateAfterNSeconds remembers."""

    started: Tensor  # () bool     whether the clock was read
    start: Tensor  # () float64    what it showed then


class TerminateAfterNSeconds(TerminationCriteriaBase):
    r"""Terminate when so many seconds have passed since the first step.

    $$ \mathrm{terminate}_t ⇔ \mathrm{clock}_t - \mathrm{clock}_1 ≥ s $$

    It looks at a clock outside, so it cannot be vmapped or compiled, and the same step twice need not do the same.

    Args:
        seconds: s, at least 0.
        sec_fn: the clock, a function without arguments that returns seconds.

    Raises:
        ValueError: for negative seconds.

    >>> import torch, torchzero as tz
    >>> clock = iter([100.0, 102.0, 105.0])
    >>> opt, p = tz.m.TerminateAfterNSeconds(5, lambda: next(clock)), torch.zeros(1)
    >>> state = opt.init(p)
    >>> for _ in range(3):
    ...     state, var = opt.step(state, tz.Var(p, grad=p))
    ...     print(var.should_terminate)
    tensor(False)
    tensor(False)
    tensor(True)

    Reference: elementary.
    """

    host_side = True

    seconds: Hyper = nonnegative()
    sec_fn: Callable[[], float] = static(time.time)

    def init_own(self, params: Tree) -> ClockState:
        device = tree.reference(params).device
        return ClockState(
            torch.zeros((), dtype=torch.bool, device=device), torch.zeros((), dtype=torch.float64, device=device)
        )

    def holds(self, own: ClockState, var: Var) -> tuple[ClockState, Tensor]:
        now = torch.full_like(own.start, self.sec_fn())
        start = torch.where(own.started, own.start, now)
        return ClockState(torch.ones_like(own.started), start), now - start >= single(self, "seconds")[0]


class TerminateNever(TerminationCriteriaBase):
    r"""Never terminate.

    $$ \mathrm{terminate}_t ⇔ \mathrm{false} $$

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.TerminateNever(), torch.zeros(1)
    >>> opt.step(opt.init(p), tz.Var(p, grad=p))[1].should_terminate
    tensor(False)

    Reference: elementary.
    """

    def init_own(self, params: Tree) -> Any:
        return ()

    def holds(self, own: Any, var: Var) -> tuple[Any, Tensor]:
        return own, torch.zeros((), dtype=torch.bool, device=tree.reference(var.params).device)
