"""Store: the state of a chain, kept per parameter, with selections, newcomers and a plain form for saving.

A chain's state over the tree `Leaves` has a `Leaves` node wherever a module keeps something for each parameter, and
plain tensors where it keeps something for all of them. Everything here follows from that.
"""

from collections.abc import Callable, Sequence
from typing import Any

import optree
import torch
from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import HOLE, Leaves, with_paths


def _is_leaves(x: Any) -> bool:
    return isinstance(x, Leaves)


def _on_leaves(fn: Callable[..., Any], state: Any, *rest: Any) -> Any:
    """`fn` on every Leaves node; what belongs to the whole module comes from the last tree.

    A slot that no parameter of a selection has is () there, which stands for a hole for every parameter.
    """

    def pick(*xs: Any) -> Any:
        node = next((x for x in xs if _is_leaves(x)), None)
        if node is None:
            return xs[-1]
        return fn(*(x if _is_leaves(x) else Leaves([HOLE] * len(node), node.names) for x in xs))

    return optree.tree_map(pick, state, *rest, is_leaf=lambda x: _is_leaves(x) or (isinstance(x, tuple) and not x))


def grow(state: Any, names: tuple[str, ...]) -> Any:
    """The state with holes for parameters that were added."""
    return _on_leaves(lambda node: Leaves((*node, *[HOLE] * (len(names) - len(node))), names), state)


def narrow(state: Any, mask: Sequence[bool]) -> Any:
    """The state with holes where the mask is False."""

    def pick(node: Leaves) -> Leaves:
        return Leaves([x if keep else HOLE for x, keep in zip(node, mask, strict=True)], node.names)

    return _on_leaves(pick, state)


def merge(old: Any, new: Any, mask: Sequence[bool], whole: Any) -> Any:
    """Entries of `new` where the mask is True, of `old` elsewhere; the module-wide part is that of `whole`."""

    def pick(a: Leaves, b: Leaves, _: Leaves) -> Leaves:
        return Leaves([y if keep else x for x, y, keep in zip(a, b, mask, strict=True)], a.names)

    return _on_leaves(pick, old, new, whole)


def share_counters(state: Any) -> Any:
    """Let equal 0-d counters of a node be one tensor again, as they are before a state is saved."""

    def share(node: Leaves) -> Leaves:
        if not node or not all(isinstance(x, Tensor) and x.ndim == 0 and x.dtype == torch.int64 for x in node):
            return node
        seen: dict[Any, Tensor] = {}
        return Leaves([seen.setdefault((int(x), x.device), x) for x in node], node.names)

    return _on_leaves(share, state)


def entries(state: Any, n: int) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """For each parameter its tensors by "module path/slot", and the same for what belongs to whole modules."""
    mine: list[dict[str, Tensor]] = [{} for _ in range(n)]
    shared: dict[str, Tensor] = {}
    paths, nodes, _ = with_paths(state, _is_leaves)
    for path, node in zip(paths, nodes, strict=True):
        key = "/".join(path)
        if not _is_leaves(node):
            shared[key] = node
            continue
        for i, part in enumerate(node):
            below, leaves, _ = with_paths(part)
            for sub, leaf in zip(below, leaves, strict=True):
                mine[i]["/".join((key, *sub))] = leaf
    return mine, shared


def fill(template: Any, saved: Sequence[dict[str, Any]], who: Sequence[str]) -> Any:
    """`template` with every tensor replaced by the saved one; nothing is changed when anything does not fit.

    Raises:
        ValueError: naming the module path and the parameter that do not match.
    """
    mine, shared = entries(template, len(saved))
    for name, want, have in zip(who, mine, saved, strict=True):
        for key in {*want, *(shared if want or shared else ())}:
            _check(key, {**want, **shared}[key], have.get(key), name)
        extra = [k for k in have if k not in want and k not in shared and k != "step"]
        if extra:
            raise ValueError(
                f"Modular.load_state_dict: the saved state of {name} has {extra[0]!r}, which this chain does not "
                f"have; it has {', '.join([*want, *shared]) or 'no state'}; build the chain that was saved"
            )

    def place(saved_value: Tensor, like: Tensor) -> Tensor:
        return saved_value.detach().to(like.device, copy=True)

    memo: dict[int, Tensor] = {}

    def once(saved_value: Tensor, like: Tensor) -> Tensor:
        return memo.setdefault(id(saved_value), place(saved_value, like))

    paths, nodes, spec = with_paths(template, _is_leaves)
    filled = []
    for path, node in zip(paths, nodes, strict=True):
        key = "/".join(path)
        if not _is_leaves(node):
            filled.append(once(saved[0][key], node) if saved else node)
            continue
        parts = []
        for i, part in enumerate(node):
            below, leaves, partspec = with_paths(part)
            new = [once(saved[i]["/".join((key, *sub))], x) for sub, x in zip(below, leaves, strict=True)]
            parts.append(optree.tree_unflatten(partspec, new))
        filled.append(Leaves(parts, node.names))
    return share_counters(optree.tree_unflatten(spec, filled))


def _check(key: str, want: Tensor, have: Any, name: str) -> None:
    where = f"Modular.load_state_dict: {key!r} of {name}"
    if have is None:
        raise ValueError(f"{where} is missing from the saved state; build the chain and parameters that were saved")
    if not isinstance(have, Tensor):
        raise TypeError(f"{where} must be a tensor, got {type(have).__name__}")
    if have.shape != want.shape or have.dtype != want.dtype:
        raise ValueError(
            f"{where} was saved with shape {tuple(have.shape)} and {have.dtype}, but here it has shape "
            f"{tuple(want.shape)} and {want.dtype}; load it into parameters of the same shape and dtype"
        )


def unalias(state: Any, storages: set[int]) -> Any:
    """The state with a copy of every tensor that lives in one of these storages, which are about to change."""

    def own(x: Any) -> Any:
        return x.clone() if isinstance(x, Tensor) and storage(x) in storages else x

    leaves, spec = optree.tree_flatten(state)
    different = {id(x): x for x in leaves}.values()  # a counter may stand with every parameter
    if not any(isinstance(x, Tensor) and storage(x) in storages for x in different):
        return state
    return optree.tree_unflatten(spec, [own(x) for x in leaves])


def storage(x: Tensor) -> int:
    """A number for the memory that a tensor lives in."""
    if type(x) is not Tensor:
        x = getattr(x, "_local_tensor", x)
    return x.untyped_storage()._cdata


def fresh(module: Module, params: Leaves, mask: Sequence[bool]) -> Any:
    """The module's initial state for the parameters in the mask, holes for the others."""
    return module.init(Leaves([p if keep else HOLE for p, keep in zip(params, mask, strict=True)], params.names))
