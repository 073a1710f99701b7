"""Run: the loop of `minimize`, one step at a time."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var, apply_update
from torchzero.minimization import result as codes
from torchzero.minimization.bounds import Box
from torchzero.minimization.result import Result


class Carry(NamedTuple):
    """Where a minimisation stands."""

    x: Tree  # like x0
    value: Tensor  # ()   the objective at x
    grad: Tree  # like x0   its gradient at x
    grad_norm: Tensor  # ()   the largest absolute element of the (projected) gradient
    best: tuple[Tree, Tensor, Tensor]  # x, value and grad_norm of the lowest value so far
    iterations: Tensor  # () int64
    evaluations: Tensor  # () int64
    stalls: Tensor  # () int64   steps in a row that moved nothing
    status: Tensor  # () int64
    state: Any  # the method's

    def result(self) -> Result:
        """The result if this were the end."""
        x, value, grad_norm = self.best
        status = torch.where(self.status == codes.RUNNING, codes.MAX_ITERATIONS, self.status)
        return Result(x, value, grad_norm, self.iterations, self.evaluations, status, self.state)

    def now(self) -> Result:
        """Where it stands, which need not be the best point so far; by values alone it is."""
        if isinstance(self.grad, tuple) and self.grad == ():
            return self.result()._replace(status=self.status)
        x, value, grad_norm = self.x, self.value, self.grad_norm
        return Result(x, value, grad_norm, self.iterations, self.evaluations, self.status, self.state)


class Run:
    """One method on one objective.

    A step evaluates loss and gradient at the new point once, and hands them to the next step; a method that has
    evaluated them already is not asked again. A method that cannot move is given `PATIENCE` more steps, since a failed
    search may make it start afresh.
    """

    PATIENCE = 3

    def __init__(
        self,
        objective: Objective,
        opt: Module,
        tol: float | Tensor,
        max_evaluations: int | None,
        box: Box | None = None,
    ) -> None:
        self.objective = objective
        self.opt = opt
        self.tol = tol
        self.max_evaluations = max_evaluations
        self.box = box

    def _norm(self, x: Tree, grad: Tree) -> Tensor:
        return tree.norm(grad if self.box is None else self.box.gradient(x, grad), float("inf"))

    def start(self, x0: Tree, spent: int = 0) -> Carry:
        """Evaluate at x0, after `spent` evaluations."""
        value, grad = self.objective.value_and_grad(x0)
        norm = self._norm(x0, grad)
        zero = 0 * torch.isnan(value).to(torch.int64)  # batched if the objective is
        carry = Carry(x0, value, grad, norm, (x0, value, norm), zero, zero + 1 + spent, zero, zero, self.opt.init(x0))
        return carry._replace(status=self._status(carry, torch.isnan(value) & False))

    def step(self, carry: Carry) -> Carry:
        """One step of the method, and what has become of the run."""
        var = Var(carry.x, objective=self.objective, grad=carry.grad, loss=carry.value, step=carry.iterations)
        state, var = self.opt.step(carry.state, var)
        x = apply_update(var) if self.box is None else self.box.project(apply_update(var))
        known = var.accepted if var.objective is self.objective else None
        value, grad = self.objective.value_and_grad(x) if known is None else known
        evaluations = carry.evaluations + self.opt.evaluations(state) + (known is None)
        still = torch.stack([(a == b).all() for a, b in zip(tree.leaves(x), tree.leaves(carry.x), strict=True)]).all()
        norm = self._norm(x, grad)
        better = (value <= carry.best[1]) | (norm <= self.tol)  # a gradient says more than the last bit of a value
        best = tree.where(better, (x, value, norm), carry.best)
        stalls = torch.where(still, carry.stalls + 1, 0 * carry.stalls)
        new = Carry(x, value, grad, norm, best, carry.iterations + 1, evaluations, stalls, carry.status, state)
        return new._replace(status=self._status(new, var.should_terminate))

    def _status(self, carry: Carry, terminate: Any) -> Tensor:
        status = torch.zeros_like(carry.status)
        if self.max_evaluations is not None:
            status = torch.where(carry.evaluations >= self.max_evaluations, codes.MAX_EVALUATIONS, status)
        status = torch.where(carry.stalls > self.PATIENCE, codes.STALLED, status)
        finite = torch.isfinite(carry.value) & torch.isfinite(carry.grad_norm)
        status = torch.where(finite, status, codes.NON_FINITE)
        status = torch.where(carry.value == -torch.inf, codes.UNBOUNDED, status)
        status = torch.where(torch.as_tensor(terminate), codes.TERMINATED, status)
        return torch.where((carry.grad_norm <= self.tol) & finite, codes.CONVERGED, status)
