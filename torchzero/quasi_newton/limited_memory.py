"""LimitedMemory: what methods share that keep the last few pairs in place of a matrix."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, nonnegative, static
from torchzero.core.module import Module
from torchzero.core.vector import AtVector, VectorTransform
from torchzero.linalg.operators import Operator
from torchzero.quasi_newton.base import above, at_least_single, first_step_size, largest
from torchzero.quasi_newton.double_damping import double_damping
from torchzero.quasi_newton.powell_damping import powell_damping

Damping = Callable[[Tensor, Tensor, Tensor, Operator], tuple[Tensor, Tensor]]

DAMPING: dict[str, Damping] = {"powell": powell_damping, "double": double_damping}


class LimitedMemoryState(NamedTuple):
    """State of n parameters with a history of m pairs."""

    calls: Tensor  # ()    updates seen
    known: Tensor  # ()    whether x and u belong to an update before
    kept: Tensor  # ()     pairs in use, the last rows of S and Y
    scale: Tensor  # ()    curvature of the newest pair, yᵀy/sᵀy; 1 before the first
    x: Tensor  # (n,)      parameters at the end of the newest step
    u: Tensor  # (n,)      update there
    S: Tensor  # (m, n)    steps, the newest last
    Y: Tensor  # (m, n)    changes of the update
    SS: Tensor  # (m, m)   SSᵀ
    SY: Tensor  # (m, m)   SYᵀ
    YY: Tensor  # (m, m)   YYᵀ


def pushed(rows: Tensor, row: Tensor) -> Tensor:
    """The rows without the first, and a new one at the end."""
    return torch.cat([rows[1:], row.unsqueeze(0)])


def bordered(products: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """A table of inner products (m, m) without the oldest, with those of the newest: (m,) each."""
    return torch.cat([torch.cat([products[1:, 1:], column[:-1].unsqueeze(-1)], -1), row.unsqueeze(0)])


class LimitedMemory(VectorTransform):
    """The last few pairs, in a buffer of fixed size."""

    needs = frozenset({"params", "true_gradient"})

    history_size: int = static(10, low=1, integer=True)
    ptol: Hyper = nonnegative(None, optional=True)
    ptol_restart: bool = static(False)
    gtol: Hyper = nonnegative(None, optional=True)
    gtol_restart: bool = static(False)
    scale_first: bool = static(False)
    update_freq: Hyper = integer(1, 1)
    damping: Any = static(None)
    inner: Module | None = child(None)

    def _set(self, **values: Any) -> None:
        """Write fields and check them."""
        for name, value in values.items():
            self._write(name, value)
        self._validate()

    def _validate(self) -> None:
        super()._validate()
        d = self.damping
        if not (d is None or callable(d) or (isinstance(d, str) and d in DAMPING)):
            raise ValueError(
                f"{type(self).__name__}(damping={d!r}): must be one of {', '.join(map(repr, DAMPING))}, a function "
                "(s, y, g, H) -> (s, y), or None"
            )

    @abc.abstractmethod
    def model(self, state: LimitedMemoryState) -> Operator:
        """The Hessian that the pairs make."""

    @abc.abstractmethod
    def accepts(self, s: Tensor, y: Tensor) -> Tensor:
        """Whether to keep a pair: 0-d bool."""

    def init_vector(self, x: Tensor) -> LimitedMemoryState:
        x = torch.zeros_like(x, dtype=at_least_single(x.dtype))
        m, n = int(self.history_size), x.numel()
        none, no = (
            torch.zeros((), dtype=torch.int64, device=x.device),
            torch.zeros((), dtype=torch.bool, device=x.device),
        )
        rows, table = x.new_zeros(m, n), x.new_zeros(m, m)
        return LimitedMemoryState(none, no, none, x.new_ones(()), x, x, rows, rows, table, table, table)

    def _damped(self, state: LimitedMemoryState, s: Tensor, y: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        if self.damping is None:
            return s, y
        damp = DAMPING[self.damping] if isinstance(self.damping, str) else self.damping
        # Before the first pair nothing is known of the scale but what this pair says.
        ok, sy = above(s @ y)
        first = torch.where(ok, y @ y / sy, 1.0)
        return damp(s, y, u, self.model(state._replace(scale=torch.where(state.kept == 0, first, state.scale))))

    def _kept(self, state: LimitedMemoryState, s: Tensor, y: Tensor) -> LimitedMemoryState:
        m = state.S.shape[-2]
        S, Y = pushed(state.S, s), pushed(state.Y, y)
        Ss, Sy, Ys, Yy = S @ s, S @ y, Y @ s, Y @ y
        ok, sy = above(s @ y)
        return state._replace(
            kept=(state.kept + 1).clamp_max(m),
            scale=torch.where(ok, y @ y / sy, state.scale),
            S=S,
            Y=Y,
            SS=bordered(state.SS, Ss, Ss),
            SY=bordered(state.SY, Ys, Sy),
            YY=bordered(state.YY, Yy, Yy),
        )

    def update_vector(self, state: LimitedMemoryState, u: Tensor, at: AtVector) -> LimitedMemoryState:
        x, u = at.x.to(state.x.dtype), u.to(state.u.dtype)
        s, y = x - state.x, u - state.u
        due = ~state.known | (state.calls % self.update_freq == 0)
        paired = state.known & due
        near = torch.zeros_like(paired) if self.ptol is None else paired & (largest(s) <= self.ptol)
        flat = torch.zeros_like(paired) if self.gtol is None else paired & (largest(y) <= self.gtol)
        learn = paired & ~near & ~flat
        restart = torch.zeros_like(paired)
        if self.ptol_restart:
            restart = restart | near
        if self.gtol_restart:
            restart = restart | (flat & ~near)

        # Only these depend on whether the pair is learned, so only these are worth branching for.
        def learned() -> LimitedMemoryState:
            a, b = self._damped(state, s, y, u)
            keep = self.accepts(a, b) & torch.isfinite(a).all() & torch.isfinite(b).all()
            return cond(keep, lambda: self._kept(state, a, b), lambda: state)

        new = cond(learn, learned, lambda: state)
        moved = learn | restart | (due & ~state.known)
        return new._replace(
            calls=state.calls + (state.known | (state.calls == 0)),
            known=torch.ones_like(state.known),
            kept=torch.where(restart, 0, new.kept),
            scale=torch.where(restart, 1.0, new.scale),
            x=torch.where(moved, x, state.x),
            u=torch.where(moved, u, state.u),
        )

    def _scaled_first(self, state: LimitedMemoryState, u: Tensor) -> Tensor:
        """u, no longer than 1 in the 1-norm while nothing is known of the curvature."""
        return torch.where(state.kept == 0, first_step_size(u) * u, u) if self.scale_first else u

    def apply_vector(self, state: LimitedMemoryState, u: Tensor, at: AtVector) -> Tensor:
        return self.model(state).solve(self._scaled_first(state, u.to(state.u.dtype)))

    def operator_vector(self, state: LimitedMemoryState) -> Operator:
        return self.model(state)

    def reset_tree(self, state: LimitedMemoryState) -> LimitedMemoryState:
        return state._replace(known=torch.zeros_like(state.known))
