"""Executor: takes the step of a chain in the fastest layout that its modules' locality allows."""

from itertools import compress
from operator import attrgetter
from typing import Any

from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import HOLE, Leaves
from torchzero.stateful.executor.elements import Context
from torchzero.stateful.executor.eligible import PLAIN, are_apart, is_plain
from torchzero.stateful.executor.forms import has_initial_form
from torchzero.stateful.executor.group import Now
from torchzero.stateful.executor.kernel import Kernel
from torchzero.stateful.executor.per_parameter import settings_of, settings_that_differ
from torchzero.stateful.executor.plan import Plan
from torchzero.stateful.executor.program import Run, links, program
from torchzero.stateful.executor.shards import local, local_state, whole_state


class Executor:
    """Keeps a plan for as long as the parameters that take part, their form, their settings' grouping and the state are
    the same.

    A step gives what `chain.step` would, with the state and the parameters written in place. When it raises, neither
    has changed.

    Attributes:
        enabled: whether it may be used; for tests and for comparisons.
        used: whether the last step was taken by it.
    """

    def __init__(self, compiled: bool = False) -> None:
        self._kernels: dict[Any, Kernel] | None = {} if compiled else None
        self.enabled = True
        self.used = False
        self._chain: Module | None = None
        self._plan: Plan | None = None
        self._key: Any = None  # how the chain's settings are grouped
        self._refused: Any = None  # the active parameters for which the chain cannot be run
        self._active: list[bool] = []
        self._plain: list[bool] = []  # whether no subclass has a say in what happens to a parameter
        self._at: list[Any] = []  # where the active parameters lie, with strides and shapes
        self._wanted: list[Any] = []  # what their gradients look like
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
        if chain is not self._chain:
            self._adopt(chain, len(params))
        if active == self._refused:
            return None
        if len(params) != len(self._plain):
            self._plain = list(map(is_plain, params))
        owners = None  # of shards
        if not all(compress(self._plain, active)):
            here, theirs = local(params, params, active), local(grads, params, active)
            if here is None or theirs is None:
                return None
            owners, params, grads = params, here, theirs
        some, theirs = list(compress(params, active)), list[Any](compress(grads, active))
        at = [list(map(look, some)) for look in _LOOKS]
        if at != self._at:
            self._look(at, some)
        if list(map(_FORM, theirs)) != self._wanted or not PLAIN.issuperset(map(type, theirs)):
            return None
        if not self._apart or not self._memory.isdisjoint(map(Tensor.data_ptr, theirs)):
            return None
        now = Now(params, grads, list(grads), {}, Context(loss, step, kwargs), {})
        plan = self._plan
        if plan is None or state is not self._state or active != self._active:
            plan = self._planned(chain, state, names, params, active, now, owners)
            if plan is None:
                return None
        plan.step(now)
        if owners is None:
            self._state = plan.state
        self.used = True
        return self._state

    def _planned(
        self,
        chain: Module,
        state: Any,
        names: tuple[str, ...],
        params: list[Tensor],
        active: list[bool],
        now: Now,
        owners: list[Tensor] | None,
    ) -> Plan | None:
        """A plan for these parameters and this state; None if the plain way must do."""
        self._plan = None
        shown = Leaves([p.detach() if on else HOLE for p, on in zip(params, active, strict=True)], names)
        runs = program(chain, state, shown)
        if runs is None or not any(map(_helps, runs)) or (owners and any(run.kind != "elements" for run in runs)):
            self._refused = active
            return None
        here = state if owners is None else local_state(state, owners, active)
        if here is None or not has_initial_form(chain, runs, here, params):
            return None
        plan = Plan(chain, runs, here, params, names, self._kernels)
        plan.rehearse(now)
        self._plan, self._active = plan, active
        self._state = plan.state if owners is None else whole_state(plan.state, state)
        return plan

    def _look(self, at: list[Any], params: list[Tensor]) -> None:
        """See where parameters lie that have moved; the plan stays if they have the form that they had."""
        forms = [(p.dtype, p.device, p.shape, p.stride()) for p in params]
        if forms != self._forms:
            self._plan = None
        # the order in which parameters are read and written makes no difference then
        self._apart, self._memory = are_apart(params), set(at[0]) - {0}
        self._at, self._forms, self._wanted = at, forms, list(map(_FORM, params))

    def _adopt(self, chain: Module, n: int) -> None:
        """Take over a chain with other settings; the plan stays if they are grouped as they were."""
        self._chain, self._refused = chain, None
        modules = [link for _, link in links(chain)]
        key = _pattern(settings_of(modules, n)) if settings_that_differ(modules) else None
        if self._plan is not None and key == self._key:
            self._plan.configure(chain)
        else:
            self._plan, self._key = None, key


def _helps(run: Run) -> bool:
    """Whether a run is evaluated otherwise than leaf by leaf."""
    return run.kind != "leaves" and bool(run.places)


def _pattern(keys: list[Any]) -> list[int]:
    """The same list for settings that are grouped in the same way."""
    first: dict[Any, int] = {}
    return [first.setdefault(key, len(first)) for key in keys]


# what may change from step to step, in the form that is read fastest
_LOOKS = (Tensor.data_ptr, Tensor.stride, attrgetter("shape"))
_FORM = attrgetter("dtype", "shape", "layout")
