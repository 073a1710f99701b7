"""RestartOnTerminationCriteria: start afresh where others would end."""

from typing import Any

from torch import Tensor

from torchzero.core.chain import afresh
from torchzero.core.hyper import child
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.restarts.base import RestartState, RestartStrategyBase
from torchzero.termination.combined import met


class RestartOnTerminationCriteria(RestartStrategyBase):
    r"""Start modules afresh when a termination criterion is met, and the criterion, too.

    $$ s_{t-1} ← \mathrm{init}(θ_t) \quad\text{where } \mathrm{terminate}_t $$

    Args:
        modules: module or sequence of modules; None for all other modules of the chain that this one stands in.
        criteria: a termination criterion; TerminateAny and TerminateAll make one of several. What it says is not handed
            on as `should_terminate`.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.RestartOnTerminationCriteria(tz.m.AccumulateSum(), tz.m.TerminateByGradientNorm(0.5, n=1))
    >>> p = torch.zeros(1)
    >>> state = opt.init(p)
    >>> for g in (1.0, 2.0, 0.25):
    ...     state, var = opt.step(state, tz.Var(p, grad=p + g))
    >>> var.update, var.should_terminate
    (tensor([0.2500]), False)

    Reference: elementary.
    """

    criteria: Module = child()

    def init_own(self, params: Tree) -> Any:
        return self.criteria.init(params)

    def should_restart(self, own: Any, var: Var) -> tuple[Any, Tensor]:
        own, restart = met(self.criteria, own, var)
        return afresh(restart, self.criteria, own, var.params), restart

    def child_state(self, state: RestartState, name: str) -> Any:
        return state.own if name == "criteria" else state.modules

    def reset_for_online(self, state: RestartState) -> RestartState:
        return super().reset_for_online(state)._replace(own=self.criteria.reset_for_online(state.own))
