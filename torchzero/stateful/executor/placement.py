"""Placement: which parameters are evaluated together, and where their state lives."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optree
import torch
from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import Leaves
from torchzero.stateful.executor.eligible import is_dense
from torchzero.stateful.executor.forms import slots_of
from torchzero.stateful.executor.group import Group
from torchzero.stateful.executor.kernel import Kernel
from torchzero.stateful.executor.leafwise import Leafwise
from torchzero.stateful.executor.per_parameter import links_for, settings_of
from torchzero.stateful.executor.program import Path, Run, is_leaves
from torchzero.stateful.executor.slab import Gathered, InPlace, Slab, copy_each, in_order, pieces
from torchzero.stateful.executor.stack import Stack, many
from torchzero.stateful.store import storage

LARGE = 2**16  # from this many elements on a parameter is evaluated where it lies


class Placement:
    """The parts of a state, and the groups that write them.

    Args:
        nodes: what modules keep: something for each parameter, or a tensor; replaced where a group needs it elsewhere.
        where: for each link its state with numbers of nodes.
        modules: the links.
        params: all parameters of the optimizer.
        names: their names.
        kernels: compiled graphs by what they compute; None for eager steps.
    """

    def __init__(
        self,
        nodes: list[Any],
        where: Mapping[Path, Any],
        modules: Mapping[Path, Module],
        params: list[Tensor],
        names: tuple[str, ...],
        kernels: dict[Any, Kernel] | None,
    ) -> None:
        self._nodes = nodes
        self._names = names
        self._where = where
        self._modules = modules
        self._params = params
        self._kernels = kernels
        self._counters: dict[Any, Tensor] = {}
        self._taken: set[int] = set()  # memory in which a slab keeps state where it was

    def slabs(self, run: Run) -> list[Group]:
        """The groups of a run of elementwise modules."""
        modules, settings, where = self._of(run)
        own = [link for place, link in zip(run.places, modules, strict=True) if not place.times]
        counts = [slot.lead is None for slot in slots_of(links_for(own, run.who[0]), torch.float32)]
        groups: dict[Any, list[int]] = {}
        for i in run.who:
            p = self._params[i]
            alone = i if p.numel() >= LARGE and is_dense(p) else -1
            key = p.dtype, p.device, settings[i], self._identities(where, i, counts), alone
            groups.setdefault(key, []).append(i)
        return [
            self._slab(run, where, who, counts, InPlace if alone >= 0 else Gathered)
            for (*_, alone), who in groups.items()
        ]

    def stacks(self, run: Run) -> list[Group | Leafwise]:
        """The groups of a run of modules that see a tensor at a time, and the tensors that are better left alone."""
        _, settings, where = self._of(run)
        groups: dict[Any, list[int]] = {}
        for i in run.who:
            p, mine = self._params[i], self._mine(where, i)
            counts = tuple(x.ndim == 0 and x.dtype == torch.int64 for x in mine)
            forms = tuple((x.shape, x.dtype, x.device) for x in mine)
            nodes = [self._nodes[k] for k in optree.tree_leaves(where)]
            structure = tuple(optree.tree_structure(node[i]) for node in nodes if is_leaves(node))
            key = p.dtype, p.device, p.shape, settings[i], structure, forms, self._identities(where, i, counts), counts
            groups.setdefault(key, []).append(i)
        made: list[Group | Leafwise] = []
        alone: list[int] = []
        for (*_, counts), who in groups.items():
            n = many(self._params[who[0]])
            for part in (who[k : k + n] for k in range(0, len(who), n)):
                if len(part) == 1:
                    alone += part
                else:
                    made.append(self._stack(run, where, part, counts))
        return [*made, Leafwise(run._replace(who=tuple(sorted(alone))), self._names)] if alone else made

    def _of(self, run: Run) -> tuple[list[Module], list[Any], Any]:
        """The modules of a run, for each parameter a key of its settings, and the numbers of the states' nodes."""
        modules = [self._modules[place.path] for place in run.places]
        where = tuple(() if place.times else self._where[place.path] for place in run.places)
        return modules, settings_of(modules, len(self._params)), where

    def _mine(self, where: Any, i: int) -> list[Tensor]:
        """Every tensor of the state of parameter i, but for what all parameters share."""
        nodes = [self._nodes[k] for k in optree.tree_leaves(where)]
        return [x for node in nodes if is_leaves(node) for x in optree.tree_leaves(node[i])]

    def _identities(self, where: Any, i: int, counts: Sequence[bool]) -> tuple[int, ...]:
        """Which counters parameter i has; parameters that share them march together."""
        return tuple(id(x) for x, count in zip(self._mine(where, i), counts, strict=True) if count)

    def _slab(self, run: Run, where: Any, who: list[int], counts: Sequence[bool], kind: type[Slab]) -> Slab:
        mine = [self._params[i] for i in who]
        slab = kind(run, who, mine, *self._placed(where, who, counts, lambda column: self._place(column, mine, kind)))
        slab.kernels = self._kernels
        return slab

    def _stack(self, run: Run, where: Any, who: list[int], counts: Sequence[bool]) -> Stack:
        def place(column: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            stacked = torch.stack(column)
            return stacked, list(stacked.unbind())

        return Stack(run, who, *self._placed(where, who, counts, place))

    def _placed(
        self,
        where: Any,
        who: list[int],
        counts: Sequence[bool],
        place: Callable[[list[Tensor]], tuple[Tensor, list[Tensor]]],
    ) -> tuple[list[Tensor], list[bool], Any]:
        """The state of a group: its tensors, which of them others share, and what makes the modules' states of them.

        From now on the state of the chain shows these tensors.
        """
        index, spec = optree.tree_flatten(where)
        is_count = iter(counts)
        tensors: list[Tensor] = []
        shared: list[bool] = []
        bare: list[Any] = []
        for k in index:
            node = self._nodes[k]
            if not is_leaves(node):
                if k not in self._counters:
                    self._counters[k] = self._nodes[k] = node.clone()
                tensors.append(self._counters[k])
                shared.append(True)
                bare.append(self._counters[k])
                continue
            new, part = list(node), optree.tree_structure(node[who[0]])
            flats, places = [], []
            for j, column in enumerate(zip(*(optree.tree_leaves(node[i]) for i in who), strict=True)):
                alike = next(is_count)
                if alike:
                    flat = self._counters.setdefault((k, j, id(column[0])), column[0].clone())
                    views = [flat] * len(who)
                else:
                    flat, views = place(list(column))
                shared.append(alike)
                flats.append(flat)
                places.append(views)
            for n, i in enumerate(who):
                new[i] = part.unflatten(views[n] for views in places)
            self._nodes[k] = Leaves(new, node.names)
            tensors += flats
            bare.append(part.unflatten(flats))
        return tensors, shared, optree.tree_structure(spec.unflatten(bare))

    def _place(self, column: list[Tensor], params: list[Tensor], kind: type[Slab]) -> tuple[Tensor, list[Tensor]]:
        """One slot of the parameters as a flat tensor (*lead, N), and its views in the parameters' shapes."""
        like, p = column[0], params[0]
        lead = like.shape[: like.ndim - p.ndim]
        n = sum(x.numel() for x in params)
        if kind is InPlace and like.stride() == p.stride() and storage(like) not in self._taken:
            self._taken.add(storage(like))
            return in_order(like), [like]  # which saves the memory of a copy
        flat = torch.empty(*lead, n, dtype=like.dtype, device=like.device)
        if kind is InPlace:  # in the order of the parameter's memory
            views = [flat.as_strided((*lead, *p.shape), (*flat.stride()[:-1], *p.stride()))]
        else:
            views = pieces(flat, params)
        copy_each(views, column)
        return flat, views
