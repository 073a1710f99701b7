"""Executor: takes the step of a chain in the fastest layout that its modules' locality allows."""

from itertools import compress
from typing import Any

from torch import Tensor

from torchzero.core.module import Module
from torchzero.stateful.executor.eligible import are_apart, has_plain_settings, is_elementwise, is_plain
from torchzero.stateful.executor.plan import Plan, has_initial_form, settings_of


class Executor:
    """Keeps a plan for as long as the parameters that take part, their form, their settings' grouping and the state are
    the same.

    A step gives what `chain.step` would, with the state and the parameters written in place.

    Attributes:
        enabled: whether it may be used; for tests and for comparisons.
        used: whether the last step was taken by it.
    """

    def __init__(self) -> None:
        self.enabled = True
        self.used = False
        self._chain: Module | None = None
        self._able = False
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
        if state is not self._state or self._plan is None or active != self._active:
            links, keys = list(chain.links), chain.keys()
            states = [state[key] for key in keys]
            if not all(map(is_plain, some)) or not has_initial_form(links, states, params, active):
                return None
            plan = Plan(links, states, params, active)
            for slab in plan.slabs:
                slab.rehearse(params, grads, loss, step, kwargs)
            self._plan, self._active = plan, active
            self._state = dict(zip(keys, plan.states, strict=True))
        news = [slab.step(params, grads, loss, step, kwargs) for slab in self._plan.slabs]
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
        self._able = all(is_elementwise(link) and has_plain_settings(link) for link in links)
        if not self._able:
            self._plan = None
            return False
        key = _pattern(settings_of(links, len(params)))
        if self._plan is not None and key == self._key:
            self._plan.configure(links)
        else:
            self._plan, self._key = None, key
        return True


def _pattern(keys: list[Any]) -> list[int]:
    """The same list for settings that are grouped in the same way."""
    first: dict[Any, int] = {}
    return [first.setdefault(key, len(first)) for key in keys]


def _fits(p: Tensor, g: Tensor | None) -> bool:
    return g is not None and g.dtype == p.dtype and is_plain(g) and g.shape == p.shape
