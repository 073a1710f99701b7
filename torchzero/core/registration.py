"""Registering a node type once for optree and once for torch's own tree library."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import optree
import torch.utils._pytree as torch_pytree

GLOBAL = optree.registry.__GLOBAL_NAMESPACE  # pyright: ignore[reportAttributeAccessIssue]


def register_node(
    cls: type,
    flatten: Callable[[Any], tuple[tuple[Any, ...], Any]],
    unflatten: Callable[[Any, tuple[Any, ...]], Any],
    entries: Callable[[Any], tuple[str, ...]],
) -> None:
    """Make `cls` a pytree node for optree and for torch.func; `unflatten` takes (aux, children)."""

    def optree_flatten(node: Any) -> tuple[tuple[Any, ...], Any, tuple[str, ...]]:
        leaves, aux = flatten(node)
        return leaves, aux, entries(node)

    def torch_unflatten(leaves: Any, aux: Any) -> Any:
        return unflatten(aux, tuple(leaves))

    optree.register_pytree_node(cls, optree_flatten, unflatten, namespace=GLOBAL)  # pyright: ignore[reportArgumentType]
    torch_pytree.register_pytree_node(cls, flatten, torch_unflatten)  # pyright: ignore[reportArgumentType]


def _flatten(is_dynamic: Callable[[dataclasses.Field[Any], Any], bool], node: Any) -> tuple[tuple[Any, ...], Any]:
    names, leaves, statics = [], [], []
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if is_dynamic(field, value):
            names.append(field.name)
            leaves.append(value)
        else:
            statics.append((field.name, value))
    return tuple(leaves), (tuple(names), tuple(statics))


def _unflatten(cls: type, aux: Any, leaves: tuple[Any, ...]) -> Any:
    names, statics = aux
    node = object.__new__(cls)
    node.__dict__.update(zip(names, leaves, strict=True))
    node.__dict__.update(statics)
    return node


def register_dataclass_node(cls: type, is_dynamic: Callable[[dataclasses.Field[Any], Any], bool]) -> None:
    """Register a frozen dataclass: dynamic fields are children, the others part of the structure.

    A field that is None is structure as well, so that no leaf is ever None.
    """

    def dynamic(field: dataclasses.Field[Any], value: Any) -> bool:
        return value is not None and is_dynamic(field, value)

    flatten = functools.partial(_flatten, dynamic)
    register_node(cls, flatten, functools.partial(_unflatten, cls), lambda node: flatten(node)[1][0])
