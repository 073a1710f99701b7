"""What methods that look at values alone share: ask for points, tell their values, and be a module of a chain."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.control import cond, while_loop
from torchzero.core.module import Module
from torchzero.core.objective import FunctionObjective, Objective
from torchzero.core.safe import safe_div
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.grad_approximation.base import batches, over_lanes
from torchzero.step_size.base import single


class Best(NamedTuple):
    """The best point told so far."""

    x: Tree  # like params
    f: Tensor  # ()  its value; inf before the first


class Strategy(Module):
    """A method that proposes points and learns from their values alone, as the triple init, ask, tell.

        init(params, key)               -> state                `key` from torchzero.random.key; by default from `seed`
        ask(state)                      -> (population, state)  points: a tree like params, leaves (λ, *shape)
        tell(state, population, values) -> state                values (λ,), lower is better
        best(state)                     -> (x, f)               the best point told so far

    A value that is NaN or infinite is worse than every number. States are pytrees of tensors of a fixed form with the
    random key inside, so that everything can be vmapped, over starts, seeds and numeric hyperparameters, and compiled.
    A population may be changed between ask and tell, by projection onto bounds, say.

    A strategy is a module too. A step in a chain asks, evaluates the objective's value at the points and nothing else,
    tells, and its direction leads from the parameters to `target(state)`. The points of a population are evaluated at
    once, by vmap, where the objective is a function that allows it, and through a closure one after the other. The
    search goes on from its own state: where others put the parameters in the meantime does not matter to it.

    To write one, subclass and give `init`, `ask`, `tell`, `points` and `target`.

    >>> import torch, torchzero as tz
    >>> strategy = tz.m.CMAES(sigma=0.5, population=8)
    >>> state = strategy.init({"x": torch.ones(2)}, tz.random.key(0))
    >>> for _ in range(100):
    ...     population, state = strategy.ask(state)
    ...     state = strategy.tell(state, population, torch.vmap(lambda p: (p["x"] ** 2).sum())(population))
    >>> x, f = strategy.best(state)
    >>> population["x"].shape, bool(f < 1e-6)
    (torch.Size([8, 2]), True)
    """

    needs = frozenset({"objective"})
    makes_update = True
    whole = True

    def init(self, params: Tree, key: Tensor | None = None) -> Any:
        """The state before the first ask."""
        raise TypeError(f"{type(self).__name__} must implement init(params, key)")

    def ask(self, state: Any) -> tuple[Tree, Any]:
        """Points to evaluate, with a leading dimension."""
        raise TypeError(f"{type(self).__name__} must implement ask(state)")

    def tell(self, state: Any, population: Tree, values: Tensor) -> Any:
        """Learn the values of the points."""
        raise TypeError(f"{type(self).__name__} must implement tell(state, population, values)")

    def points(self, n: int) -> int:
        """How many points a population has for n parameter elements."""
        raise TypeError(f"{type(self).__name__} must implement points(n)")

    def target(self, state: Any) -> Tree:
        """Where the search stands: what the parameters become."""
        raise TypeError(f"{type(self).__name__} must implement target(state)")

    def unfinished(self, state: Any) -> Tensor | None:
        """Whether a step goes on to ask: 0-d bool; None for strategies whose step is one population."""
        return None

    def best(self, state: Any) -> Best:
        """The best point told so far, and its value."""
        return state.best

    # ------------------------------------------------------------------ the triple of a module

    def _generation(self, state: Any, var: Var) -> Any:
        population, state = self.ask(state)
        return self.tell(state, population, evaluate(var.need_objective(self), population))

    def update(self, state: Any, var: Var) -> Any:
        state = self._generation(state, var)
        if self.unfinished(state) is None:
            return state
        return while_loop(self.unfinished, lambda s: self._generation(s, var), state)  # pyright: ignore[reportArgumentType]

    def apply(self, state: Any, var: Var) -> Var:
        return var.replace(update=tree.map(lambda p, x: p - tree.cast(x, p), var.params, self.target(state)))

    def evaluations(self, state: Any) -> Any:
        return self.points(tree.count(state.best.x))


class Told(NamedTuple):
    """A population that is told, n elements a point."""

    Z: Tensor  # (λ, n)   the draws, standard normal
    X: Tensor  # (λ, n)   the points
    f: Tensor  # (λ,)     their values, inf where they failed
    order: Tensor  # (λ,) indices from the best to the worst


class Sampler(Strategy):
    """A strategy whose points are a linear map of standard normal draws, and whose state has key, t, mean and best.

    A subclass has the fields `population` and `seed`, and gives `start`, the map `place` and its inverse `unplace`, and
    `learn`. A population of which every point
    failed teaches nothing: the same distribution is drawn from again.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._field("seed") is None:
            self._write("seed", random.fresh_seed())

    def start(self, params: Tree, key: Tensor) -> Any:
        """The state before the first ask."""
        raise TypeError(f"{type(self).__name__} must implement start(params, key)")

    def place(self, state: Any, Z: Tensor) -> Tensor:
        """The steps from the mean that draws (λ, n) stand for."""
        raise TypeError(f"{type(self).__name__} must implement place(state, Z)")

    def unplace(self, state: Any, D: Tensor) -> Tensor:
        """The draws that steps (λ, n) come from."""
        raise TypeError(f"{type(self).__name__} must implement unplace(state, D)")

    def learn(self, state: Any, told: Told) -> Any:
        """The state with another distribution."""
        raise TypeError(f"{type(self).__name__} must implement learn(state, told)")

    def draw(self, state: Any) -> Tensor:
        """The draws of this generation: (λ, n)."""
        n = len(state.mean)
        return random.normal(random.fold_in(state.key, state.t), (self.points(n), n), state.mean.dtype)

    def init(self, params: Tree, key: Tensor | None = None) -> Any:
        device = tree.reference(params).device
        return self.start(params, random.key(self._field("seed"), device) if key is None else key.to(device))

    def points(self, n: int) -> int:
        given = self._field("population")
        return 4 + math.floor(3 * math.log(max(n, 1))) if given is None else given

    def ask(self, state: Any) -> tuple[Tree, Any]:
        return spread(state.mean + self.place(state, self.draw(state)), state.best.x), state

    def tell(self, state: Any, population: Tree, values: Tensor) -> Any:
        check_told(self, state, population, values)
        Z, X = self.draw(state), rows(population, state.mean)
        # A point cannot be taken back to its draw when the search is so narrow that it was rounded, but a change can.
        asked = rows(spread(state.mean + self.place(state, Z), state.best.x), state.mean)
        change = X - asked
        Z = Z + cond((change != 0).any(), lambda d: self.unplace(state, d), torch.zeros_like, change)
        f = ranked(values)
        learned = self.learn(state, Told(Z, X, f, torch.argsort(f, stable=True)))
        new = tree.where(torch.isfinite(f).any(), learned, state)
        return new._replace(t=state.t + 1, best=better(state.best, population, f))

    def target(self, state: Any) -> Tree:
        return spread(state.mean, state.best.x)

    def _field(self, name: str) -> Any:
        """A field of the subclass that is one number for all parameters."""
        return single(self, name)[0]


class SeparableState(NamedTuple):
    """State of a search with a width for each element; n elements of all parameters."""

    key: Tensor  # (2,)     int64, the stream of draws
    t: Tensor  # ()         generations told
    mean: Tensor  # (n,)
    sigma: Tensor  # (n,)   width of each element
    best: Best


class Separable(Sampler):
    """A sampler with a width for each element, x = m + σ ⊙ z, at first that of the subclass's field `sigma`."""

    def start(self, params: Tree, key: Tensor) -> SeparableState:
        m = wide(params)
        sigma = wide(tree.full_like(tree.map(lambda p: p.to(m.dtype), params), vars(self)["sigma"]))
        return SeparableState(key, tree.counter(params), m, sigma.to(m.dtype), nothing_told(params, m))

    def place(self, state: SeparableState, Z: Tensor) -> Tensor:
        return state.sigma * Z

    def unplace(self, state: SeparableState, D: Tensor) -> Tensor:
        return safe_div(D, state.sigma)

    def extent(self, state: SeparableState) -> Tensor:
        return state.sigma.amax(0)


def evaluate(objective: Objective, population: Tree) -> Tensor:
    """The values of all points, (λ,): at once where that can be done, else one by one."""
    total = len(tree.reference(population))
    ranges = batches(total, tree.count(population) // max(total, 1))
    batched = isinstance(objective, FunctionObjective)
    parts = [tree.map(lambda x, low=low, high=high: x[low:high], population) for low, high in ranges]
    return torch.cat([over_lanes(objective.value, part, batched) for part in parts])


def wide(params: Tree) -> Tensor:
    """All parameters as one vector, in at least single precision."""
    vector = tree.ravel(params)[0]
    return vector.to(torch.promote_types(vector.dtype, torch.float32))


def spread(X: Tensor, like: Tree) -> Tree:
    """The rows of X (..., n) as trees: leaves (..., *shape)."""
    leaves, spec = tree.flatten(like)
    parts = torch.split(X, [p.numel() for p in leaves], -1) if leaves else ()
    shaped = [tree.cast(x.reshape((*X.shape[:-1], *p.shape)), p) for x, p in zip(parts, leaves, strict=True)]
    return tree.own(tree.unflatten(spec, shaped))


def rows(population: Tree, like: Tensor) -> Tensor:
    """A population as a matrix (λ, n), in the dtype of `like`."""
    parts = [x.reshape(x.shape[0], math.prod(x.shape[1:])).to(like.dtype) for x in tree.leaves(population)]
    return torch.cat(parts, 1)


def check_told(strategy: Strategy, state: Any, population: Tree, values: Tensor) -> None:
    """Refuse a population that is none of this strategy, or values that are not one for each point."""
    size = strategy.points(tree.count(state.best.x))
    wanted = [(size, *x.shape) for x in tree.leaves(state.best.x)]
    given = [tuple(x.shape) for x in tree.leaves(population)]
    name = type(strategy).__name__
    if wanted != given:
        raise ValueError(f"{name}.tell(population): must have the shapes that ask gave, {wanted}; got {given}")
    if tuple(values.shape) != (size,):
        raise ValueError(
            f"{name}.tell(values): must be one value for each of the {size} points, ({size},); got "
            f"{tuple(values.shape)}; evaluate with torch.vmap(f)(population)"
        )


def ranked(values: Tensor) -> Tensor:
    """Values in which a failed evaluation is worse than any other: inf where they are not finite."""
    return torch.where(torch.isfinite(values), values, torch.full_like(values, math.inf))


def nothing_told(params: Tree, like: Tensor) -> Best:
    """Before the first tell."""
    return Best(params, torch.full((), math.inf, dtype=like.dtype, device=like.device))


def better(best: Best, population: Tree, f: Tensor) -> Best:
    """The best point after a population was told, whose values are `ranked`."""
    i = torch.argmin(f, 0, keepdim=True)
    low = f.gather(0, i)[0].to(best.f.dtype)
    found = low < best.f
    x = tree.map(lambda p: p.index_select(0, i)[0], population)
    return Best(tree.cast_like(tree.where(found, x, best.x), best.x), torch.where(found, low, best.f))
