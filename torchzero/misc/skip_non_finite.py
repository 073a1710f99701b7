"""SkipNonFinite: a step with NaN or infinity in it does not happen."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core import var as var_
from torchzero.core.chain import Chainable
from torchzero.core.control import concrete
from torchzero.core.hyper import child, static
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import Parent, either


class SkipNonFiniteState(NamedTuple):
    """State of SkipNonFinite."""

    ok: Tensor  # ()  bool: whether the latest step was finite
    consecutive: Tensor  # ()  int64, skips since the latest finite step
    total: Tensor  # ()  int64, skips so far
    children: dict[str, Any]  # state of the inner optimizer


def _no_nan(state: Any, like: Tensor) -> Tensor:
    """Whether no element is NaN: 0-d bool. Infinity is a value that states may have: the lowest loss before any."""
    clean = torch.ones_like(like)
    for x in tree.leaves(state):
        if x.is_floating_point() or x.is_complex():
            clean = torch.logical_and(clean, torch.logical_not(torch.isnan(x).any()))
    return clean


class SkipNonFinite(Parent):
    r"""Skip a step whose update, before or after the inner optimizer, has an element that is NaN or infinite.

    $$ (s_t, d_t) = \begin{cases} (s', d') = \mathrm{module}(s_{t-1}, u_t) & u_t, d', s' \text{ finite} \\
       (s_{t-1}, 0) & \text{otherwise} \end{cases} $$

    In a skipped step the state of the inner optimizer and the parameters stay as they are, and the modules after this
    one do not run. The modules before this one do, so wrap the whole optimizer. States may hold infinities, but no NaN.

    Args:
        module: the inner optimizer: a module or a sequence of modules.
        max_consecutive: ask to end the work after so many skips in a row, at least 1; never if None.

    Raises:
        ValueError: for `max_consecutive` below 1.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.SkipNonFinite([tz.m.Adam(), tz.m.LR(0.5)])
    >>> p = torch.tensor([1.0])
    >>> p, state = opt(p, opt.init(p), grad=torch.tensor([float("nan")]))
    >>> p, state.total.item(), opt(p, state, grad=torch.tensor([2.0]))[0]
    (tensor([1.]), 1, tensor([0.5000]))

    Reference: as optax.apply_if_finite, https://optax.readthedocs.io/en/latest/api/transformations.html
    """

    module: Module = child()
    max_consecutive: int | None = static(default=None, low=1, integer=True)

    def __init__(self, module: Chainable, max_consecutive: int | None = None) -> None:
        self._write("module", module)
        self._write("max_consecutive", max_consecutive)
        self._validate()

    def init(self, params: Tree) -> SkipNonFiniteState:
        zero = tree.counter(params)
        return SkipNonFiniteState(zero == 0, zero, zero, self.init_children(params))

    def _given(self, var: Var, ok: Tensor) -> Var:
        """What the inner optimizer sees: where nothing is decided yet, a bad update is replaced by zeros."""
        if concrete(ok):
            return var.replace(stop=False)
        changes = {"update": tree.where(ok, var.update, tree.zeros_like(var.update))}
        if var.has_grad:
            changes["grad"] = tree.where(ok, var.grad, tree.zeros_like(var.grad))
        return var.replace(stop=False, **changes)

    def _emit(self, state: SkipNonFiniteState, var: Var, out: Var | None) -> Var:
        decided = concrete(state.ok) if out is not None else False
        if decided and out is not None:
            made = out.replace(stop=var.stop)
        else:
            made = var.replace(update=tree.zeros_like(var.update), stop=True, skip_update=True)
            if decided is None and out is not None:
                made = var_.where(state.ok, out.replace(stop=var.stop), made)
        if self.max_consecutive is None:
            return made
        enough = state.consecutive >= self.max_consecutive
        return made.replace(should_terminate=either(made.should_terminate, enough))

    def _count(self, state: SkipNonFiniteState, ok: Tensor, own: Any) -> SkipNonFiniteState:
        bad = torch.logical_not(ok).to(torch.int64)
        return SkipNonFiniteState(ok, (state.consecutive + 1) * bad, state.total + bad, {"module": own})

    def step(self, state: SkipNonFiniteState, var: Var) -> tuple[SkipNonFiniteState, Var]:
        own, finite = state.children["module"], tree.all_finite(var.update)
        if concrete(finite) is False:
            state = self._count(state, finite, own)
            return state, self._emit(state, var, None)
        after, out = self.module.step(own, self._given(var, finite))
        ok = torch.logical_and(torch.logical_and(finite, tree.all_finite(out.update)), _no_nan(after, finite))
        decided = concrete(ok)
        state = self._count(state, ok, tree.where(ok if decided is None else decided, after, own))
        return state, self._emit(state, var, out)

    def update(self, state: SkipNonFiniteState, var: Var) -> SkipNonFiniteState:
        return self.step(state, var)[0]

    def apply(self, state: SkipNonFiniteState, var: Var) -> Var:
        if concrete(state.ok) is False:
            return self._emit(state, var, None)
        given = self._given(var, tree.all_finite(var.update))
        return self._emit(state, var, self.module.apply(state.children["module"], given))
