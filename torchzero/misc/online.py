"""Online: the change of the gradient between two points, both measured on the same batch."""

from typing import Any, NamedTuple

from torch import Tensor

from torchzero.core import tree
from torchzero.core.control import cond
from torchzero.core.hyper import child
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import Parent


class OnlineState(NamedTuple):
    """State of Online."""

    t: Tensor  # ()           updates absorbed
    before: Tree  # like params  the parameters of the step before
    children: dict[str, Any]  # state of the module


class Online(Parent):
    r"""Show a module the previous parameters on the current batch before the current ones.

    $$ s_t = \mathrm{update}\bigl(\mathrm{update}(\mathrm{reset}(s_{t-1}),\, θ_{t-1}, f_t),\, θ_t, f_t\bigr),\quad
       d_t = \mathrm{apply}(s_t, u_t) $$

    A quasi-Newton method compares gradients at two points; with mini-batches the two are of different functions, and
    this makes them of one, at the price of a second evaluation. Place it first: at the previous parameters the module
    gets the gradient, not what modules before this one would have made of it.

    Args:
        module: module or sequence of modules whose state compares one evaluation with the next.

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Online(tz.m.LastGradDifference())
    >>> p = torch.tensor([1.0])
    >>> state = opt.init(p)
    >>> state, _ = opt.step(state, tz.Var(p, objective=lambda x: (x**2).sum()))
    >>> opt.step(state, tz.Var(p + 1, objective=lambda x: (5 * x**2).sum()))[1].update
    tensor([10.])

    Reference: Schraudolph, Yu & Günter 2007, A stochastic quasi-Newton method for online convex optimization.
    """

    needs = frozenset({"objective"})

    module: Module = child()

    def init(self, params: Tree) -> OnlineState:
        return OnlineState(tree.counter(params), params, self.init_children(params))

    def update(self, state: OnlineState, var: Var) -> OnlineState:
        there = var.replace(params=state.before, objective=var.need_objective(self), update=None)

        def again(own: Any) -> Any:
            return self.module.update(self.module.reset_for_online(own), there)

        own = cond(state.t > 0, again, lambda own: own, state.children["module"])
        return OnlineState(state.t + 1, var.params, {"module": self.module.update(own, var)})

    def apply(self, state: OnlineState, var: Var) -> Var:
        return self.module.apply(state.children["module"], var).replace(stop=var.stop)
