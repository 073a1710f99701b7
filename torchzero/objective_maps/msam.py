"""MSAM: any optimizer, its gradients taken ahead, where a momentum leads."""

from typing import Any, NamedTuple

from torchzero.core.hyper import Hyper, child, nonnegative, number, static, within
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import publish
from torchzero.objective_maps.base import Ahead, AheadState, shift


class MSAMState(NamedTuple):
    """State of MSAM."""

    own: AheadState  # the momentum and the perturbations
    children: dict[str, Any]  # state of the inner optimizer


class MSAM(Ahead):
    r"""Momentum SAM around any optimizer: the parameters are kept perturbed along a momentum of the gradients.

    $$ v_t = μ v_{t-1} + u_t,\quad e_t = ρ \frac{v_t}{‖v_t‖},\quad
       d_t = \mathrm{modules}(u_t) + (e_t - e_{t-1}) + λ (θ + e_{t-1}),\quad v_0 = e_0 = 0 $$

    The parameters θ = w - e are not the weights w, but lie ahead of them by ρ; the weights are what `eval_params`
    gives. The inner optimizer gets the incoming update, not the momentum. The norm is over all parameters.

    Args:
        modules: the inner optimizer with its learning rate, a module or a sequence: the perturbation must not be
            scaled, so let no LR follow.
        momentum: μ, in [0, 1).
        rho: ρ, the length of the perturbation, at least 0.
        weight_decay: λ, how much of the weights is taken off.
        nesterov: perturb along $u_t + μ v_t$ in place of $v_t$.
        lerp: $(1-μ) u_t$ in place of $u_t$.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.MSAM([tz.m.Adam(), tz.m.LR(0.25)], rho=1.0), torch.tensor([0.0])
    >>> p, state = opt(p, opt.init(p), grad=torch.tensor([2.0]))
    >>> p, opt.eval_params(state, p)
    (tensor([-1.2500]), tensor([-0.2500]))

    Reference: Becker, Altrock & Risse 2024, sections 3 and 4, https://arxiv.org/abs/2401.12033
    """

    modules: Module = child()
    momentum: Hyper = within(0, 1, default=0.9)
    rho: Hyper = nonnegative(0.3)
    weight_decay: Hyper = number(0)
    nesterov: bool = static(default=False)
    lerp: bool = static(default=False)

    def init(self, params: Tree) -> MSAMState:
        return MSAMState(self.start(params), {"modules": self.modules.init(params)})

    def child_state(self, state: MSAMState, name: str) -> Any:
        return state.children[name]

    def reset_for_online(self, state: MSAMState) -> MSAMState:
        return state._replace(children={"modules": self.modules.reset_for_online(state.children["modules"])})

    def update(self, state: MSAMState, var: Var) -> MSAMState:
        inner = self.modules.update(state.children["modules"], var)
        return MSAMState(self.absorb(state.own, var.update), {"modules": inner})

    def apply(self, state: MSAMState, var: Var) -> Var:
        out = self.modules.apply(state.children["modules"], var)
        return publish(var, [out]).replace(update=self.displace(state.own, var, out.update))

    def eval_params(self, state: MSAMState, params: Tree) -> Tree:
        return self.modules.eval_params(state.children["modules"], shift(params, state.own.e))
