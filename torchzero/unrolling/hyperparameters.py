"""as_tensors: a module whose numbers are tensors, so that it can be differentiated with respect to them."""

import dataclasses
from typing import Any

import optree
import torch
from torch import Tensor

from torchzero.core.hyper import is_number
from torchzero.core.module import Module
from torchzero.core.schedule import Schedule


def as_tensors(module: Module, device: torch.device) -> Module:
    """A copy of `module` in which every number that has a derivative is a 0-d tensor, also in schedules and children.

    In float64, as Python's numbers are, which leaves dtype and value of what they are combined with alone. Whole
    numbers by nature (seeds, counts) stay as they are.
    """
    return _lifted(module, device)


def _lifted(node: Any, device: torch.device) -> Any:
    changes = {}
    for field in dataclasses.fields(node):
        kind, value = field.metadata.get("kind"), getattr(node, field.name)
        if kind in ("hyper", "child", "children") and value is not None:
            limits = field.metadata.get("range")
            whole = limits is not None and limits.integer
            changes[field.name] = optree.tree_map(lambda x, w=whole: _leaf(x, w, device), value, is_leaf=_is_node)
    new = object.__new__(type(node))
    new.__dict__.update(node.__dict__)
    new.__dict__.update(changes)
    return new


def _is_node(x: Any) -> bool:
    return isinstance(x, Module | Schedule)


def _leaf(x: Any, whole: bool, device: torch.device) -> Any:
    if _is_node(x):
        return _lifted(x, device)
    if whole or not is_number(x):
        return x
    dtype = torch.float32 if device.type == "mps" else torch.float64  # it has no float64
    return torch.tensor(float(x), dtype=dtype, device=device)


def is_hyperparameter(x: Any) -> bool:
    """Whether a leaf of a lifted module has a derivative."""
    return isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex())
