"""Comparing trees, and saying plainly what differed."""

from typing import Any

import optree
import torch
from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import Tree


class DifferenceError(AssertionError):
    """What a law found: one sentence, without the module's or the law's name."""


class LawError(AssertionError):
    """A module breaks a law.

    Attributes:
        module: the module.
        law: the name of the law.
        statement: what the law says.
        difference: what differed.
    """

    def __init__(self, module: Module, law: str, statement: str, difference: str) -> None:
        self.module, self.law, self.statement, self.difference = module, law, statement, difference
        super().__init__(f"{module!r} breaks the law {law!r}\n  the law: {statement}\n  what differed: {difference}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.module, self.law, self.statement, self.difference)


def named_leaves(tree: Tree) -> list[tuple[str, Any]]:
    """Every leaf with its dotted path; None counts as a leaf."""
    paths, leaves, _ = optree.tree_flatten_with_path(tree, none_is_leaf=True)
    return [(".".join(map(str, path)) or "(the only leaf)", leaf) for path, leaf in zip(paths, leaves, strict=True)]


def structure(tree: Tree) -> Any:
    """The structure of a tree, None counting as a leaf."""
    return optree.tree_structure(tree, none_is_leaf=True)


def signature(x: Any) -> str:
    """Shape, dtype and device in words."""
    if not isinstance(x, Tensor):
        return f"{type(x).__name__}, not a tensor"
    return f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)} on {x.device}"


def same_signature(what: str, mine: Tree, theirs: Tree) -> None:
    """Fail unless structure, shapes, dtypes and devices agree."""
    if structure(mine) != structure(theirs):
        raise DifferenceError(f"{what}: the structure is {structure(mine)}, expected {structure(theirs)}")
    for (path, x), (_, y) in zip(named_leaves(mine), named_leaves(theirs), strict=True):
        if signature(x) != signature(y):
            raise DifferenceError(f"{what} at {path}: {signature(x)}, expected {signature(y)}")


def _report(what: str, path: str, x: Tensor, y: Tensor, bad: Tensor) -> DifferenceError:
    if x.ndim == 0:
        return DifferenceError(f"{what} at {path}: {x.item()!r}, expected {y.item()!r}")
    index = tuple(bad.nonzero()[0].tolist())
    count = int(bad.sum())
    others = f" and {count - 1} more elements" if count > 1 else ""
    return DifferenceError(f"{what} at {path}{list(index)}: {x[index].item()!r}, expected {y[index].item()!r}{others}")


def same_bits(what: str, mine: Tree, theirs: Tree) -> None:
    """Fail unless every element is equal; NaN equals NaN."""
    same_signature(what, mine, theirs)
    for (path, x), (_, y) in zip(named_leaves(mine), named_leaves(theirs), strict=True):
        if isinstance(x, Tensor) and x is not y:
            bad = (x != y) & ~((x != x) & (y != y))
            if bool(bad.any()):
                raise _report(what, path, x, y, bad)


def close(what: str, mine: Tree, theirs: Tree, rtol: float = 1e-8, atol: float = 1e-12) -> None:
    """Fail unless elements agree to `rtol` of their tensor's largest finite element; NaN equals NaN."""
    same_signature(what, mine, theirs)
    for (path, x), (_, y) in zip(named_leaves(mine), named_leaves(theirs), strict=True):
        if not isinstance(x, Tensor) or x is y:
            continue
        a, b = x.to(torch.float64), y.to(torch.float64)
        finite = torch.where(torch.isfinite(b), b.abs(), 0)
        bound = atol + rtol * (finite.max() if finite.numel() else 0.0)
        bad = ~(((a - b).abs() <= bound) | (a == b) | ((a != a) & (b != b)))
        if bool(bad.any()):
            raise _report(what, path, x, y, bad)
