"""What gradient approximators share: stencils, probes of the objective, and an objective with an estimated gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.module import Module
from torchzero.core.objective import FunctionObjective, Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var

# The derivative along z is Σ w f(θ + o h z) / h: pairs (o, w) of each formula.
STENCILS: dict[str, tuple[tuple[int, float], ...]] = {
    "forward2": ((0, -1.0), (1, 1.0)),
    "backward2": ((-1, -1.0), (0, 1.0)),
    "central2": ((-1, -1 / 2), (1, 1 / 2)),
    "forward3": ((0, -3 / 2), (1, 2.0), (2, -1 / 2)),
    "backward3": ((-2, 1 / 2), (-1, -2.0), (0, 3 / 2)),
    "central4": ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)),
    "forward4": ((0, -11 / 6), (1, 3.0), (2, -3 / 2), (3, 1 / 3)),
    "forward5": ((0, -25 / 12), (1, 4.0), (2, -3.0), (3, 4 / 3), (4, -1 / 4)),
}
STENCILS |= {name: STENCILS[f"{name}2"] for name in ("forward", "backward", "central")}

BATCH = 2**24  # elements of all points that are evaluated at once


# What an approximator found at a point: the gradient, a tree like the parameters; the loss at the point, if it was
# evaluated; and the mean of the losses around it.
Estimate: TypeAlias = tuple[Tree, Tensor | None, Tensor | None]


class ApproximationState(NamedTuple):
    """State of a gradient approximator."""

    evaluations: Tensor  # ()  evaluations away from the point that one estimate takes
    own: Any  # what the approximator itself remembers
    grad: Tree  # like params  the latest estimate; () with target="closure"


class ApproximateObjective(Objective):
    """An objective whose gradient is an estimate.

    Args:
        inner: the objective.
        approximator: makes the estimate.
        own: what the approximator remembers: the same for the whole step.
        known: a point, by identity, and the loss there.
    """

    def __init__(
        self, inner: Objective, approximator: "GradApproximator", own: Any, known: tuple[Tree, Tensor] | None
    ) -> None:
        self.inner, self.approximator, self.own, self.known = inner, approximator, own, known

    def value(self, params: Tree) -> Tensor:
        if self.known is not None and params is self.known[0]:
            return self.known[1]
        return self.inner.value(params)

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        loss = self.known[1] if self.known is not None and params is self.known[0] else None
        grad, evaluated, around = self.approximator.approximate(self.own, self.inner, params, loss)
        if loss is None:
            loss = evaluated
        if loss is None and self.approximator.return_approx_loss:
            loss = around
        return self.inner.value(params) if loss is None else loss, grad

    def residuals(self, params: Tree) -> Tensor:
        return self.inner.residuals(params)


class GradApproximator(Module):
    r"""What gradient approximators share: they make a direction of values of the objective alone.

    $$ g(θ) ≈ ∇f(θ) $$

    To write one, subclass and give `approximate(own, objective, params, loss)`, which returns the
    gradient, the loss at the point if it was evaluated, and the mean of the losses around it, or None for either. What
    it remembers from step to step is made by `init_own(params)` and renewed by `advance(own)`, once a step.

    Args:
        return_approx_loss: where the formula does not evaluate the point itself, take the mean of the losses around it
            for the loss and save an evaluation.
        target: "closure" gives all modules after this one an objective with estimated gradients, at whatever points;
            "grad" fills in the gradient at the step's point, and "update" the direction alone.

    Raises:
        RuntimeError: in a step without an objective.
        ValueError: for an unknown target.

    >>> import torch, torchzero as tz
    >>> class Slope(tz.m.GradApproximator):
    ...     def approximate(self, own, objective, params, loss):
    ...         f0, f1 = objective.value(params), objective.value(params + 1)
    ...         return (f1 - f0).expand(1), f0, None
    >>> p, opt = torch.tensor([2.0]), Slope()
    >>> opt.step(opt.init(p), tz.Var(p, objective=lambda x: (x**2).sum()))[1].update
    tensor([5.])

    Reference: Berahas et al. 2022, A theoretical and empirical comparison of gradient approximations in
    derivative-free optimization, https://arxiv.org/abs/1905.01332
    """

    needs = frozenset({"objective"})
    makes_update = True
    rewrites_objective = True

    return_approx_loss: bool = static(default=False)
    target: str = static("closure", choices=("closure", "grad", "update"))

    def _set(self, **values: Any) -> None:
        """Write fields and check them: for constructors whose arguments come in another order."""
        for name, value in values.items():
            self._write(name, value)
        self.__post_init__()

    def init_own(self, params: Tree) -> Any:
        """What the approximator remembers before the first step."""
        return ()

    def advance(self, own: Any) -> Any:
        """What it remembers in the next step."""
        return own

    def probes(self, params: Tree) -> int:
        """How many values away from the point one estimate takes."""
        return 0

    def approximate(self, own: Any, objective: Objective, params: Tree, loss: Tensor | None) -> Estimate:
        """The gradient of `objective` at `params`, where the loss may be known already."""
        raise TypeError(f"{type(self).__name__} must implement approximate(own, objective, params, loss)")

    def init(self, params: Tree) -> ApproximationState:
        grad = () if self.target == "closure" else tree.zeros_like(params)
        return ApproximationState(tree.counter(params) + self.probes(params), self.init_own(params), grad)

    def update(self, state: ApproximationState, var: Var) -> ApproximationState:
        objective, own, grad = var.need_objective(self), self.advance(state.own), ()
        if self.target != "closure":
            grad, _, _ = self.approximate(own, objective, var.params, var.loss if var.has_loss else None)
        return ApproximationState(state.evaluations, own, grad)

    def apply(self, state: ApproximationState, var: Var) -> Var:
        if self.target == "closure":
            known = (var.params, var.loss) if var.has_loss else None
            objective = ApproximateObjective(var.need_objective(self), self, state.own, known)
            return var.replace(objective=objective, update=None)
        if self.target == "grad":
            return var.replace(grad=state.grad, update=None)
        return var.replace(update=state.grad)

    def evaluations(self, state: ApproximationState) -> Tensor:
        return state.evaluations


# ---------------------------------------------------------------------- probing the objective


def batches(total: int, size: int) -> list[tuple[int, int]]:
    """The ranges of 0 … total-1 in which points of `size` elements are evaluated together."""
    chunk = max(1, min(total, BATCH // max(size, 1)))
    return [(low, min(low + chunk, total)) for low in range(0, total, chunk)]


def moved(params: Tree, z: Tree, h: Any, offset: float = 1) -> Tree:
    """params + offset·h·z."""
    return tree.zipmap(lambda p, z, h: tree.cast(p + (offset * h) * z, p), params, z, h)


def over_lanes(fn: Callable[[Tree], Tensor], z: Tree, batched: bool) -> Tensor:
    """`fn` for every lane of `z`: (c,); at once where that can be done, else one by one."""
    if batched:
        many = torch.func.vmap(fn)
        if torch.compiler.is_compiling():
            return many(z)
        try:
            return many(z)
        except (
            RuntimeError
        ):  # it looks at numbers, calls foreign code or draws at random; or is wrong, and raises again
            pass
    lanes = tree.leaves(z)[0].shape[0]
    return torch.stack([fn(tree.map(lambda x, i=i: x[i], z)) for i in range(lanes)])


def values(objective: Objective, params: Tree, z: Tree, h: Any, offset: float = 1) -> Tensor:
    """The objective at params + offset·h·z for every lane of `z`: (c,)."""
    batched = isinstance(objective, FunctionObjective)
    return over_lanes(lambda z: objective.value(moved(params, z, h, offset)), z, batched)


class Slopes(NamedTuple):
    """What a stencil found along several directions."""

    slopes: Tensor  # (c,) Σ w f: the derivatives times h
    total: Tensor  # ()   the sum of all values away from the point


def differences(objective: Objective, params: Tree, z: Tree, h: Any, formula: str, f0: Any) -> Slopes:
    """The stencil along every lane of `z`; `f0` is the value at the point, if the stencil needs it."""
    slopes: Any = 0.0
    total: Any = 0.0
    for offset, weight in STENCILS[formula]:
        if offset == 0:
            slopes = slopes + weight * f0
            continue
        f = values(objective, params, z, h, offset)
        slopes, total = slopes + weight * f, total + f.sum()
    return Slopes(slopes, total)


def touches_centre(formula: str) -> bool:
    """Whether the stencil needs the value at the point itself."""
    return any(offset == 0 for offset, _ in STENCILS[formula])


def outside(formula: str) -> int:
    """How many values away from the point the stencil needs."""
    return sum(offset != 0 for offset, _ in STENCILS[formula])
