"""Plan: the groups of a program in the order of a step."""

from collections.abc import Iterable, Sequence
from typing import Any

import optree
import torch
from torch import Tensor

from torchzero.core.module import Module
from torchzero.stateful.executor.elements import Times
from torchzero.stateful.executor.group import Group, Now, Writes, write
from torchzero.stateful.executor.kernel import Kernel
from torchzero.stateful.executor.leafwise import Leafwise
from torchzero.stateful.executor.per_parameter import links_for, settings_of, settings_that_differ
from torchzero.stateful.executor.placement import Placement
from torchzero.stateful.executor.program import Path, Place, Run, is_leaves, links, state_at
from torchzero.stateful.executor.slab import Slab
from torchzero.stateful.executor.stack import Stack
from torchzero.stateful.executor.subtraction import Subtraction


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
        self._where = {path: state_at(index, path) for path, _ in links(chain)}  # of each link's state the nodes
        self._modules = dict(links(chain))
        self._names = names
        self.steps: list[Group | Leafwise] = []
        placement = Placement(nodes, self._where, self._modules, params, names, kernels)
        for run in program:
            if run.kind in ("leaves", "multiplier"):
                self.steps.append(Leafwise(run, names))
            elif run.last and not run.places:
                self.steps.append(Subtraction(run, list(run.who), [], [], optree.tree_structure(())))  # pyright: ignore[reportArgumentType]
            else:
                self.steps += placement.slabs(run) if run.kind == "elements" else placement.stacks(run)
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
        write(writes)
        if any(self._where[path] != () for path in fresh):
            self._adopt(fresh)

    def _states(self, places: Iterable[Place], fresh: dict[Path, Any]) -> dict[Path, Any]:
        """The states of links: of parameters as runs before have left them, of all parameters as before the step."""
        out = {}
        for path in (p.path for p in places):
            where, spec = optree.tree_flatten(self._where[path])
            nodes = [self._nodes[k] for k in where]
            if path in fresh:
                later = spec.flatten_up_to(fresh[path])
                nodes = [new if is_leaves(new) else old for old, new in zip(nodes, later, strict=True)]
            out[path] = optree.tree_unflatten(spec, nodes)
        return out

    def _adopt(self, fresh: dict[Path, Any]) -> None:
        """Put new states of links into that of the chain."""
        for path, state in fresh.items():
            where, spec = optree.tree_flatten(self._where[path])
            for k, node in zip(where, spec.flatten_up_to(state), strict=True):
                self._nodes[k] = node
        self.state = optree.tree_unflatten(self._spec, self._nodes)
