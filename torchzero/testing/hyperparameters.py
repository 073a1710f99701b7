"""Finding and replacing the numeric hyperparameters of a module and of everything below it."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.hyper import ANY, Range, is_number
from torchzero.core.module import Module
from torchzero.core.schedule import Schedule


class Site(NamedTuple):
    """One numeric hyperparameter."""

    path: tuple[str | int, ...]  # field names, and positions in tuples of children
    value: float
    limits: Range
    own: bool  # whether it is a plain hyperparameter of a module: not an operand, not inside a schedule

    @property
    def label(self) -> str:
        """The dotted path."""
        return ".".join(map(str, self.path))


def _number(value: Any) -> bool:
    return is_number(value) or (isinstance(value, Tensor) and value.ndim == 0)


def sites(node: Any, path: tuple[str | int, ...] = ()) -> list[Site]:
    """Every numeric hyperparameter in a module, its children and its schedules."""
    found = []
    for field in dataclasses.fields(node):
        value, meta, here = getattr(node, field.name), field.metadata, (*path, field.name)
        kind = meta.get("kind")
        if kind == "hyper":
            if _number(value):
                own = isinstance(node, Module)
                found.append(Site(here, float(value), meta["range"], own))
            elif isinstance(value, Schedule):
                found += sites(value, here)
        elif kind in ("child", "children"):
            for i, part in enumerate(value if kind == "children" else (value,)):
                at = (*here, i) if kind == "children" else here
                if isinstance(part, Module):
                    found += sites(part, at)
                elif _number(part):
                    found.append(Site(at, float(part), ANY, False))
    return found


def replace(node: Any, path: Sequence[str | int], value: Any) -> Any:
    """A copy of `node` with one hyperparameter replaced, nothing checked."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(node, tuple):
        i = int(head)
        return (*node[:i], replace(node[i], rest, value), *node[i + 1 :])
    name = str(head)
    changed = replace(getattr(node, name), rest, value)
    if isinstance(node, Module):
        return node.evolve(**{name: changed})
    new = object.__new__(type(node))
    new.__dict__.update(node.__dict__)
    new.__dict__[name] = changed
    return new


def replace_all(module: Module, found: Sequence[Site], values: Sequence[Any]) -> Module:
    """A copy of `module` with these hyperparameters replaced."""
    for site, value in zip(found, values, strict=True):
        module = replace(module, site.path, value)
    return module


def nearby(value: float, limits: Range) -> list[float]:
    """Different admissible values around `value`, itself first."""
    v = value
    if limits.integer:
        wanted: list[float] = [int(v), int(v) + 1, int(v) + 2, int(v) + 3]
    else:
        middle = [(v + end) / 2 for end in (limits.low, limits.high) if abs(end) < float("inf")]
        wanted = [v, v * 0.75, v * 1.25, *middle, v + 0.5, v + 0.25]
    out: list[float] = []
    for x in wanted:
        if limits.admits(x) and x not in out:
            out.append(x)
    return out


def comfortable(value: float, limits: Range) -> float:
    """An admissible value near `value` and away from zero and the ends, where differences can be taken."""
    v = 0.01 if 0 < value < 1e-3 and limits.admits(0.01) else value
    room = 2e-3
    for x in (v, v - 0.05, v + 0.05, v * 0.9, v * 1.1):
        if limits.admits(x - room) and limits.admits(x + room) and abs(x) < float("inf"):
            return x
    return v


def as_tensor(value: float, limits: Range) -> Tensor:
    """A 0-d tensor: float64, or int64 for a count."""
    return torch.tensor(int(value) if limits.integer else value, dtype=torch.int64 if limits.integer else torch.float64)
