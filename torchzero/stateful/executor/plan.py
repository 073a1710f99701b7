"""Plan: which parameters are evaluated together, and where their state lives."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import optree
import torch
from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import Leaves
from torchzero.stateful.executor.elements import Times
from torchzero.stateful.executor.eligible import is_dense
from torchzero.stateful.executor.group import Group, Now, Writes
from torchzero.stateful.executor.kernel import Kernel
from torchzero.stateful.executor.leafwise import Leafwise
from torchzero.stateful.executor.program import Path, Place, Run, is_leaves, links
from torchzero.stateful.executor.slab import Gathered, InPlace, Slab, copy_each, in_order, pieces
from torchzero.stateful.executor.stack import Stack, many
from torchzero.stateful.executor.subtraction import Subtraction
from torchzero.stateful.settings import rebuild
from torchzero.stateful.store import storage

LARGE = 2**16  # from this many elements on a parameter is evaluated where it lies


class Plan:
    """The groups of a program, and the state of the chain with the tensors that the groups write.

    Args:
        chain: the modules.
        program: its runs.
        state: the state of the chain; its tensors are copied where they get another place.
        params: all parameters of the optimizer.
        names: their names.
        kernels: compiled graphs by what they compute; None for eager steps.
    """

    def __init__(
        self,
        chain: Module,
        program: Sequence[Run],
        state: Any,
        params: list[Tensor],
        names: tuple[str, ...],
        kernels: dict[Any, Kernel] | None,
    ) -> None:
        nodes, spec = optree.tree_flatten(state, is_leaf=is_leaves)
        index = optree.tree_unflatten(spec, range(len(nodes)))
        self._nodes: list[Any] = nodes
        self._spec = spec
        self._where = {path: _at(index, path) for path, _ in links(chain)}  # of each link's state the nodes
        self._modules = dict(links(chain))
        self._names = names
        self._counters: dict[Any, Tensor] = {}
        self._taken: set[int] = set()  # memory in which a slab keeps state where it was
        self._kernels = kernels
        self.steps: list[Group | Leafwise] = []
        for run in program:
            self.steps += self._groups(run, params)
        self.state = optree.tree_unflatten(spec, self._nodes)
        self.configure(chain)

    def configure(self, chain: Module) -> None:
        """Take over the current settings."""
        self._modules = dict(links(chain))
        alike = not settings_that_differ(self._modules.values())
        rows: dict[Any, list[Any]] = {}  # by run, for each parameter a key of its settings
        known: dict[Any, dict[Place, Module]] = {}  # modules that groups have in common
        for step in self.steps:
            if isinstance(step, Group):
                places, i = step.run.places, step.who[0]
                modules = [self._modules[p.path] for p in places]
                if places not in rows and not alike:
                    rows[places] = settings_of(modules, len(self._names))
                key = places, () if alike else rows[places][i]
                if key not in known:
                    own = zip(places, modules if alike else links_for(modules, i), strict=True)
                    known[key] = {p: Times() if p.times else link for p, link in own}
                step.configure(known[key])

    def rehearse(self, now: Now) -> None:
        """Evaluate an element of what will be moved in place: a module that cannot do it raises before that."""
        for step in self.steps:
            if isinstance(step, Slab) and step.run.last:
                ones = [torch.ones((), dtype=p.dtype, device=p.device) for p in now.params]
                times = {p.path: ones for p in step.run.places if p.times}
                step.rehearse(now._replace(multipliers=times, begun={}))

    def step(self, now: Now) -> None:
        """Take a step: all directions first, then the parameters, and at last what was held back of the state."""
        writes: Writes = []
        fresh: dict[Path, Any] = {}
        for k, step in enumerate(self.steps):
            if isinstance(step, Stack):
                try:
                    writes += step.step(now)
                    continue
                except Exception:
                    # not every function can be batched; one that cannot be evaluated at all raises once more
                    step = Leafwise(step.run._replace(who=tuple(step.who)), self._names)
            if isinstance(step, Leafwise):
                fresh |= step.step(self._modules, self._states(step.run.places, fresh), now)
                self.steps[k] = step
            else:
                writes += step.step(now)
        for x, y in writes:
            x.copy_(y)
        if any(self._where[path] != () for path in fresh):
            self._adopt(fresh)

    def _states(self, places: Iterable[Place], fresh: dict[Path, Any]) -> dict[Path, Any]:
        """The states of links, as they are after the runs before."""
        paths = [p.path for p in places]
        return {
            path: fresh[path] if path in fresh else optree.tree_map(self._nodes.__getitem__, self._where[path])
            for path in paths
        }

    def _adopt(self, fresh: dict[Path, Any]) -> None:
        """Put new states of links into that of the chain."""
        for path, state in fresh.items():
            where, spec = optree.tree_flatten(self._where[path])
            for k, node in zip(where, spec.flatten_up_to(state), strict=True):
                self._nodes[k] = node
        self.state = optree.tree_unflatten(self._spec, self._nodes)

    # ------------------------------------------------------------------ who belongs together

    def _groups(self, run: Run, params: list[Tensor]) -> list[Group | Leafwise]:
        if run.kind in ("leaves", "multiplier"):
            return [Leafwise(run, self._names)]
        if run.last and not run.places:
            return [Subtraction(run, list(run.who), [], [], optree.tree_structure([]))]
        modules = [self._modules[p.path] for p in run.places]
        settings = settings_of(modules, len(params))
        where = [() if p.times else self._where[p.path] for p in run.places]
        if run.kind == "elements":
            here = links_for([self._modules[p.path] for p in run.places if not p.times], run.who[0])
            counts = [slot.lead is None for slot in _slots(here, torch.float32)]
        groups: dict[Any, list[int]] = {}
        for i in run.who:
            p, mine = params[i], self._mine(where, i)
            if run.kind == "elements":
                rest: Any = i if p.numel() >= LARGE and is_dense(p) else -1
            else:
                counts = [x.ndim == 0 and x.dtype == torch.int64 for x in mine]
                rest = (p.shape, self._form(where, i), *((x.shape, x.dtype, x.device) for x in mine))
            counters = [id(x) for x, count in zip(mine, counts, strict=True) if count]
            groups.setdefault((p.dtype, p.device, settings[i], tuple(counts), *counters, rest), []).append(i)
        made: list[Group | Leafwise] = []
        for (_, _, _, counts, *_, rest), who in groups.items():
            if run.kind == "elements":
                made.append(self._slab(run, where, who, params, counts, InPlace if rest >= 0 else Gathered))
            else:
                n = many(params[who[0]])
                made += [self._stack(run, where, who[k : k + n], counts) for k in range(0, len(who), n)]
        return made

    def _form(self, where: list[Any], i: int) -> tuple[Any, ...]:
        """The structure of the state of parameter i."""
        nodes = [self._nodes[k] for k in optree.tree_leaves(where)]
        return tuple(optree.tree_structure(node[i]) for node in nodes if is_leaves(node))

    def _mine(self, where: list[Any], i: int) -> list[Tensor]:
        """Every tensor of the state of parameter i, but for what all parameters share."""
        nodes = [self._nodes[k] for k in optree.tree_leaves(where)]
        return [x for node in nodes if is_leaves(node) for x in optree.tree_leaves(node[i])]

    def _slab(
        self, run: Run, where: list[Any], who: list[int], params: list[Tensor], counts: Sequence[bool], kind: type[Slab]
    ) -> Slab:
        mine = [params[i] for i in who]
        slab = kind(run, who, mine, *self._placed(where, who, counts, lambda column: self._place(column, mine, kind)))
        slab.kernels = self._kernels
        return slab

    def _stack(self, run: Run, where: list[Any], who: list[int], counts: Sequence[bool]) -> Stack:
        def place(column: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            stacked = torch.stack(column)
            return stacked, list(stacked.unbind())

        return Stack(run, who, *self._placed(where, who, counts, place))

    def _placed(
        self,
        where: list[Any],
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


def _at(state: Any, path: Path) -> Any:
    for key in path:
        state = state[key]
    return state


# ---------------------------------------------------------------------- forms and settings


class Slot(NamedTuple):
    """What a tensor of one parameter's state looks like in the beginning."""

    lead: tuple[int, ...] | None  # the dimensions before the parameter's own; None for a 0-d tensor
    dtype: torch.dtype


def _slots(modules: list[Module], dtype: torch.dtype) -> list[Slot]:
    """Each tensor of the state of a parameter of this dtype."""
    out = []
    probe = Leaves([torch.zeros(2, dtype=dtype)], ("probe",))
    states = tuple(link.init(probe) for link in modules)
    for node in optree.tree_leaves(states, is_leaf=is_leaves):  # pyright: ignore[reportArgumentType]
        if is_leaves(node):
            parts = optree.tree_leaves(node[0])
            out += [Slot(None if x.ndim == 0 else tuple(x.shape[:-1]), x.dtype) for x in parts]
    return out


def has_initial_form(chain: Module, program: Sequence[Run], state: Any, params: list[Tensor]) -> bool:
    """Whether every tensor of elementwise modules' states looks as in the beginning.

    It does not after a parameter has been given another shape, dtype or device.
    """
    modules = dict(links(chain))
    for run in program:
        paths = [p.path for p in run.places if not p.times]
        if run.kind != "elements" or not paths:
            continue
        like = links_for([modules[path] for path in paths], run.who[0])
        slots = {dtype: _slots(like, dtype) for dtype in {params[i].dtype for i in run.who}}
        states = tuple(_at(state, path) for path in paths)
        nodes = [x for x in optree.tree_leaves(states, is_leaf=is_leaves) if is_leaves(x)]  # pyright: ignore[reportArgumentType]
        for i in run.who:
            p, mine = params[i], [x for node in nodes for x in optree.tree_leaves(node[i])]
            forms = [(() if lead is None else (*lead, *p.shape), dtype, p.device) for lead, dtype in slots[p.dtype]]
            if forms != [(x.shape, x.dtype, x.device) for x in mine]:
                return False
    return True


def settings_that_differ(modules: Iterable[Module]) -> list[Leaves]:
    """The settings that have a value for each parameter."""
    return [v for link in modules for m in link.walk() for v in m.hypers().values() if isinstance(v, Leaves)]


def settings_of(modules: list[Module], n: int) -> list[tuple[Any, ...]]:
    """For each parameter a key of the settings that differ between parameters."""
    varying = settings_that_differ(modules)
    if not varying:
        return [()] * n
    return [tuple(id(x) if isinstance(x, Tensor) else x for x in row) for row in zip(*varying, strict=True)]


def links_for(modules: list[Module], i: int) -> list[Module]:
    """The modules with the settings of parameter i."""
    out = []
    for link in modules:
        own = {id(m): {k: v[i] for k, v in m.hypers().items() if isinstance(v, Leaves)} for m in link.walk()}
        out.append(rebuild(link, own))
    return out
