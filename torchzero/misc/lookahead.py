"""Lookahead: slow weights that follow fast ones."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, child, integer, within
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import Parent, both, either


class LookaheadState(NamedTuple):
    """State of Lookahead."""

    t: Tensor  # ()           updates absorbed
    slow: Tree  # like params  the slow weights, where this round of fast steps began
    children: dict[str, Any]  # state of the inner optimizer


class Lookahead(Parent):
    r"""Take k steps with an optimizer, then go back a part of the way.

    $$ φ_{\text{new}} = φ + α (θ_k - φ),\quad θ \leftarrow φ_{\text{new}} \quad
       \text{after every k fast steps}\ φ \to θ_1 \to … \to θ_k $$

    So at every k-th step $d = α u + (1-α)(θ - φ)$, and at the others $d = u$. Wrap the whole optimizer, with its
    learning rate. The parameters to evaluate a model at, by `eval_params`, are the slow ones.

    Args:
        module: the inner optimizer: a module or a sequence of modules.
        k: fast steps in a round, at least 1.
        alpha: α in [0, 1], the slow weights' step; 1 is the inner optimizer.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Lookahead(tz.m.LR(1.0), k=2, alpha=0.5)
    >>> p, state = torch.tensor(0.0), None
    >>> state = opt.init(p)
    >>> for _ in range(3):
    ...     p, state = opt(p, state, grad=torch.tensor(-1.0))
    ...     print(p.item(), opt.eval_params(state, p).item())
    1.0 0.0
    1.0 1.0
    2.0 1.0

    Reference: Zhang, Lucas, Hinton & Ba 2019, algorithm 1, https://arxiv.org/abs/1907.08610
    """

    locality = "elementwise"
    needs = frozenset({"params"})

    module: Module = child()
    k: Hyper = integer(1, default=5)
    alpha: Hyper = within(0, 1, default=0.5, closed_high=True)

    def __init__(self, module: Chainable, k: Hyper = 5, alpha: Hyper = 0.5) -> None:
        self._write("module", module)
        self._write("k", k)
        self._write("alpha", alpha)
        self._validate()

    def init(self, params: Tree) -> LookaheadState:
        return LookaheadState(tree.counter(params), params, self.init_children(params))

    def _absorb(self, state: LookaheadState, var: Var, own: Any) -> LookaheadState:
        slow = tree.zipmap(lambda p, s, k: torch.where(state.t % k == 0, p, s), var.params, state.slow, self.k)
        return LookaheadState(state.t + 1, slow, {"module": own})

    def _emit(self, state: LookaheadState, var: Var, out: Var) -> Var:
        def back(x: Tensor, p: Tensor, slow: Tensor, k: Any, alpha: Any) -> Tensor:
            return torch.where(state.t % k == 0, tree.cast(alpha * x + (1 - alpha) * (p - slow), x), x)

        u, skip = out.update, out.skip_update
        if skip is not False:  # the way back is gone also where the inner optimizer stays
            u = tree.where(skip, tree.zeros_like(u), u)
            for k in tree.spread(self.k, u):
                skip = both(skip, state.t % k != 0)
        u = tree.zipmap(back, u, var.params, state.slow, self.k, self.alpha)
        return out.replace(update=u, skip_update=either(var.skip_update, skip), stop=var.stop)

    def update(self, state: LookaheadState, var: Var) -> LookaheadState:
        given = var.replace(skip_update=False)
        return self._absorb(state, var, self.module.update(state.children["module"], given))

    def apply(self, state: LookaheadState, var: Var) -> Var:
        given = var.replace(skip_update=False)
        return self._emit(state, var, self.module.apply(state.children["module"], given))

    def step(self, state: LookaheadState, var: Var) -> tuple[LookaheadState, Var]:
        own, out = self.module.step(state.children["module"], var.replace(skip_update=False))
        state = self._absorb(state, var, own)
        return state, self._emit(state, var, out)

    def eval_params(self, state: LookaheadState, params: Tree) -> Tree:
        return tree.zipmap(lambda p, s, k: torch.where(state.t % k == 0, p, s), params, state.slow, self.k)
