"""Metrics: the one table of sizes that a module can measure a tensor or a tree by."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.safe import safe_norm, safe_sqrt
from torchzero.core.tree import Tree

Dims = tuple[int, ...]

NORMS: dict[str, float] = {"l0": 0, "l1": 1, "l2": 2, "l3": 3, "l4": 4, "linf": math.inf}
NAMES: tuple[str, ...] = ("mad", "std", "var", "sum", *NORMS)


def count(x: Tensor, dims: Dims) -> int:
    """How many elements `x` has along `dims`."""
    n = 1
    for d in dims:
        n = n * x.shape[d]
    return n


def _mad(x: Tensor, dims: Dims, keepdim: bool) -> Tensor:
    return x.abs().sum(dims, keepdim=keepdim) / max(count(x, dims), 1)


def _sum(x: Tensor, dims: Dims, keepdim: bool) -> Tensor:
    return x.sum(dims, keepdim=keepdim)


def _var(x: Tensor, dims: Dims, keepdim: bool) -> Tensor:
    n = count(x, dims)
    centred = x - x.sum(dims, keepdim=True) / max(n, 1)
    return (centred * centred).sum(dims, keepdim=keepdim) / max(n - 1, 1)


def _std(x: Tensor, dims: Dims, keepdim: bool) -> Tensor:
    return safe_sqrt(_var(x, dims, keepdim))


_TABLE: dict[str, Callable[[Tensor, Dims, bool], Tensor]] = {"mad": _mad, "std": _std, "var": _var, "sum": _sum}


def check_ord(owner: str, name: str, ord: Any) -> None:
    """Refuse an order that is neither a number ≥ 0, nor inf, nor the name of a metric."""
    known = f"must be a number in [0, inf] or one of {', '.join(NAMES)}"
    if isinstance(ord, str):
        if ord not in NAMES:
            raise ValueError(f"{owner}({name}={ord!r}): {known}")
    elif not isinstance(ord, int | float) or isinstance(ord, bool):
        raise TypeError(f"{owner}({name}={ord!r}): {known}; got {type(ord).__name__}")
    elif not ord >= 0:
        raise ValueError(f"{owner}({name}={ord!r}): {known}")


def metric(x: Tensor, ord: float | str = 2, dim: Dims | None = None, keepdim: bool = False) -> Tensor:
    """The size of one tensor, over all dimensions or over `dim`; derivatives are finite at zero.

    Args:
        x: a tensor.
        ord: the order of a vector norm (0 counts nonzero elements, inf is the largest absolute value), or a name:
            "mad" mean absolute value, "std" and "var" with Bessel's correction (0 for a single element), "sum" of
            the elements, "l0", "l1", "l2", "l3", "l4", "linf".
        dim: dimensions to reduce, all if None.
        keepdim: keep reduced dimensions with size 1.

    >>> metric(torch.tensor([3.0, -4.0]), "l2"), metric(torch.tensor([3.0, -4.0]), "mad")
    (tensor(5.), tensor(3.5000))
    """
    if isinstance(ord, str) and ord in _TABLE:
        return _TABLE[ord](x, tuple(range(x.ndim)) if dim is None else dim, keepdim)
    return safe_norm(x, NORMS[ord] if isinstance(ord, str) else ord, dim, keepdim)


def tree_metric(values: Tree, ord: float | str = 2) -> Tensor:
    """The size of all elements of all leaves together, as if they were one tensor: 0-d.

    >>> tree_metric({"a": torch.tensor([3.0]), "b": torch.tensor([[-4.0]])}, "l2")
    tensor(5.)
    """
    if isinstance(ord, str) and ord in NORMS:
        ord = NORMS[ord]
    if not isinstance(ord, str):
        if ord == 0:
            return tree.total(tree.map(lambda x: safe_norm(x, 0), values))
        return tree.norm(values, ord)
    n = tree.count(values)
    if ord == "sum":
        return tree.total(values)
    if ord == "mad":
        return tree.total(tree.map(torch.abs, values)) / max(n, 1)
    mean = tree.total(values) / max(n, 1)
    var = tree.total(tree.map(lambda x: (x - mean) ** 2, values)) / max(n - 1, 1)
    return safe_sqrt(var) if ord == "std" else var
