"""Bounds: a box that `minimize` never leaves."""

import math
from typing import Any, NamedTuple

import optree
import torch
from torch import Tensor

from torchzero import m
from torchzero.core import tree
from torchzero.core.hyper import is_number
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree

SIDES = ("lower", "upper")
NO_BOUND = (-math.inf, math.inf)
FORMS = "give (lower, upper), each a number, a tensor, a tree of these like x0 or a prefix of it, or None for no bound"


class Box(NamedTuple):
    """All points between two others."""

    lower: Tree  # like x0, -inf where there is no bound
    upper: Tree  # like x0, inf where there is none

    def project(self, x: Tree) -> Tree:
        """The nearest point inside."""
        return tree.clamp(x, self.lower, self.upper)

    def gradient(self, x: Tree, grad: Tree) -> Tree:
        """The projected gradient x - P(x - g), like x: zero where the first-order conditions hold."""
        return tree.sub(x, self.project(tree.sub(x, grad)))

    def held(self, x: Tree, grad: Tree) -> tuple[Tree, Tree]:
        """Which elements are kept at their lower and at their upper bound by the gradient: bool, like x."""
        ends = tree.sub(x, grad)
        at_lower = tree.map(lambda end, low: end <= low, ends, self.lower)
        at_upper = tree.map(lambda end, high: end >= high, ends, self.upper)
        return at_lower, at_upper

    def detached(self) -> "Box":
        """The same as a constant."""
        return Box(*(tree.map(torch.Tensor.detach, side) for side in self))


def as_box(bounds: Any, x0: Tree) -> Box | None:
    """The box that is meant, checked.

    Raises:
        TypeError: for what is not a pair of bounds, or bounds that are not numbers.
        ValueError: for another structure than x0 has, and for a lower bound above the upper.
    """
    if bounds is None:
        return None
    if isinstance(bounds, list) and isinstance(x0, Tensor) and all(isinstance(pair, tuple) for pair in bounds):
        bounds = _of_pairs(bounds, x0)
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise TypeError(f"minimize(bounds={bounds!r}): must be a pair; {FORMS}")
    box = Box(*(_side(name, side, x0) for name, side in zip(SIDES, bounds, strict=True)))
    for path, low, high in zip(tree.paths(x0), tree.leaves(box.lower), tree.leaves(box.upper), strict=True):
        at = f" at {path!r}" if path else ""
        _refuse((low > high), f"the lower bound exceeds the upper one{at}; exchange them, or widen the box")
        _refuse(
            torch.isnan(low) | torch.isnan(high) | (low == math.inf) | (high == -math.inf),
            f"a lower bound{at} must be a number below inf, an upper one above -inf",
        )
    return box


def _refuse(wrong: Tensor, why: str) -> None:
    if not torch.compiler.is_compiling() and torch.func.debug_unwrap(wrong, recurse=True).any():
        raise ValueError(f"minimize(bounds=...): {why}")


def _of_pairs(pairs: list[Any], x0: Tensor) -> Any:
    """What SciPy takes for a vector, a list of n tuples (low, high), as a pair of bounds."""
    if x0.ndim != 1 or len(pairs) != len(x0) or any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            f"minimize(bounds=...): a list of tuples (low, high) must have one for each element of a vector x0; got "
            f"{len(pairs)} for the shape {tuple(x0.shape)}; or {FORMS}"
        )
    rows = [[none if v is None else v for v, none in zip(pair, NO_BOUND, strict=True)] for pair in pairs]
    return tuple(
        torch.stack([torch.as_tensor(v, dtype=x0.dtype, device=x0.device) for v in side])
        for side in zip(*rows, strict=True)
    )


def _side(name: str, values: Any, x0: Tree) -> Tree:
    """One side of the box: a tree like x0."""
    absent = NO_BOUND[SIDES.index(name)]
    leaves, spec = tree.flatten(x0)
    values = optree.tree_map(lambda v: absent if v is None else v, values, none_is_leaf=True)
    try:
        each = tree.spread(values, x0)
    except ValueError as error:
        raise ValueError(
            f"minimize(bounds=...): the {name} bounds must have the structure of x0 or its beginning, {spec}; "
            f"got {optree.tree_structure(values)}; {FORMS}"
        ) from error
    return tree.unflatten(
        spec, [_bound(name, v, x, path) for v, x, path in zip(each, leaves, tree.paths(x0), strict=True)]
    )


def _bound(name: str, value: Any, x: Tensor, path: str) -> Tensor:
    at = f" at {path!r}" if path else ""
    if not is_number(value) and not isinstance(value, Tensor):
        raise TypeError(f"minimize(bounds=...): the {name} bound{at} is {value!r}, a {type(value).__name__}; {FORMS}")
    bound = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    try:
        return bound.expand(x.shape)
    except RuntimeError as error:
        raise ValueError(
            f"minimize(bounds=...): the {name} bound{at} has the shape {tuple(bound.shape)}, and x0 {tuple(x.shape)}; "
            "give one that broadcasts to that"
        ) from error


class Inside(Objective):
    """An objective that is only ever evaluated inside a box: at the nearest point of it."""

    def __init__(self, inner: Objective, box: Box) -> None:
        self.inner, self.box = inner, box

    def value(self, params: Tree) -> Tensor:
        return self.inner.value(self.box.project(params))

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        return self.inner.value_and_grad(self.box.project(params))

    def residuals(self, params: Tree) -> Tensor:
        return self.inner.residuals(self.box.project(params))

    def jacobian(self, params: Tree) -> tuple[Tensor, Tensor]:
        return self.inner.jacobian(self.box.project(params))

    def hvp(self, params: Tree, v: Tree) -> Tree:
        return self.inner.hvp(self.box.project(params), v)

    def linearize(self, params: Tree) -> Any:
        return self.inner.linearize(self.box.project(params))

    def hessian(self, params: Tree) -> Tensor:
        return self.inner.hessian(self.box.project(params))


BOUNDED = (m.LBFGSB, m.WithinBounds)  # what makes a direction that ends inside
SEARCHES = (m.StrongWolfe,)  # what stays inside when it is told to


def has_own_bounds(module: Module) -> bool:
    """Whether bounds were given to a module itself."""
    told = isinstance(module, BOUNDED + SEARCHES) and not (module.lb is None and module.ub is None)
    return told or any(has_own_bounds(child) for child in module.children().values())


def keeps_bounds(module: Module) -> bool:
    """Whether a method is sound in a box: it plans for it, or treats every element by itself and can be cut."""
    return _plans(module) or module.chain_locality() == "elementwise"


def _plans(module: Module) -> bool:
    return isinstance(module, BOUNDED) or any(_plans(child) for child in module.children().values())


def inside(module: Module, box: Box) -> Module:
    """The same method, told of the box."""

    def told(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(told(v) for v in value)
        return inside(value, box) if isinstance(value, Module) else value

    fields = {name: told(value) for name, value in module.__dict__.items() if _has_modules(value)}
    if isinstance(module, BOUNDED + SEARCHES):
        fields.update(lb=box.lower, ub=box.upper)
    return module.evolve(**fields) if fields else module


def _has_modules(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return any(isinstance(part, Module) for part in parts)
