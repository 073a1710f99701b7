"""Executor: takes the step of a chain in the fastest layout that its modules' locality allows."""

from itertools import compress
from typing import Any

from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import HOLE, Leaves
from torchzero.core.var import Var
from torchzero.stateful import store
from torchzero.stateful.executor.eligible import are_apart, has_plain_settings, is_elementwise, is_function, is_plain
from torchzero.stateful.executor.kernel import Kernel
from torchzero.stateful.executor.plan import Plan, has_initial_form, settings_of


class Executor:
    """Keeps a plan for as long as the parameters that take part, their form, their settings' grouping and the state are
    the same.

    A step gives what `chain.step` would, with the state and the parameters written in place. The links at the end of
    the chain that are all elementwise are evaluated on slabs; those before them, such as a global clip, leaf by leaf.

    Attributes:
        enabled: whether it may be used; for tests and for comparisons.
        used: whether the last step was taken by it.
    """

    def __init__(self, compiled: bool = False) -> None:
        self._kernels: dict[Any, Kernel] | None = {} if compiled else None
        self.enabled = True
        self.used = False
        self._chain: Module | None = None
        self._able = False
        self._first = 0  # the link from which on all are elementwise
        self._plan: Plan | None = None
        self._key: Any = None  # what the plan was made for
        self._active: list[bool] = []
        self._at: list[Any] = []  # where the active parameters lie, with shapes and strides
        self._forms: list[Any] = []  # their dtypes and devices, with shapes and strides
        self._memory: set[int] = set()  # where those lie that have elements
        self._apart = True  # whether no two of them share memory
        self._state: Any = None  # the state whose tensors it writes

    def step(
        self,
        chain: Any,
        state: dict[str, Any],
        names: tuple[str, ...],
        params: list[Tensor],
        grads: list[Tensor | None],
        active: list[bool],
        loss: Any,
        step: int,
        kwargs: Any,
    ) -> Any:
        """Move the active parameters; returns the state, or None, with nothing changed, if the plain way must do."""
        self.used = False
        if not self.enabled:
            return None
        if chain is not self._chain and not self._adopt(chain, params, active):
            return None
        if not self._able:
            return None
        some, theirs = list(compress(params, active)), list[Any](compress(grads, active))
        if not all(map(_fits, some, theirs)):
            return None
        at = [(p.data_ptr(), p.shape, p.stride()) for p in some]
        if at != self._at:
            self._look(at, some)
        if not self._apart or not self._memory.isdisjoint([g.data_ptr() for g in theirs]):
            return None
        keys, links, first = chain.keys(), list(chain.links), self._first
        if state is not self._state or self._plan is None or active != self._active:
            states = [state[key] for key in keys[first:]]
            if not all(map(is_plain, some)) or not has_initial_form(links[first:], states, params, active):
                return None
            plan = Plan(links[first:], states, params, active)
            for slab in plan.slabs:
                slab.kernels = self._kernels
                slab.rehearse(params, grads, loss, step, kwargs)
            self._plan, self._active = plan, active
            self._state = {**state, **dict(zip(keys[first:], plan.states, strict=True))}
        us = grads
        if first:
            before = {key: state[key] for key in keys[:first]}
            after, us = leaf_by_leaf(links[:first], before, names, params, grads, active, loss, step, kwargs)
            self._state = {**self._state, **after}
        news = [slab.step(params, grads, us, loss, step, kwargs) for slab in self._plan.slabs]
        for slab, new in zip(self._plan.slabs, news, strict=True):
            for x, y in zip(slab.counters, new, strict=True):
                x.copy_(y)
        self.used = True
        return self._state

    def _look(self, at: list[Any], params: list[Tensor]) -> None:
        """See where parameters lie that have moved; the plan stays if they have the form that they had."""
        forms = [(p.dtype, p.device, p.shape, p.stride()) for p in params]
        if forms != self._forms:
            self._plan = None
        # the order in which parameters are read and written makes no difference then
        self._apart, self._memory = are_apart(params), {x for x, _, _ in at} - {0}
        self._at, self._forms = at, forms

    def _adopt(self, chain: Any, params: list[Tensor], active: list[bool]) -> bool:
        """Take over a chain with other settings; the plan stays if they are grouped as they were."""
        links = list(chain.links)
        self._chain = chain
        flags = [is_elementwise(link) and has_plain_settings(link) for link in links]
        first = len(flags) - next((i for i, flag in enumerate(reversed(flags)) if not flag), len(flags))
        self._able = first < len(links) and all(map(is_function, links[:first]))
        if not self._able:
            self._plan = None
            return False
        key = first, _pattern(settings_of(links[first:], len(params)))
        self._first = first
        if self._plan is not None and key == self._key:
            self._plan.configure(links[first:])
        else:
            self._plan, self._key = None, key
        return True


def leaf_by_leaf(
    links: list[Module],
    states: dict[str, Any],
    names: tuple[str, ...],
    params: list[Tensor],
    grads: list[Any],
    active: list[bool],
    loss: Any,
    step: int,
    kwargs: Any,
) -> tuple[dict[str, Any], list[Any]]:
    """Run modules on the tree of active parameters: the new states, and for each parameter its direction."""
    values = Leaves([p.detach() if on else HOLE for p, on in zip(params, active, strict=True)], names)
    shown = Leaves([g if on else HOLE for g, on in zip(grads, active, strict=True)], names)
    var, after = Var(values, grad=shown, loss=loss, step=step, storage=kwargs), {}
    for link, (key, state) in zip(links, states.items(), strict=True):
        state, var = link.step(store.narrow(state, active), var)
        after[key] = state
    changing = {store.storage(x) for x in (*params, *grads) if x is not None}
    after = store.merge(states, store.unalias(after, changing), active, after)
    return after, list(var.update)


def _pattern(keys: list[Any]) -> list[int]:
    """The same list for settings that are grouped in the same way."""
    first: dict[Any, int] = {}
    return [first.setdefault(key, len(first)) for key in keys]


def _fits(p: Tensor, g: Tensor | None) -> bool:
    return g is not None and g.dtype == p.dtype and is_plain(g) and g.shape == p.shape
