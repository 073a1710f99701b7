"""BirginMartinezRestart: give up a direction that is nearly orthogonal to the gradient."""

from typing import Any, NamedTuple

from torch import Tensor

from torchzero.core import var as var_
from torchzero.core.chain import afresh
from torchzero.core.control import concrete
from torchzero.core.hyper import Hyper, child, within
from torchzero.core.module import Module
from torchzero.core.tree import Tree, dot, norm
from torchzero.core.var import Var
from torchzero.restarts.base import no
from torchzero.step_size.base import single


class BirginMartinezState(NamedTuple):
    """State of BirginMartinezRestart."""

    restart: Tensor  # () bool  whether the latest direction was given up
    module: Any  # state of the module


class BirginMartinezRestart(Module):
    r"""Step along the gradient, and start the module afresh, where its direction hardly descends.

    $$ d_t = \begin{cases} g_t & d · g_t < c\, ‖d‖ ‖g_t‖ \\ d & \text{otherwise} \end{cases} $$

    g is the gradient and d the module's direction, which is subtracted and has the sign of the gradient. After a step
    along the gradient the module starts afresh at the next one. A direction that is not finite is given up, too.

    Args:
        module: module or sequence of modules, such as a conjugate gradient method.
        cond: c, in [0, 1).

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.BirginMartinezRestart(tz.m.HeavyBall(0.9), cond=0.5), torch.zeros(1)
    >>> state, _ = opt.step(opt.init(p), tz.Var(p, grad=torch.tensor([2.0])))
    >>> opt.step(state, tz.Var(p, grad=torch.tensor([-1.0])))[1].update
    tensor([-1.])

    Reference: Birgin & Martínez 2001, A spectral conjugate gradient method for unconstrained optimization,
    https://doi.org/10.1007/s00245-001-0003-0
    """

    needs = frozenset({"grad"})

    module: Module = child()
    cond: Hyper = within(0, 1, default=1e-3)

    def init(self, params: Tree) -> BirginMartinezState:
        return BirginMartinezState(no(params), self.module.init(params))

    def step(self, state: BirginMartinezState, var: Var) -> tuple[BirginMartinezState, Var]:
        module, out = self.module.step(afresh(state.restart, self.module, state.module, var.params), var)
        d, g = out.update, var.grad
        restart = ~(dot(d, g) >= single(self, "cond")[0] * norm(d) * norm(g))
        new = BirginMartinezState(restart, module)
        return new, self._emit(new, out, var)

    def update(self, state: BirginMartinezState, var: Var) -> BirginMartinezState:
        return self.step(state, var)[0]

    def apply(self, state: BirginMartinezState, var: Var) -> Var:
        return self._emit(state, self.module.apply(state.module, var), var)

    def _emit(self, state: BirginMartinezState, out: Var, var: Var) -> Var:
        given_up = var.replace(update=var.grad)
        flag = concrete(state.restart)
        if flag is not None:
            return (given_up if flag else out).replace(stop=var.stop)
        return var_.where(state.restart, given_up, out).replace(stop=var.stop)

    def child_state(self, state: BirginMartinezState, name: str) -> Any:
        return state.module

    def reset_for_online(self, state: BirginMartinezState) -> BirginMartinezState:
        return state._replace(module=self.module.reset_for_online(state.module))
