"""Tree algebra: the few operations on trees of tensors that modules need, over optree."""

import builtins
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import optree
import torch
from torch import Tensor

from torchzero.core.hyper import is_scalar
from torchzero.core.registration import register_node
from torchzero.core.safe import safe_norm

Tree: TypeAlias = Any  # an optree of tensors
Spec: TypeAlias = Any  # an optree.PyTreeSpec


class Hole(tuple):  # type: ignore[type-arg]
    """What stands where a parameter is not this module's business: an empty node, equal to `()`.

    It is not `()` itself, because Dynamo folds a dict of constants and fails to rebuild it.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return Hole, ()


HOLE: Hole = Hole()

register_node(Hole, lambda _: ((), None), lambda _aux, _values: HOLE, lambda _: ())


class Leaves(tuple):  # type: ignore[type-arg]
    """Named parameters, or one subtree for each of them: the tree that `Modular` hands to its chain."""

    names: tuple[str, ...]

    def __new__(cls, values: Sequence[Any], names: tuple[str, ...]) -> "Leaves":  # noqa: PYI034  (typing.Self came with Python 3.11)
        """A value for each name."""
        self = super().__new__(cls, values)
        self.names = names
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self), self.names

    def __repr__(self) -> str:
        return "Leaves({" + ", ".join(f"{n!r}: {v!r}" for n, v in zip(self.names, self, strict=True)) + "})"


register_node(
    Leaves,
    lambda node: (tuple(node), node.names),
    lambda names, values: Leaves(values, names),
    lambda node: node.names,
)


def map(fn: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """`fn` on corresponding leaves; all trees have the structure of the first."""
    return optree.tree_map(fn, tree, *rest)


def zipmap(fn: Callable[..., Any], full: Tree, *prefixes: Any) -> Tree:
    """`fn` on the leaves of `full` and the values that each prefix tree (or scalar) has there."""
    leaves, spec = optree.tree_flatten(full)
    return optree.tree_unflatten(spec, builtins.map(fn, leaves, *[spread(prefix, full) for prefix in prefixes]))


def spread(prefix: Any, full: Tree) -> list[Any]:
    """The value of a scalar or prefix tree at every leaf of `full`."""
    if is_scalar(prefix):
        return [prefix] * optree.tree_structure(full).num_leaves
    return optree.broadcast_prefix(prefix, full)


def leaves(tree: Tree) -> list[Any]:
    """The leaves in order."""
    return optree.tree_leaves(tree)


def flatten(tree: Tree) -> tuple[list[Any], Spec]:
    """Leaves and structure."""
    return optree.tree_flatten(tree)


def unflatten(spec: Spec, values: Any) -> Tree:
    """The tree with structure `spec` and these leaves."""
    return optree.tree_unflatten(spec, values)


def with_paths(
    tree: Tree, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[tuple[str, ...]], list[Any], Spec]:
    """The path of every leaf (keys, indices and field names as strings), the leaves, and the structure."""
    accessors, values, spec = optree.tree_flatten_with_accessor(tree, is_leaf=is_leaf)
    return [tuple(str(getattr(part, "field", part.entry)) for part in path) for path in accessors], values, spec  # type: ignore[return-value]


def paths(tree: Tree) -> list[str]:
    """The dotted path of every leaf."""
    return [".".join(path) for path in with_paths(tree)[0]]


def zeros_like(tree: Tree) -> Tree:
    """Zeros in the shape, dtype and device of `tree`."""
    return map(torch.zeros_like, tree)


def ones_like(tree: Tree) -> Tree:
    """Ones in the shape, dtype and device of `tree`."""
    return map(torch.ones_like, tree)


def full_like(tree: Tree, value: Any) -> Tree:
    """`value` in the shape, dtype and device of `tree`; a prefix tree of values is allowed."""
    return zipmap(lambda x, v: torch.zeros_like(x) + v, tree, value)


def add(a: Tree, b: Tree) -> Tree:
    """a + b."""
    return map(operator.add, a, b)


def sub(a: Tree, b: Tree) -> Tree:
    """a - b."""
    return map(operator.sub, a, b)


def mul(a: Tree, b: Tree) -> Tree:
    """a * b, elementwise."""
    return map(operator.mul, a, b)


def scale(factor: Any, tree: Tree) -> Tree:
    """factor * tree; a scalar or prefix tree, and every leaf keeps its dtype."""
    return zipmap(lambda x, c: cast(c * x, x), tree, factor)


def cast(value: Tensor, like: Tensor) -> Tensor:
    """`value` in the dtype of `like`."""
    return value if value.dtype == like.dtype else value.to(like.dtype)


def cast_like(tree: Tree, like: Tree) -> Tree:
    """Every leaf in the dtype of its counterpart."""
    return map(cast, tree, like)


def _sum(values: Iterator[Tensor]) -> Tensor:
    first = next(values, None)
    return torch.zeros(()) if first is None else functools.reduce(operator.add, values, first)


def total(tree: Tree) -> Tensor:
    """The sum of all elements: 0-d, on the device of the first leaf."""
    return _sum(x.sum() for x in leaves(tree))


def dot(a: Tree, b: Tree) -> Tensor:
    """The inner product over all elements: 0-d."""
    return _sum((x * y).sum() for x, y in zip(leaves(a), leaves(b), strict=True))


def count(tree: Tree) -> int:
    """How many elements there are."""
    return builtins.sum(x.numel() for x in leaves(tree))


def clamp(tree: Tree, low: Any = None, high: Any = None) -> Tree:
    """Every element moved into [low, high]; numbers or prefix trees, None for no bound."""
    if low is not None:
        tree = zipmap(lambda x, b: torch.maximum(x, _bound(b, x)), tree, low)
    return tree if high is None else zipmap(lambda x, b: torch.minimum(x, _bound(b, x)), tree, high)


def _bound(value: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def vector_norm(x: Tensor, ord: float = 2) -> Tensor:
    """The ord-norm of all elements of one tensor: 0-d, with a finite derivative at zero."""
    return safe_norm(x, ord)


def norm(tree: Tree, ord: float = 2) -> Tensor:
    """The ord-norm of all elements of all leaves: 0-d, with a finite derivative at zero."""
    parts = [safe_norm(x, ord) for x in leaves(tree) if x.numel()]
    if not parts:
        return torch.zeros(())
    if ord == 0:  # the number of elements that are not zero
        return _sum(iter(parts))
    return parts[0] if len(parts) == 1 else safe_norm(torch.stack(parts), ord)


def where(mask: Tensor | bool, a: Tree, b: Tree) -> Tree:
    """Leaves of `a` where the 0-d `mask` holds, else of `b`; with a Python bool one of the two trees."""
    if isinstance(mask, bool):
        return a if mask else b
    return map(lambda x, y: x if x is y else torch.where(mask, x, y), a, b)


def all_finite(tree: Tree) -> Tensor:
    """Whether every element is finite: 0-d bool."""
    checks = [torch.isfinite(x).all() for x in leaves(tree)]
    return functools.reduce(torch.logical_and, checks) if checks else torch.ones((), dtype=torch.bool)


def counter(tree: Tree) -> Tensor:
    """A 0-d int64 zero on the device of the first leaf."""
    first = next(iter(leaves(tree)), None)
    return torch.zeros((), dtype=torch.int64, device=None if first is None else first.device)


def reference(tree: Tree) -> Tensor:
    """A tensor that tells dtype and device of module-wide state: the first leaf, or an empty CPU tensor."""
    first = next(iter(leaves(tree)), None)
    return torch.zeros(()) if first is None else first


def scalar(tree: Tree, value: float) -> Tensor:
    """`value` as module-wide 0-d state, in the dtype and on the device of the first leaf."""
    like = reference(tree)
    return torch.full((), value, dtype=like.dtype, device=like.device)


def own(tree: Tree) -> Tree:
    """The same tree; while compiling, copies that share no storage with anything.

    A compiled loop cannot close over two tensors of which one is a view of the other (a transpose, a slice, a reshape
    and its source): pass those through here first.
    """
    return map(torch.clone, tree) if torch.compiler.is_compiling() else tree


def ravel(tree: Tree) -> tuple[Tensor, Callable[[Tensor], Tree]]:
    """All elements as one vector in the promoted dtype, and the way back (each leaf in its own dtype)."""
    parts, spec = flatten(tree)
    if not parts:
        return torch.zeros(0), lambda vector: tree
    vector = torch.cat([p.reshape(-1) for p in parts]) if len(parts) > 1 else own(parts[0].reshape(-1))
    sizes = [p.numel() for p in parts]

    def unravel(flat: Tensor) -> Tree:
        pieces = torch.split(flat, sizes)
        return own(unflatten(spec, [cast(x.reshape(p.shape), p) for x, p in zip(pieces, parts, strict=True)]))

    return vector, unravel


def select(tree: Tree, mask: Sequence[bool], spec: Spec) -> Tree:
    """`tree` with a hole at every leaf of `spec` whose mask is False; subtrees below a leaf go with it."""
    parts = spec.flatten_up_to(tree)
    return unflatten(spec, [part if keep else HOLE for part, keep in zip(parts, mask, strict=True)])


def merge(spec: Spec, masks: Sequence[Sequence[bool]], trees: Sequence[Tree]) -> Tree:
    """Put selections back together: each leaf from the one tree whose mask holds there, else a hole."""
    columns = [spec.flatten_up_to(tree) for tree in trees]
    out: list[Any] = [HOLE] * spec.num_leaves
    for mask, column in zip(masks, columns, strict=True):
        for i, keep in enumerate(mask):
            if keep:
                out[i] = column[i]
    return unflatten(spec, out)
