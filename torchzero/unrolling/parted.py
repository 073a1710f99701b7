"""Parted: a tree as the tensors in it and all the rest."""

from typing import Any, NamedTuple

from torch import Tensor

from torchzero.core import tree
from torchzero.core.tree import Spec, Tree


class Parted(NamedTuple):
    """A tree without its tensors."""

    spec: Spec
    rest: tuple[Any, ...]  # the leaves in order, with None for a tensor

    def whole(self, tensors: tuple[Tensor, ...]) -> Tree:
        """The tree with these tensors."""
        given = iter(tensors)
        return tree.unflatten(self.spec, [next(given) if x is None else x for x in self.rest])


def part(node: Tree) -> tuple[tuple[Tensor, ...], Parted]:
    """The tensors of a tree, and how to put it together again."""
    leaves, spec = tree.flatten(node)
    tensors = tuple(x for x in leaves if isinstance(x, Tensor))
    return tensors, Parted(spec, tuple(None if isinstance(x, Tensor) else x for x in leaves))
