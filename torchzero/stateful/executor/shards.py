"""Shards: distributed tensors as what lies on this process, where that is all that a step needs to see."""

from collections.abc import Sequence
from typing import Any

import optree
from torch import Tensor

from torchzero.core.tree import HOLE, Leaves
from torchzero.stateful.executor.eligible import is_plain
from torchzero.stateful.executor.program import is_leaves


def is_sharded(p: Any) -> bool:
    """Whether this is a distributed tensor of which every process has whole elements."""
    own = getattr(p, "_local_tensor", None)
    return own is not None and is_plain(own) and not any(x.is_partial() for x in p.placements)


def local(values: Sequence[Any], params: Sequence[Tensor], active: Sequence[bool]) -> list[Any] | None:
    """Tensors as what lies here; None if one is not placed as its parameter is."""
    out = []
    for x, p, on in zip(values, params, active, strict=True):
        if on and not is_plain(p):
            if not (is_sharded(p) and _alike(x, p)):
                return None
            x = x._local_tensor
        out.append(x)
    return out


def local_state(state: Any, params: Sequence[Tensor], active: Sequence[bool]) -> Any:
    """A state as what lies here; None if a tensor is not placed as its parameter is."""
    odd = []

    def take(p: Tensor, on: bool, part: Any) -> Any:
        if not on or not is_sharded(p):
            return part
        odd.extend(x for x in optree.tree_leaves(part) if not (_alike(x, p) or is_plain(x)))
        return optree.tree_map(lambda x: getattr(x, "_local_tensor", x), part)

    out = _on_parts(take, state, params, active)
    return None if odd else out


def whole_state(state: Any, like: Any) -> Any:
    """A state of shards as distributed tensors in the same memory, where those of `like` are."""

    def wrap(x: Any, old: Any) -> Any:
        if x is old or not hasattr(old, "_local_tensor"):
            return x
        form = {"run_check": False, "shape": old.shape, "stride": old.stride()}
        return type(old).from_local(x, old.device_mesh, old.placements, **form)

    return optree.tree_map(wrap, state, like)


def _on_parts(fn: Any, state: Any, params: Sequence[Tensor], active: Sequence[bool]) -> Any:
    def each(node: Any) -> Any:
        if not is_leaves(node):
            return node
        parts = [part if part == HOLE else fn(p, on, part) for p, on, part in zip(params, active, node, strict=True)]
        return Leaves(parts, node.names)

    return optree.tree_map(each, state, is_leaf=is_leaves)


def _alike(x: Any, p: Any) -> bool:
    own = getattr(x, "_local_tensor", None)
    return (
        own is not None
        and is_plain(own)
        and x.shape == p.shape
        and x.device_mesh == p.device_mesh
        and x.placements == p.placements
    )
