"""Reading the first argument of Modular: parameters, named parameters, group dicts, an nn.Module, or a mixture."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from torchzero.core.warn import warn


def base_of_view(p: Tensor) -> Tensor | None:
    """The complex leaf of which `p` is the real view; None if `p` is something else."""
    base = p._base
    if p.is_leaf or base is None or not base.is_leaf or not base.is_complex() or p.is_complex():
        return None
    return base if p.shape == (*base.shape, 2) and p.data_ptr() == base.data_ptr() else None


def gradient(p: Tensor) -> Tensor | None:
    """The gradient of a leaf, or of the real view of a complex leaf."""
    base = base_of_view(p) if not p.is_leaf else None
    if base is None:
        return p.grad
    return None if base.grad is None else torch.view_as_real(base.grad)


def set_gradient(p: Tensor, grad: Tensor) -> None:
    """Write the gradient of a leaf, or of the complex leaf behind its real view."""
    base = base_of_view(p) if not p.is_leaf else None
    if base is None:
        p.grad = grad
    else:
        base.grad = torch.view_as_complex(grad)


def clear_gradient(p: Tensor) -> None:
    """Set the gradient of a leaf, or of the complex leaf behind its real view, to None."""
    leaf = p if p.is_leaf else base_of_view(p)
    if leaf is not None:
        leaf.grad = None


def _check(p: Any, where: str) -> None:
    if not isinstance(p, Tensor):
        raise TypeError(f"Modular({where}): expected tensors or (name, tensor) pairs, got {type(p).__name__}")
    if not p.is_leaf and not p.retains_grad and base_of_view(p) is None:
        raise ValueError(
            f"Modular({where}): can't optimize a non-leaf Tensor of shape {tuple(p.shape)}; pass the leaf that it was "
            "computed from (the real view of a complex leaf is the one exception)"
        )


def _is_pair(x: Any) -> bool:
    return isinstance(x, tuple | list)


def split_names(params: Any, where: str) -> tuple[list[Tensor], list[str] | None]:
    """One group's parameters, and their names if they are (name, tensor) pairs."""
    if isinstance(params, torch.nn.Module):
        params = params.named_parameters()
    elif isinstance(params, Tensor):
        params = [params]
    elif isinstance(params, set):
        raise TypeError(f"Modular({where}): parameters must be ordered, and a set is not; pass a list")
    items = list(params)
    pairs = [_is_pair(x) for x in items]
    if any(pairs) and not all(pairs):
        raise ValueError(
            f"Modular({where}): named and bare parameters are mixed in one group; name all of them or none"
        )
    names: list[str] | None = None
    if any(pairs):
        for x in items:
            if len(x) != 2 or not isinstance(x[0], str):
                raise ValueError(f"Modular({where}): a named parameter is a pair (name, tensor), got {x!r}")
        names, items = [x[0] for x in items], [x[1] for x in items]
    for p in items:
        _check(p, where)
    seen: dict[int, int] = {}
    for i, p in enumerate(items):
        seen.setdefault(id(p), i)
    if len(seen) != len(items):
        warn(
            f"Modular({where}): a parameter is listed more than once in one group; it is optimized once",
        )
        keep = sorted(seen.values())
        items, names = [items[i] for i in keep], None if names is None else [names[i] for i in keep]
    return items, names


def as_groups(params: Any) -> tuple[list[dict[str, Any]], torch.nn.Module | None]:
    """The group dicts that `params` stands for (dict groups, then bare tensors, then named ones), and the model."""
    if isinstance(params, torch.nn.Module):
        named = list(params.named_parameters())
        if not named:
            raise ValueError(f"Modular(params): the {type(params).__name__} has no parameters")
        return [{"params": named}], params
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise TypeError(
            f"Modular(params): must be an iterable of tensors, named tensors or group dicts, or an nn.Module; "
            f"got {type(params).__name__}; write [tensor] for a single one"
        )
    items = list(params)
    groups = [dict(x) for x in items if isinstance(x, Mapping)]
    for g in groups:
        if "params" not in g:
            raise KeyError(f"Modular(params): a group dict needs the key 'params', got {', '.join(map(repr, g))}")
        if isinstance(g["params"], torch.nn.Module):
            g["params"] = g["params"].named_parameters()
        if not isinstance(g["params"], Tensor | set):
            g["params"] = list(g["params"])
    rest = [x for x in items if not isinstance(x, Mapping)]
    bare = [x for x in rest if not _is_pair(x)]
    named = [x for x in rest if _is_pair(x)]
    groups += [{"params": part} for part in (bare, named) if part]
    if not groups or not any(isinstance(g["params"], Tensor) or len(g["params"]) for g in groups):
        raise ValueError("Modular(params): got an empty parameter list; was the iterator used up before?")
    return groups, None
