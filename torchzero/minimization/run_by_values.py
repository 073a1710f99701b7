"""RunByValues: the loop of `minimize` for methods that look at values of the objective alone."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chain
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var, apply_update
from torchzero.minimization import result as codes
from torchzero.minimization.run import Carry

DERIVATIVES = frozenset({"grad", "true_gradient", "hvp", "residuals"})


def by_values(opt: Module) -> bool:
    """Whether a method looks at values of the objective alone, so that no gradient is ever wanted."""
    first = next(iter(opt.links), opt) if isinstance(opt, Chain) else opt
    return first.makes_update and not any(x.rewrites_objective or x.needs & DERIVATIVES for x in opt.walk())


class RunByValues:
    """One method on one objective, which need not be differentiable.

    The result of a method that remembers the best point it evaluated is that point; where such a method stands is not
    evaluated on top. Other methods are evaluated once where each step leads, and handed this value in the next.
    """

    PATIENCE = 3

    def __init__(self, objective: Objective, opt: Module, tol: float | Tensor, max_evaluations: int | None) -> None:
        self.objective = objective
        self.opt = opt
        self.tol = tol
        self.max_evaluations = max_evaluations

    def start(self, x0: Tree) -> Carry:
        """Before the first step."""
        state = self.opt.init(x0)
        _, value, spent = self._judge(state, x0)
        unknown = torch.full_like(value, float("nan"))
        zero = 0 * torch.isnan(value).to(torch.int64)  # batched if the objective is
        carry = Carry(x0, value, (), unknown, (x0, value, unknown), zero, zero + spent, zero, zero, state)
        return carry._replace(status=self._status(carry, False))

    def step(self, carry: Carry) -> Carry:
        """One step of the method, and what has become of the run."""
        loss = carry.value if self.opt.best(carry.state) is None else None
        storage = {"wants_grad": False}
        var = Var(carry.x, objective=self.objective, loss=loss, step=carry.iterations, storage=storage)
        state, var = self.opt.step(carry.state, var)
        x = apply_update(var)
        found, value, spent = self._judge(state, x)
        evaluations = carry.evaluations + self.opt.evaluations(state) + spent
        still = torch.stack([(a == b).all() for a, b in zip(tree.leaves(x), tree.leaves(carry.x), strict=True)]).all()
        stalls = torch.where(still, carry.stalls + 1, 0 * carry.stalls)
        best = tree.where(value <= carry.best[1], (found, value, carry.grad_norm), carry.best)
        new = Carry(x, value, (), carry.grad_norm, best, carry.iterations + 1, evaluations, stalls, carry.status, state)
        return new._replace(status=self._status(new, var.should_terminate))

    def _judge(self, state: Any, x: Tree) -> tuple[Tree, Tensor, int]:
        """The point to judge by, its value, and how many evaluations that takes."""
        best = self.opt.best(state)
        return (x, self.objective.value(x), 1) if best is None else (*best, 0)

    def _status(self, carry: Carry, terminate: Any) -> Tensor:
        status, finite = torch.zeros_like(carry.status), torch.isfinite(carry.value)
        extent = self.opt.extent(carry.state) if any(x.numel() for x in tree.leaves(carry.x)) else 0 * carry.value
        if self.max_evaluations is not None:
            status = torch.where(carry.evaluations >= self.max_evaluations, codes.MAX_EVALUATIONS, status)
        if extent is None:  # a search may stand still for long before it finds a better point
            status = torch.where(carry.stalls > self.PATIENCE, codes.STALLED, status)
        if self.opt.best(carry.state) is None:  # and may begin where nothing is finite
            status = torch.where(finite, status, codes.NON_FINITE)
        status = torch.where(carry.value == -torch.inf, codes.UNBOUNDED, status)
        status = torch.where(torch.as_tensor(terminate), codes.TERMINATED, status)
        return status if extent is None else torch.where(finite & (extent <= self.tol), codes.NARROW, status)
