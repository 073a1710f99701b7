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
    S: tuple[Tensor, ...]  # m of (n,)  steps, the newest last
    Y: tuple[Tensor, ...]  # m of (n,)  changes of the update
    sy: Tensor  # (m,)     sᵀy of each pair


class LimitedMemory(VectorTransform):
    """The last few pairs, each vector by itself, so that a new pair costs no copy of the others."""

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
    def accepts(self, sy: Tensor, yy: Tensor) -> Tensor:
        """Whether to keep a pair with these products sᵀy and yᵀy: 0-d bool."""

    def init_vector(self, x: Tensor) -> LimitedMemoryState:
        x = torch.zeros_like(x, dtype=at_least_single(x.dtype))
        m = int(self.history_size)
        none, no = (
            torch.zeros((), dtype=torch.int64, device=x.device),
            torch.zeros((), dtype=torch.bool, device=x.device),
        )
        # not one tensor many times: compiled code counts on what is the same to stay so
        S, Y = (tuple(torch.zeros_like(x) for _ in range(m)) for _ in "SY")
        return LimitedMemoryState(none, no, none, x.new_ones(()), x, x, S, Y, x.new_zeros(m))

    def _damped(self, state: LimitedMemoryState, s: Tensor, y: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        if self.damping is None:
            return s, y
        damp = DAMPING[self.damping] if isinstance(self.damping, str) else self.damping
        # Before the first pair nothing is known of the scale but what this pair says.
        ok, sy = above(s @ y)
        first = torch.where(ok, y @ y / sy, 1.0)
        return damp(s, y, u, self.model(state._replace(scale=torch.where(state.kept == 0, first, state.scale))))

    def _learned(self, state: LimitedMemoryState, s: Tensor, y: Tensor, u: Tensor) -> LimitedMemoryState:
        """The state with a new pair, if that can be kept."""
        s, y = self._damped(state, s, y, u)
        sy, yy = s @ y, y @ y
        ok, curvature = above(sy)
        # an element of s or y that is not finite makes one of these so
        keep = self.accepts(sy, yy) & torch.isfinite(sy) & torch.isfinite(yy)
        return cond(
            keep,
            lambda: state._replace(
                kept=(state.kept + 1).clamp_max(len(state.S)),
                scale=torch.where(ok, yy / curvature, state.scale),
                S=(*state.S[1:], s),
                Y=(*state.Y[1:], y),
                sy=torch.cat([state.sy[1:], sy.unsqueeze(-1)]),
            ),
            lambda: state,
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

        new = cond(learn, lambda: self._learned(state, s, y, u), lambda: state)
        moved = learn | restart | (due & ~state.known)
        x, u = cond(moved, lambda: (x, u), lambda: (state.x, state.u))
        return new._replace(
            calls=state.calls + (state.known | (state.calls == 0)),
            known=torch.ones_like(state.known),
            kept=torch.where(restart, 0, new.kept),
            scale=torch.where(restart, 1.0, new.scale),
            x=x,
            u=u,
        )

    def _scaled_first(self, state: LimitedMemoryState, u: Tensor) -> Tensor:
        """u, no longer than 1 in the 1-norm while nothing is known of the curvature."""
        return cond(state.kept == 0, lambda: first_step_size(u) * u, lambda: u) if self.scale_first else u

    def apply_vector(self, state: LimitedMemoryState, u: Tensor, at: AtVector) -> Tensor:
        return self.model(state).solve(self._scaled_first(state, u.to(state.u.dtype)))

    def operator_vector(self, state: LimitedMemoryState) -> Operator:
        return self.model(state)

    def reset_tree(self, state: LimitedMemoryState) -> LimitedMemoryState:
        return state._replace(known=torch.zeros_like(state.known))
