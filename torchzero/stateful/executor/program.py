"""Program: a chain as runs of links, each on the parameters that it sees."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import optree
import torch
from torch import Tensor

from torchzero.core.chain import Chain
from torchzero.core.module import Module
from torchzero.core.tree import HOLE, Leaves
from torchzero.misc.base import Routed
from torchzero.stateful.executor.eligible import has_plain_settings, is_elementwise, is_function, is_local

Path: TypeAlias = tuple[str, ...]  # keys in the state of the chain, down to a link
Kind: TypeAlias = Literal["elements", "tensors", "leaves", "multiplier"]


class Place(NamedTuple):
    """A link of the chain, as part of a run."""

    path: Path
    times: bool = False  # not the link itself: the multiplication by what it has measured


class Run(NamedTuple):
    """Links one after the other on some of the parameters.

    "elements" may be cut and merged in any way, "tensors" may be stacked, "leaves" are a tree, and of a "multiplier"
    nothing is done but to measure the number.
    """

    kind: Kind
    places: tuple[Place, ...]
    who: tuple[int, ...]  # places among the optimizer's parameters
    raw: bool  # whether the direction is the gradient still
    last: bool = False  # whether the result is the update


def links(module: Module, path: Path = ()) -> Iterator[tuple[Path, Module]]:
    """Every link, those of chains and routes below as well."""
    if isinstance(module, Chain):
        below: Iterable[tuple[str, Module]] = zip(module.keys(), module.links, strict=True)
    elif isinstance(module, Routed):
        below = module.runners().items()
    else:
        yield path, module
        return
    for key, link in below:
        yield from links(link, (*path, key))


def program(chain: Module, state: Any, params: Leaves) -> list[Run] | None:
    """The runs of a step, in order; None if the chain has links that are no functions of the direction.

    Args:
        chain: the modules.
        state: their state.
        params: the parameters, holes for those that take no part.
    """
    builder = _Builder(params)
    if not builder.visit(chain, state, (), builder.everyone):
        return None
    return builder.finished()


class _Builder:
    def __init__(self, params: Leaves) -> None:
        self.params = params
        self.everyone = [i for i, p in enumerate(params) if isinstance(p, Tensor)]
        self.runs: list[Run] = []
        self.open: dict[int, tuple[Kind, tuple[Place, ...]]] = dict.fromkeys(self.everyone, ("elements", ()))
        self.touched: set[int] = set()  # whose direction is not the gradient any more

    def visit(self, module: Module, state: Any, path: Path, who: Sequence[int]) -> bool:
        """Append what `module` does; whether it can be done."""
        if isinstance(module, Chain):
            pairs = zip(module.keys(), module.links, strict=True)
            return all(self.visit(link, state[key], (*path, key), who) for key, link in pairs)
        if isinstance(module, Routed):
            shown = [p if i in set(who) else HOLE for i, p in enumerate(self.params)]
            parts = module.parts(Leaves(shown, self.params.names))
            theirs = {name: [i for i, mine in zip(who, part.mine, strict=True) if mine] for name, part in parts.items()}
            return all(
                self.visit(child, state[name], (*path, name), theirs[name])
                for name, child in module.runners().items()
                if theirs[name]
            )
        if not is_function(module):
            return False
        self.append(kind_of(module, state), Place(path), who)
        return True

    def append(self, kind: Kind, place: Place, who: Sequence[int]) -> None:
        """Let a link follow."""
        if kind in ("elements", "tensors"):
            self.close([i for i in who if self.open[i][0] != kind])
            for i in who:
                self.open[i] = (kind, (*self.open[i][1], place))
            return
        self.close(who)
        self.runs.append(Run(kind, (place,), tuple(who), self.touched.isdisjoint(who)))
        if kind == "multiplier":
            for i in who:
                self.open[i] = ("elements", (place._replace(times=True),))
        else:
            self.touched.update(who)

    def close(self, who: Sequence[int], last: bool = False) -> None:
        """End the open runs of these parameters."""
        groups: dict[Any, list[int]] = {}
        for i in who:
            kind, places = self.open[i]
            if places or last:
                groups.setdefault((kind, places, i not in self.touched), []).append(i)
            self.open[i] = ("elements", ())
        self.runs += [Run(kind, places, tuple(i), raw, last) for (kind, places, raw), i in groups.items()]
        if not last:
            self.touched.update(i for group in groups.values() for i in group)

    def finished(self) -> list[Run]:
        """All runs, ended."""
        self.close([i for i, (kind, _) in self.open.items() if kind == "tensors"])
        self.close(self.everyone, last=True)
        return self.runs


def kind_of(link: Module, state: Any) -> Kind:
    """How a function of the direction may be evaluated."""
    if is_elementwise(link) and has_plain_settings(link):
        return "elements"
    if link.scales and not link.children():  # pyright: ignore[reportAttributeAccessIssue]
        return "multiplier"
    if is_local(link) and has_plain_settings(link) and all(map(_is_count, wide(state))):
        return "tensors"
    return "leaves"


def state_at(state: Any, path: Path) -> Any:
    """The state of a link."""
    for key in path:
        state = state[key]
    return state


def wide(state: Any) -> list[Tensor]:
    """What a state has once, for all parameters."""
    nodes = optree.tree_leaves(state, is_leaf=is_leaves)
    return [x for x in nodes if not is_leaves(x)]


def is_leaves(x: Any) -> bool:
    """Whether this is something for each parameter."""
    return isinstance(x, Leaves)


def _is_count(x: Tensor) -> bool:
    return x.ndim == 0 and x.dtype == torch.int64
