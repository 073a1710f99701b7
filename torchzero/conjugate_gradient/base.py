"""The loop that all conjugate gradient methods share."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import child, static
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b; 0, with a zero derivative, where |b| is at most twice the smallest normal number."""
    none = b.abs() <= 2 * torch.finfo(b.dtype).tiny
    return torch.where(none, torch.zeros_like(a), a / torch.where(none, torch.ones_like(b), b))


class ConjugateState(NamedTuple):
    """State of a conjugate gradient method."""

    t: Tensor  # ()           directions made
    known: Tensor  # () bool  whether g is of the same objective as what comes in
    g: Tree  # like params    what came in at the latest update
    d: Tree  # like params    the direction made of it
    inner: Any  # state of the inner module, () without one


class ConguateGradientBase(Module):
    r"""What conjugate gradient methods share; the name is spelt as it has always been.

    $$ d_t = u_t + β_t\, d_{t-1},\quad β_t = β(u_t, u_{t-1}, d_{t-1}), $$

    and $d_t = u_t$ at the first step, at every restart, and where β is not finite. Directions are subtracted, so d has
    the sign of the gradient: textbooks' direction is -d, and a formula that is odd in it changes sign. The dot products
    are over all parameters together.

    To write a method, subclass and give `beta(u, g, d)`, with `u` the direction that comes in, `g` the one that came in
    a step earlier and `d` the direction made then; `dot` and `ratio` are at hand.

    Args:
        restart_interval: start afresh from the direction that comes in after so many steps: a whole number of at least
            1, "auto" for one more than the number of elements of all parameters, None for never.
        clip_beta: use max(0, β).
        inner: a module or a sequence of modules, applied to the direction before everything else: a preconditioner.

    Raises:
        ValueError: for a restart interval that is none.

    After `reset_for_online` the first update only renews the gradient that the next one is compared with.

    >>> import torch, torchzero as tz
    >>> class Momentum(tz.m.ConguateGradientBase):
    ...     def beta(self, u, g, d):
    ...         return tz.tree.scalar(u, 0.5)
    >>> cg, p = Momentum(), torch.zeros(1)
    >>> state, _ = cg.step(cg.init(p), tz.Var(p, grad=torch.tensor([4.0])))
    >>> cg.step(state, tz.Var(p, grad=torch.tensor([1.0])))[1].update
    tensor([3.])

    Reference: Nocedal & Wright 2006, Numerical Optimization, section 5.2; Hager & Zhang 2006, A survey of nonlinear
    conjugate gradient methods.
    """

    locality = "global"
    whole = True

    restart_interval: int | str | None = static("auto", optional=True)
    clip_beta: bool = static(default=False)
    inner: Module | None = child(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_interval(self, self.restart_interval)

    def beta(self, u: Tree, g: Tree, d: Tree) -> Tensor:
        """β from what comes in, what came in a step earlier, and the direction made then: 0-d."""
        raise TypeError(f"{type(self).__name__} must implement beta(u, g, d)")

    def init(self, params: Tree) -> ConjugateState:
        zeros, no = tree.zeros_like(params), torch.zeros((), dtype=torch.bool, device=tree.reference(params).device)
        return ConjugateState(
            tree.counter(params), no, zeros, zeros, () if self.inner is None else self.inner.init(params)
        )

    def step(self, state: ConjugateState, var: Var) -> tuple[ConjugateState, Var]:
        inner, out = ((), var) if self.inner is None else self.inner.step(state.inner, var)
        u = out.update
        b = self.beta(u, state.g, state.d)
        b = b.clamp_min(0) if self.clip_beta else b
        every: Any = tree.count(u) + 1 if self.restart_interval == "auto" else self.restart_interval
        first = state.t == 0 if every is None else state.t % every == 0
        plain = first | ~torch.isfinite(b)
        b = torch.where(plain, torch.zeros_like(b), b)
        d = tree.cast_like(tree.map(lambda x, old: torch.where(plain, x, x + b * old), u, state.d), state.d)
        renew = ~state.known & (state.t > 0)  # the first update after reset_for_online
        new = ConjugateState(
            torch.where(renew, state.t, state.t + 1),
            torch.ones_like(state.known),
            tree.cast_like(u, state.g),
            tree.where(renew, state.d, d),
            inner,
        )
        return new, self._emit(new, out, var)

    def update(self, state: ConjugateState, var: Var) -> ConjugateState:
        return self.step(state, var)[0]

    def apply(self, state: ConjugateState, var: Var) -> Var:
        return self._emit(state, var if self.inner is None else self.inner.apply(state.inner, var), var)

    def _emit(self, state: ConjugateState, out: Var, var: Var) -> Var:
        return out.replace(update=tree.cast_like(state.d, var.params), stop=var.stop)

    def child_state(self, state: ConjugateState, name: str) -> Any:
        return state.inner

    def reset_for_online(self, state: ConjugateState) -> ConjugateState:
        inner = state.inner if self.inner is None else self.inner.reset_for_online(state.inner)
        return state._replace(known=torch.zeros_like(state.known), inner=inner)


def check_interval(module: Module, value: Any) -> None:
    """Refuse a restart interval that is neither a whole number of at least 1, nor "auto", nor None."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not (whole or value is None or value == "auto"):
        raise ValueError(
            f"{type(module).__name__}(restart_interval={value!r}): must be a whole number of at least 1, "
            '"auto" (one more than there are elements), or None (never)'
        )
