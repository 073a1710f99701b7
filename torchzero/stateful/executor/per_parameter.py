"""Settings that have a value for each parameter."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import Leaves
from torchzero.stateful.settings import rebuild


def settings_that_differ(modules: Iterable[Module]) -> list[Leaves]:
    """The settings that have a value for each parameter."""
    return [v for link in modules for m in link.walk() for v in m.hypers().values() if isinstance(v, Leaves)]


def settings_of(modules: Sequence[Module], n: int) -> list[tuple[Any, ...]]:
    """For each parameter a key of the settings that differ between parameters."""
    varying = settings_that_differ(modules)
    if not varying:
        return [()] * n
    return [tuple(id(x) if isinstance(x, Tensor) else x for x in row) for row in zip(*varying, strict=True)]


def links_for(modules: Sequence[Module], i: int) -> list[Module]:
    """The modules with the settings of parameter i."""
    out = []
    for link in modules:
        own = {id(m): {k: v[i] for k, v in m.hypers().items() if isinstance(v, Leaves)} for m in link.walk()}
        out.append(rebuild(link, own))
    return out
