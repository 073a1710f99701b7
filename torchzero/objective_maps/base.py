"""What the objective maps share: a module that shows later modules another objective, and the common kinds of those."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.safe import safe_div
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class ObjectiveMap(Module):
    """A module that hands on the direction as it is, and another objective.

    Give `rewrite(state, var, inner)`: the objective that the modules after this one see. It is a pure function of the
    parameters: random numbers come from a key in the state, and are the same at every evaluation of a step.

    What was known of the old objective at x0 is forgotten. A direction that an earlier module has set stays; without
    one, the next module starts from the new gradient. `Modular.step` returns the loss of the original objective.

    >>> import torch, torchzero as tz
    >>> class Twice(ObjectiveMap):
    ...     def rewrite(self, state, var, inner):
    ...         return tz.FunctionObjective(lambda params: 2 * inner.value(params))
    >>> opt = tz.Chain(Twice(), tz.m.LR(0.25))
    >>> opt(torch.tensor([4.0]), opt.init(torch.tensor([4.0])), lambda x: (x**2).sum())[0]
    tensor([0.])
    """

    needs = frozenset({"objective"})
    rewrites_objective = True

    def rewrite(self, state: Any, var: Var, inner: Objective) -> Objective:
        """The new objective."""
        raise TypeError(f"{type(self).__name__} must implement rewrite(state, var, inner)")

    def apply(self, state: Any, var: Var) -> Var:
        return var.replace(objective=self.rewrite(state, var, var.need_objective(self)))


class Mapped(Objective):
    """An objective made of another."""

    def __init__(self, inner: Objective) -> None:
        self.inner = inner


class Moved(Mapped):
    """Another objective, evaluated at another point: everything at `move(params)`.

    Derivatives are those of the other objective at that point: the point is taken to go along with the parameters.

    Args:
        inner: the other objective.
        move: parameters to parameters.
    """

    def __init__(self, inner: Objective, move: Callable[[Tree], Tree]) -> None:
        super().__init__(inner)
        self.move = move

    def value(self, params: Tree) -> Tensor:
        return self.inner.value(self.move(params))

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        return self.inner.value_and_grad(self.move(params))

    def residuals(self, params: Tree) -> Tensor:
        return self.inner.residuals(self.move(params))

    def jacobian(self, params: Tree) -> tuple[Tensor, Tensor]:
        return self.inner.jacobian(self.move(params))

    def hvp(self, params: Tree, v: Tree) -> Tree:
        return self.inner.hvp(self.move(params), v)

    def linearize(self, params: Tree) -> tuple[Tree, Callable[[Tree], Tree]]:
        return self.inner.linearize(self.move(params))

    def hessian(self, params: Tree) -> Tensor:
        return self.inner.hessian(self.move(params))


class ByProducts(Mapped):
    """An objective whose Hessian is known by its products with vectors."""

    def hessian(self, params: Tree) -> Tensor:
        vector, unravel = tree.ravel(params)
        _, product = self.linearize(params)
        columns = [tree.ravel(product(unravel(e)))[0] for e in torch.eye(vector.numel()).to(vector)]
        return torch.stack(columns, 1) if columns else vector.new_zeros(0, 0)


def shift(params: Tree, by: Tree) -> Tree:
    """params + by, each leaf in its own dtype."""
    return tree.map(lambda p, e: tree.cast(p + e, p), params, by)


class KeyState(NamedTuple):
    """State of a map that draws anew at every step."""

    key: Tensor  # (2,)  int64, the key of this step's draws


class RandomMap(ObjectiveMap):
    """An objective map with random numbers, which are the same at every evaluation of a step."""

    if TYPE_CHECKING:  # a field of the subclasses, their last
        seed: Hyper

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init(self, params: Tree) -> KeyState:
        return KeyState(random.key(self.seed, tree.reference(params).device))

    def update(self, state: KeyState, var: Var) -> KeyState:
        return KeyState(random.split(state.key)[0])


# ---------------------------------------------------------------------- parameters that run ahead of the weights


class AheadState(NamedTuple):
    """State of parameters that are perturbed along a momentum."""

    v: Tree  # like params  the velocity
    e: Tree  # like params  the perturbation of the parameters after this step: weights minus parameters
    before: Tree  # like params  the perturbation of the parameters that this step sees


class Ahead(Module):
    """Keep the parameters perturbed along a momentum of what comes in: ρ n / ‖n‖ beyond the weights."""

    needs = frozenset({"params"})

    if TYPE_CHECKING:  # fields of the subclasses, in whose order they stand
        momentum: Hyper
        rho: Hyper
        weight_decay: Hyper
        nesterov: bool
        lerp: bool

    def start(self, params: Tree) -> AheadState:
        """Nothing is perturbed yet."""
        return AheadState(*(tree.zeros_like(params) for _ in range(3)))

    def _share(self, u: Tensor, momentum: Any) -> Tensor:
        return (1 - momentum) * u if self.lerp else u

    def direction(self, state: AheadState, u: Tree) -> Tree:
        """The momentum's direction n, after `absorb`."""
        if not self.nesterov:
            return state.v
        return tree.zipmap(lambda v, x, m: tree.cast(m * v + self._share(x, m), v), state.v, u, self.momentum)

    def absorb(self, state: AheadState, u: Tree) -> AheadState:
        """Advance the velocity and the perturbation."""
        v = tree.zipmap(lambda v, x, m: tree.cast(m * v + self._share(x, m), v), state.v, u, self.momentum)
        n = self.direction(state._replace(v=v), u)
        length = tree.norm(n)
        e = tree.zipmap(lambda x, rho: tree.cast(rho * safe_div(x, length.to(x.dtype)), x), n, self.rho)
        return AheadState(v, e, state.e)

    def displace(self, state: AheadState, var: Var, step: Tree) -> Tree:
        """The weights' step, their decay, and the change of the perturbation."""

        def one(d: Tensor, p: Tensor, e: Tensor, before: Tensor, decay: Any) -> Tensor:
            return tree.cast(d + (e - before) + decay * (p + before), d)

        return tree.zipmap(one, step, var.params, state.e, state.before, self.weight_decay)
