"""Group: parameters whose step is one evaluation of a run's modules."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

import optree
from torch import Tensor

from torchzero.core.module import Module, ScheduledState
from torchzero.stateful.executor.elements import Context, Head, head, is_direct
from torchzero.stateful.executor.program import Path, Place, Run
from torchzero.stateful.store import storage

Writes = list[tuple[Tensor, Tensor]]  # (tensor, its new value), for when the whole step is known to succeed


def write(writes: Writes) -> None:
    """Give tensors their new values."""
    for x, y in writes:
        x.copy_(y)


def apart(x: Tensor, memory: AbstractSet[int]) -> Tensor:
    """`x`, or a copy of it if it lies in memory that is about to change."""
    return x.clone() if storage(x) in memory else x


class Now(NamedTuple):
    """One step of the optimizer."""

    params: Sequence[Tensor]
    grads: Sequence[Any]
    us: list[Any]  # the direction so far, for each parameter; groups replace theirs
    multipliers: dict[Path, Sequence[Any]]  # what links have measured, for each parameter
    context: Context
    begun: dict[Any, Any]  # what groups that are `alike` do once


class Group:
    """Some parameters of one dtype and device, with the same settings and counters.

    Args:
        run: what happens to them.
        who: their places among the optimizer's parameters.
        state: every tensor of the modules' states: those of this group, and shared ones.
        shared: for each tensor whether other groups see it too.
        spec: what makes the list of the modules' states from the tensors.
    """

    def __init__(self, run: Run, who: list[int], state: list[Tensor], shared: list[bool], spec: Any) -> None:
        self.run = run
        self.who = who
        self.state = state
        self.shared = shared
        self.spec = spec
        self.links: list[tuple[Place, Module, bool]] = []
        self.sees_grad = False
        self.alike: tuple[int, ...] = ()
        self.counters = [x for x, s in zip(state, shared, strict=True) if s]
        self._wide = set(map(storage, self.counters))
        self.memory = {storage(x) for x, s in zip(state, shared, strict=True) if not s}
        marks = [m.own if isinstance(m, ScheduledState) else m for m in spec.unflatten(shared)]
        flat: tuple[list[Any], Any] = optree.tree_flatten(marks)  # pyright: ignore[reportArgumentType]
        self.own_shared, self.own = flat
        kept = [s.own if isinstance(s, ScheduledState) else s for s in spec.unflatten(state)]
        self._kept = self.own.flatten_up_to(kept)

    def configure(self, modules: Mapping[Place, Module]) -> None:
        """Take over the current settings."""
        before = [link for _, link, _ in self.links]
        self.links = [(place, m := modules[place], is_direct(m)) for place in self.run.places]
        if not before:  # what is looked at is not a matter of settings
            self.sees_grad = any("grad" in below.needs for _, link, _ in self.links for below in link.walk())
        # groups with the same modules and counters begin the step alike
        self.alike = (*(id(link) for _, link, _ in self.links), *map(id, self.counters))

    def step(self, now: Now) -> Writes:
        """Replace the direction of these parameters, or move them if this run is the last one."""
        raise NotImplementedError

    def heads(self, now: Now) -> tuple[list[Head], list[Tensor]]:
        """What is done once in this step, and every tensor of the states that the elements see."""
        if self.alike not in now.begun:
            now.begun[self.alike] = self._begin(now)
        made, counted = now.begun[self.alike]
        state = self._kept.copy()
        for i, x in counted:
            state[i] = x
        return made, state

    def _begin(self, now: Now) -> tuple[list[Head], list[tuple[int, Tensor]]]:
        """The modules at this step, and their new counters by place among the tensors that the elements see."""
        states = self.spec.unflatten(self.state)
        made = [self._head(now, *link, state) for link, state in zip(self.links, states, strict=True)]
        shown = self.own.flatten_up_to([h.shown(state) for h, state in zip(made, states, strict=True)])
        return made, [(i, x) for i, (x, y) in enumerate(zip(shown, self._kept, strict=True)) if x is not y]

    def _head(self, now: Now, place: Place, link: Module, direct: bool, state: Any) -> Head:
        this = head(link, direct, state)
        return this._replace(scalars=now.multipliers[place.path][self.who[0]]) if place.times else this

    def counts(self, now: Now, heads: list[Head], new: list[Tensor]) -> Writes:
        """The new values of the shared tensors, from those of all tensors that the elements see."""
        ended = "counted", self.alike
        if not self.counters or ended in now.begun:
            return []
        now.begun[ended] = True
        states = [
            s if h.k is None else ScheduledState(h.k, s) for h, s in zip(heads, self.own.unflatten(new), strict=True)
        ]
        marked = zip(self.spec.flatten_up_to(tuple(states)), self.shared, strict=True)
        counters = zip(self.counters, [y for y, shared in marked if shared], strict=True)
        # a counter may become what another one was
        return [(x, y if y is x else apart(y, self._wide)) for x, y in counters]
