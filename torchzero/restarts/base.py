"""What all restart strategies share."""

import dataclasses
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import afresh
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class RestartState(NamedTuple):
    """State of a restart strategy."""

    restart: Tensor  # () bool  whether the latest update was a restart
    own: Any  # what the strategy itself remembers
    modules: Any  # state of the modules, () if they are those beside it


def optional_child() -> Any:
    """Declare a child without default that may be None."""
    return dataclasses.field(metadata={"kind": "child", "operand": False, "optional": True})


def no(params: Tree) -> Tensor:
    """A 0-d False on the device of `params`."""
    return torch.zeros((), dtype=torch.bool, device=tree.reference(params).device)


class RestartStrategyBase(Module):
    r"""What restart strategies share: where a test says so, modules start afresh.

    $$ s_t = \mathrm{update}(s,\, u_t),\quad s = \begin{cases} \mathrm{init}(θ_t) & \text{at a restart} \\
       s_{t-1} & \text{otherwise} \end{cases} $$

    With modules of its own, a restart comes before they see the step. Without (`modules=None`), the direction passes,
    and all other modules of the chain that the strategy stands in start afresh before the next step. Random modules go
    on with new numbers.

    To write a strategy, subclass and give `should_restart(own, var)`, which returns what it remembers and a 0-d bool
    tensor, and `init_own(params)` if it remembers something.

    >>> import torch, torchzero as tz
    >>> class RestartUphill(tz.m.RestartStrategyBase):
    ...     needs = frozenset({"value"})
    ...     def init_own(self, params):
    ...         return tz.tree.scalar(params, float("inf"))
    ...     def should_restart(self, own, var):
    ...         return var.loss, var.loss > own
    >>> opt, p = RestartUphill(tz.m.AccumulateSum()), torch.zeros(1)
    >>> state = opt.init(p)
    >>> for loss in (3.0, 2.0, 4.0):
    ...     state, var = opt.step(state, tz.Var(p, grad=p + 1, loss=torch.tensor(loss)))
    ...     print(var.update)
    tensor([1.])
    tensor([2.])
    tensor([1.])

    Reference: O'Donoghue & Candès 2015, Adaptive restart for accelerated gradient schemes,
    https://doi.org/10.1007/s10208-013-9150-3
    """

    modules: Module | None = optional_child()

    @property
    def conservative(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Without modules the direction passes."""
        return self.modules is None

    def init_own(self, params: Tree) -> Any:
        """What the strategy remembers before the first step."""
        return ()

    def should_restart(self, own: Any, var: Var) -> tuple[Any, Tensor]:
        """What is remembered now, and whether this step is a restart: 0-d bool."""
        raise TypeError(f"{type(self).__name__} must implement should_restart(own, var)")

    def init(self, params: Tree) -> RestartState:
        modules = () if self.modules is None else self.modules.init(params)
        return RestartState(no(params), self.init_own(params), modules)

    def step(self, state: RestartState, var: Var) -> tuple[RestartState, Var]:
        own, restart = self.should_restart(state.own, var)
        if self.modules is None:
            return RestartState(restart, own, ()), var
        modules, out = self.modules.step(afresh(restart, self.modules, state.modules, var.params), var)
        return RestartState(restart, own, modules), out.replace(stop=var.stop)

    def update(self, state: RestartState, var: Var) -> RestartState:
        own, restart = self.should_restart(state.own, var)
        if self.modules is None:
            return RestartState(restart, own, ())
        modules = self.modules.update(afresh(restart, self.modules, state.modules, var.params), var)
        return RestartState(restart, own, modules)

    def apply(self, state: RestartState, var: Var) -> Var:
        return var if self.modules is None else self.modules.apply(state.modules, var).replace(stop=var.stop)

    def restarts_others(self, state: RestartState) -> Tensor | None:
        return state.restart if self.modules is None else None

    def child_state(self, state: RestartState, name: str) -> Any:
        return state.modules

    def reset_for_online(self, state: RestartState) -> RestartState:
        if self.modules is None:
            return state
        return state._replace(modules=self.modules.reset_for_online(state.modules))
