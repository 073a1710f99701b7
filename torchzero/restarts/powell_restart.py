"""PowellRestart: start conjugate gradients afresh when successive gradients are far from orthogonal."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import afresh
from torchzero.core.control import concrete
from torchzero.core.hyper import Hyper, nonnegative
from torchzero.core.module import Module
from torchzero.core.tree import Tree, dot
from torchzero.core.var import Var
from torchzero.restarts.base import no, optional_child
from torchzero.step_size.base import single


class PowellState(NamedTuple):
    """State of PowellRestart."""

    restart: Tensor  # () bool  whether the latest update was a restart
    known: Tensor  # () bool    whether there was a step before
    g: Tree  # like params      the gradient at the latest update
    modules: Any  # state of the modules, () if they are those beside it


class PowellRestart(Module):
    r"""Start modules afresh when they have lost conjugacy, or their direction has left the gradient.

    $$ s_{t-1} ← \mathrm{init}(θ_t) \quad\text{where } |g_{t-1} · g_t| ≥ c_1 ‖g_t‖^2 \quad\text{or}\quad
       d_t · g_t \notin [(1 - c_2)‖g_t‖^2, (1 + c_2)‖g_t‖^2] $$

    g is the gradient and d the modules' direction, which is made anew after a restart. d is subtracted and has the sign
    of the gradient; the paper's is -d. The second condition makes sense for conjugate gradient methods alone, without a
    step size among the modules.

    Args:
        modules: module or sequence of modules; None for all other modules of the chain that this one stands in, afresh
            from the next step on. Then d is the direction that comes in: place it after the method.
        cond1: c₁ ≥ 0; None to leave this condition out.
        cond2: c₂ ≥ 0; None to leave this condition out.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.PowellRestart(tz.m.FletcherReeves()), torch.zeros(2)
    >>> state, _ = opt.step(opt.init(p), tz.Var(p, grad=torch.tensor([1.0, 0.0])))
    >>> opt.step(state, tz.Var(p, grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([1., 1.])
    >>> opt.step(state, tz.Var(p, grad=torch.tensor([1.0, 1.0])))[1].update
    tensor([1., 1.])

    Reference: Powell 1977, Restart procedures for the conjugate gradient method, https://doi.org/10.1007/BF01593790
    """

    needs = frozenset({"grad"})

    modules: Module | None = optional_child()
    cond1: Hyper = nonnegative(0.2, optional=True)
    cond2: Hyper = nonnegative(0.2, optional=True)

    def init(self, params: Tree) -> PowellState:
        modules = () if self.modules is None else self.modules.init(params)
        return PowellState(no(params), no(params), tree.zeros_like(params), modules)

    def step(self, state: PowellState, var: Var) -> tuple[PowellState, Var]:
        cond1, cond2 = single(self, "cond1", "cond2")
        g, kids, params = var.grad, self.modules, var.params
        gg = dot(g, g)
        restart = torch.zeros_like(state.restart)
        if cond1 is not None:
            restart = state.known & (dot(state.g, g).abs() >= cond1 * gg)
        modules, out = (), var
        if kids is not None:
            modules, out = kids.step(afresh(restart, kids, state.modules, params), var)
        if cond2 is not None:
            slope = dot(out.update, g)
            astray = state.known & ~(((1 - cond2) * gg <= slope) & (slope <= (1 + cond2) * gg))
            if kids is not None:
                modules = self._again(astray & ~restart, kids, modules, var)
                out = kids.apply(modules, var)
            restart = restart | astray
        new = PowellState(restart, torch.ones_like(state.known), tree.cast_like(g, state.g), modules)
        return new, out.replace(stop=var.stop)

    @staticmethod
    def _again(flag: Tensor, kids: Module, modules: Any, var: Var) -> Any:
        """The modules' state, the step begun again from their first state where `flag` holds."""
        decided = concrete(flag)
        if decided is False:
            return modules
        again = kids.update(kids.restarted(modules, var.params), var)
        return again if decided else tree.where(flag, again, modules)

    def update(self, state: PowellState, var: Var) -> PowellState:
        return self.step(state, var)[0]

    def apply(self, state: PowellState, var: Var) -> Var:
        return var if self.modules is None else self.modules.apply(state.modules, var).replace(stop=var.stop)

    def restarts_others(self, state: PowellState) -> Tensor | None:
        return state.restart if self.modules is None else None

    def child_state(self, state: PowellState, name: str) -> Any:
        return state.modules

    def reset_for_online(self, state: PowellState) -> PowellState:
        kept = state._replace(known=torch.zeros_like(state.known))
        return kept if self.modules is None else kept._replace(modules=self.modules.reset_for_online(state.modules))
