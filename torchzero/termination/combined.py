"""Criteria made of criteria: one row for each way to combine them, and a short way to write the usual ones."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import children
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.termination.base import CriterionState, TerminationCriteriaBase
from torchzero.termination.counts import (
    TerminateAfterNEvaluations,
    TerminateAfterNSeconds,
    TerminateAfterNSteps,
    TerminateNever,
)
from torchzero.termination.progress import (
    TerminateByGradientNorm,
    TerminateByUpdateNorm,
    TerminateOnLossReached,
    TerminateOnNoImprovement,
)


def met(criterion: Module, state: Any, var: Var) -> tuple[Any, Tensor]:
    """Run a module for its wish to end alone: its new state and that wish, a 0-d bool tensor."""
    state, out = criterion.step(state, var.replace(should_terminate=False))
    done = out.should_terminate
    return state, torch.as_tensor(done, dtype=torch.bool, device=tree.reference(var.params).device)


class _Combined(TerminationCriteriaBase):
    """All criteria run at every step, each counting for itself; their wishes are combined."""

    combine: ClassVar[Callable[[Tensor, Tensor], Tensor]]

    criteria: tuple[Any, ...] = children()

    def __init__(self, *criteria: Any) -> None:
        if not criteria:
            raise ValueError(f"{type(self).__name__}(): give at least one criterion, or use TerminateNever()")
        self._write("criteria", criteria)
        self._validate()

    def init_own(self, params: Tree) -> dict[str, Any]:
        return {name: module.init(params) for name, module in self.children().items()}

    def holds(self, own: dict[str, Any], var: Var) -> tuple[dict[str, Any], Tensor]:
        results = {name: met(module, own[name], var) for name, module in self.children().items()}
        flags = [flag for _, flag in results.values()]
        return {name: state for name, (state, _) in results.items()}, functools.reduce(type(self).combine, flags)

    def child_state(self, state: CriterionState, name: str) -> Any:
        return state.own[name]

    def reset_for_online(self, state: CriterionState) -> CriterionState:
        kids = self.children()
        return state._replace(own={k: m.reset_for_online(state.own[k]) for k, m in kids.items()})


class TerminateAll(_Combined, init=False):
    r"""Terminate when all of several criteria say so at the same step.

    $$ \mathrm{terminate}_t ⇔ \bigwedge_i \mathrm{terminate}_{i,t} $$

    Every criterion runs at every step and counts for itself how often it has held.

    Args:
        criteria: termination criteria, or sequences of modules that set `should_terminate`; at least one.

    Raises:
        ValueError: if there is none.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.TerminateAll(tz.m.TerminateAfterNSteps(1), tz.m.TerminateByGradientNorm(n=1))
    >>> p = torch.zeros(1)
    >>> state, var = opt.step(opt.init(p), tz.Var(p, grad=p))
    >>> var.should_terminate, opt.step(state, tz.Var(p, grad=p))[1].should_terminate
    (tensor(False), tensor(True))

    Reference: elementary.
    """

    combine = torch.logical_and


class TerminateAny(_Combined, init=False):
    r"""Terminate when any of several criteria says so.

    $$ \mathrm{terminate}_t ⇔ \bigvee_i \mathrm{terminate}_{i,t} $$

    Every criterion runs at every step and counts for itself how often it has held.

    Args:
        criteria: termination criteria, or sequences of modules that set `should_terminate`; at least one.

    Raises:
        ValueError: if there is none.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.TerminateAny(tz.m.TerminateAfterNSteps(100), tz.m.TerminateByGradientNorm(n=1))
    >>> p = torch.zeros(1)
    >>> opt.step(opt.init(p), tz.Var(p, grad=p))[1].should_terminate
    tensor(True)

    Reference: elementary.
    """

    combine = torch.logical_or


def make_termination_criteria(
    ftol: float | None = None,
    gtol: float | None = None,
    stol: float | None = None,
    maxiter: int | None = None,
    maxeval: int | None = None,
    maxsec: float | None = None,
    target_loss: float | None = None,
    extra: TerminationCriteriaBase | Sequence[TerminationCriteriaBase] | None = None,
    n: int = 3,
) -> TerminationCriteriaBase:
    r"""Make one criterion of the usual settings: any that is given and met ends the run.

    $$ \mathrm{terminate}_t ⇔ \bigvee_i \mathrm{terminate}_{i,t} $$

    Args:
        ftol: TerminateOnNoImprovement(ftol, n).
        gtol: TerminateByGradientNorm(gtol, n).
        stol: TerminateByUpdateNorm(stol, n).
        maxiter: TerminateAfterNSteps(maxiter).
        maxeval: TerminateAfterNEvaluations(maxeval).
        maxsec: TerminateAfterNSeconds(maxsec).
        target_loss: TerminateOnLossReached(target_loss).
        extra: a criterion or a sequence of criteria.
        n: how many steps in a row the tolerances must hold.

    Returns:
        TerminateNever if nothing is given, the criterion itself if it is one, else TerminateAny of all.

    >>> import torchzero as tz
    >>> tz.m.make_termination_criteria(gtol=1e-3, maxiter=10)
    TerminateAny(TerminateByGradientNorm(tol=0.001), TerminateAfterNSteps(steps=10))
    >>> tz.m.make_termination_criteria()
    TerminateNever()

    Reference: elementary; the settings are those of scipy.optimize.
    """
    given: list[TerminationCriteriaBase] = []
    if ftol is not None:
        given.append(TerminateOnNoImprovement(ftol, n))
    if gtol is not None:
        given.append(TerminateByGradientNorm(gtol, n))
    if stol is not None:
        given.append(TerminateByUpdateNorm(stol, n))
    if maxiter is not None:
        given.append(TerminateAfterNSteps(maxiter))
    if maxeval is not None:
        given.append(TerminateAfterNEvaluations(maxeval))
    if maxsec is not None:
        given.append(TerminateAfterNSeconds(maxsec))
    if target_loss is not None:
        given.append(TerminateOnLossReached(target_loss))
    if extra is not None:
        given += [extra] if isinstance(extra, Module) else list(extra)
    if len(given) > 1:
        return TerminateAny(*given)
    return given[0] if given else TerminateNever()
