"""Plan: which parameters are evaluated together, and where their state lives."""

from typing import Any, NamedTuple

import optree
import torch
from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import Leaves
from torchzero.stateful.executor.elements import is_direct
from torchzero.stateful.executor.eligible import is_dense
from torchzero.stateful.executor.slab import Gathered, InPlace, Slab, copy_each, pieces
from torchzero.stateful.settings import rebuild

LARGE = 2**16  # from this many elements on a parameter is evaluated where it lies


class Plan:
    """The slabs of a chain, and its state with the tensors that the slabs write.

    Args:
        links: the modules.
        states: the state of each link.
        params: all parameters of the optimizer.
        active: which of them take part.
    """

    def __init__(self, links: list[Module], states: list[Any], params: list[Tensor], active: list[bool]) -> None:
        nodes, spec = optree.tree_flatten(tuple(states), is_leaf=_is_leaves)  # pyright: ignore[reportArgumentType]
        self._lead = [slot.lead for slot in _slots(links_for(links, 0), torch.float32)]
        self._wide = {k: node.clone() for k, node in enumerate(nodes) if not _is_leaves(node)}
        self._new = {k: list(node) for k, node in enumerate(nodes) if _is_leaves(node)}
        self._counters: dict[tuple[int, int], Tensor] = {}
        keys = [
            (p.dtype, p.device, key, *(id(x) for x in self._scalars(nodes, i)))
            for i, (p, key) in enumerate(zip(params, settings_of(links, len(params)), strict=True))
        ]
        self.slabs: list[Slab] = []
        groups: dict[Any, list[int]] = {}
        for i, (p, key, on) in enumerate(zip(params, keys, active, strict=True)):
            if on:
                alone = p.numel() >= LARGE and is_dense(p)
                groups.setdefault((key, i if alone else -1), []).append(i)
        for (_, alone), who in groups.items():
            self.slabs.append(
                self._slab(nodes, spec, who, [params[i] for i in who], InPlace if alone >= 0 else Gathered)
            )
        names = next((node.names for node in nodes if _is_leaves(node)), ())
        new = {**self._wide, **{k: Leaves(x, names) for k, x in self._new.items()}}
        self.states = list(spec.unflatten(new[k] for k in range(len(nodes))))
        self.configure(links)

    def configure(self, links: list[Module]) -> None:
        """Take over the current settings."""
        for slab in self.slabs:
            slab.links = [(link, is_direct(link)) for link in links_for(links, slab.who[0])]

    def _scalars(self, nodes: list[Any], i: int) -> list[Tensor]:
        """The 0-d tensors among parameter i's state."""
        mine = [x for node in nodes if _is_leaves(node) for x in optree.tree_leaves(node[i])]
        return [x for x, lead in zip(mine, self._lead, strict=False) if lead is None]

    def _slab(self, nodes: list[Any], spec: Any, who: list[int], params: list[Tensor], kind: type[Slab]) -> Slab:
        lead = iter(self._lead)
        tensors: list[Tensor] = []
        shared: list[bool] = []
        bare: list[Any] = []
        for k, node in enumerate(nodes):
            if not _is_leaves(node):
                tensors.append(self._wide[k])
                shared.append(True)
                bare.append(self._wide[k])
                continue
            columns = zip(*(optree.tree_leaves(node[i]) for i in who), strict=True)
            part = optree.tree_structure(node[who[0]])
            flats, places = [], []
            for column in columns:
                before = next(lead)
                if before is None:
                    flat = self._counters.setdefault((k, id(column[0])), column[0].clone())
                    place = [flat] * len(who)
                else:
                    flat, place = _place(list(column), params, before, kind)
                shared.append(before is None)
                flats.append(flat)
                places.append(place)
            for j, i in enumerate(who):
                self._new[k][i] = part.unflatten(place[j] for place in places)
            tensors += flats
            bare.append(part.unflatten(flats))
        return kind(who, params, tensors, shared, optree.tree_structure(spec.unflatten(bare)))


def _place(
    column: list[Tensor], params: list[Tensor], lead: tuple[int, ...], kind: type[Slab]
) -> tuple[Tensor, list[Tensor]]:
    """One slot of the parameters as a flat tensor (*lead, N), and its views in the parameters' shapes."""
    like = column[0]
    flat = torch.empty(*lead, sum(p.numel() for p in params), dtype=like.dtype, device=like.device)
    if kind is InPlace:  # in the order of the parameter's memory
        p = params[0]
        views = [flat.as_strided((*lead, *p.shape), (*flat.stride()[:-1], *p.stride()))]
    else:
        views = pieces(flat, params)
    copy_each(views, column)
    return flat, views


def _is_leaves(x: Any) -> bool:
    return isinstance(x, Leaves)


class Slot(NamedTuple):
    """What a tensor of one parameter's state looks like in the beginning."""

    lead: tuple[int, ...] | None  # the dimensions before the parameter's own; None for a 0-d tensor
    dtype: torch.dtype


def _slots(links: list[Module], dtype: torch.dtype) -> list[Slot]:
    """Each tensor of the state of a parameter of this dtype."""
    out = []
    probe = Leaves([torch.zeros(2, dtype=dtype)], ("probe",))
    states = tuple(link.init(probe) for link in links)
    for node in optree.tree_leaves(states, is_leaf=_is_leaves):  # pyright: ignore[reportArgumentType]
        if _is_leaves(node):
            parts = optree.tree_leaves(node[0])
            out += [Slot(None if x.ndim == 0 else tuple(x.shape[:-1]), x.dtype) for x in parts]
    return out


def has_initial_form(links: list[Module], states: list[Any], params: list[Tensor], active: list[bool]) -> bool:
    """Whether every tensor of the active parameters' states looks as in the beginning.

    It does not after a parameter has been given another shape, dtype or device.
    """
    nodes = [x for x in optree.tree_leaves(tuple(states), is_leaf=_is_leaves) if _is_leaves(x)]  # pyright: ignore[reportArgumentType]
    like = links_for(links, 0)
    slots = {dtype: _slots(like, dtype) for dtype in {p.dtype for p, on in zip(params, active, strict=True) if on}}
    for i, (p, on) in enumerate(zip(params, active, strict=True)):
        if on:
            mine = [x for node in nodes for x in optree.tree_leaves(node[i])]
            forms = [(() if lead is None else (*lead, *p.shape), dtype, p.device) for lead, dtype in slots[p.dtype]]
            if forms != [(x.shape, x.dtype, x.device) for x in mine]:
                return False
    return True


def settings_of(links: list[Module], n: int) -> list[tuple[Any, ...]]:
    """For each parameter a key of the settings that differ between parameters."""
    varying = [v for link in links for m in link.walk() for v in m.hypers().values() if isinstance(v, Leaves)]
    if not varying:
        return [()] * n
    return [tuple(id(x) if isinstance(x, Tensor) else x for x in row) for row in zip(*varying, strict=True)]


def links_for(links: list[Module], i: int) -> list[Module]:
    """The modules with the settings of parameter i."""
    out = []
    for link in links:
        own = {id(m): {k: v[i] for k, v in m.hypers().items() if isinstance(v, Leaves)} for m in link.walk()}
        out.append(rebuild(link, own))
    return out
