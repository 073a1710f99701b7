"""HessianUpdateStrategy: what all quasi-Newton methods share, whatever their formula."""

from typing import Any, ClassVar, NamedTuple

import optree
import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chainable
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, is_number, nonnegative, positive, static, within
from torchzero.core.module import Locality, Module
from torchzero.core.safe import safe_norm
from torchzero.core.vector import AtVector, VectorTransform
from torchzero.linalg.operators import BlockDiagonal, Dense, DenseInverse, Diagonal, Operator


class Pair(NamedTuple):
    """A step and what it did to the gradient."""

    s: Tensor  # (n,) change of the parameters
    y: Tensor  # (n,) change of the update that comes in
    u_prev: Tensor  # (n,) the update at the start of the step
    df: Any  # () change of the loss; () unless the class needs "value"


class HessianUpdateState(NamedTuple):
    """State of one vector of n elements."""

    calls: Tensor  # ()   updates seen
    t: Tensor  # ()       updates absorbed: the first, and one for each pair
    known: Tensor  # ()   whether x, u and f belong to the update before
    scaled: Tensor  # ()  whether P has its initial scale
    x: Tensor  # (n,)     parameters when last absorbed
    u: Tensor  # (n,)     update when last absorbed
    f: Any  # ()          loss when last absorbed; () unless the class needs "value"
    P: Tensor  # (n, n)   the model of the inverse Hessian, or of the Hessian; (n,) when diagonal
    R: Any  # (n, n)      a second matrix; () unless the class has one


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """The dtype that models of curvature are kept in: float32 or wider."""
    return torch.promote_types(dtype, torch.float32)


def tiny(x: Tensor) -> float:
    """What counts as zero in a denominator."""
    return 2 * torch.finfo(x.dtype).tiny


def above(x: Tensor, limit: Any = 0.0) -> tuple[Tensor, Tensor]:
    """Whether x exceeds `limit` and zero, and x where it does, else 1: a denominator."""
    ok = (x > limit) & (x > tiny(x))
    return ok, torch.where(ok, x, torch.ones_like(x))


def away(x: Tensor, limit: Any = 0.0) -> tuple[Tensor, Tensor]:
    """The same for the size of x."""
    ok = (x.abs() > limit) & (x.abs() > tiny(x))
    return ok, torch.where(ok, x, torch.ones_like(x))


def sr1_denominator(z: Tensor, a: Tensor, b: Tensor, tol: Any) -> tuple[Tensor, Tensor]:
    """zᵀb as a denominator for z = a - Pb: where it exceeds tol ‖z‖‖b‖, and what rounding makes of zero.

    The second test is not in the textbooks; it is what keeps out a pair that P met before. For SR1 with its initial
    scale that is the first one.
    """
    length = safe_norm(b)
    noise = 16 * torch.finfo(z.dtype).eps * length * safe_norm(a)
    return away(z @ b, torch.maximum(tol * length * safe_norm(z), noise))


def outer(a: Tensor, b: Tensor) -> Tensor:
    """abᵀ: (n, n)."""
    return a.unsqueeze(-1) * b


def largest(x: Tensor) -> Tensor:
    """The size of the largest element, 0 if there is none: ()."""
    return torch.maximum(x.amax(), -x.amin()) if x.numel() else x.sum()


def first_step_size(u: Tensor) -> Tensor:
    """How long a first step along u should be, when nothing is known of the curvature: 1/‖u‖₁, at most 1.

    Reference: torch.optim.LBFGS, whose first step has this size.
    """
    size, top = u.abs().sum(), largest(u)
    some = top > torch.finfo(u.dtype).eps
    length = torch.maximum(1 / torch.where(some, size, 1.0), 1e-7 / torch.where(some, top, 1.0))
    return torch.where(some, length.clamp_max(1), 1.0)


def solve_regular(B: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """B⁻¹u by LU, and whether B is regular: no pivot smaller than what rounding makes of zero."""
    if not len(B):
        return u, torch.ones((), dtype=torch.bool, device=u.device)
    factors, rows, _ = torch.linalg.lu_factor_ex(B)
    good = factors.diagonal().abs().amin() > 16 * len(B) * torch.finfo(B.dtype).eps * largest(B)
    return torch.linalg.lu_solve(factors, rows, u.unsqueeze(-1)).squeeze(-1), good


class HessianUpdateStrategy(VectorTransform):
    r"""Learn a model of the Hessian B, or of its inverse H, from pairs of steps, and multiply by the inverse.

    $$ s = θ_t - θ_{t-1},\quad y = u_t - u_{t-1},\quad d_t = H_t u_t \ \text{or}\ B_t^{-1} u_t $$

    A subclass gives `update_inverse(H, s, y, pair)`, `update_direct(B, s, y, pair)` or both, each returning the new
    matrix and whether it is to be used, a 0-d bool. It must be finite also where it is not to be used.

    Everything else is here. In the first step H = I. A pair is passed over if no element of s exceeds `ptol`, or none
    of y exceeds `gtol`. Before the first pair with sᵀy > 0 is used, I is multiplied by sᵀy/yᵀy, the inverse of the
    curvature along y. A new matrix that is not finite is not used. Where B is singular up to rounding, the
    direction is that of a first step with `scale_first`.

    Args:
        init_scale: H₀ is I divided by this and B₀ is I times this; "auto" for the rule above.
        tol: a pair whose denominator is not larger is not used, ≥ 0.
        ptol: ≥ 0, in units of the parameters.
        ptol_restart: forget everything learned when a step is shorter than that.
        gtol: ≥ 0, in units of the update.
        restart_interval: forget everything learned once in so many updates, whole and ≥ 1; "auto" for n + 1.
        beta: β in [0, 1): use βP + (1-β)P' in place of the new matrix P'.
        update_freq: absorb only one update in so many, whole and ≥ 1; s and y span all of them.
        scale_first: make the first step no longer than 1/‖u‖₁ times u.
        concat_params: one matrix over all parameters; else one for each tensor.
        inner: module that makes the direction which is multiplied; y is of the update that comes in.

    Raises:
        ValueError: for a number outside its range, and if the formula is not one of H when `inverse`, or of B when not.

    >>> import torch, torchzero as tz
    >>> class SteepestDescent(tz.m.HessianUpdateStrategy):
    ...     def update_inverse(self, H, s, y, pair):
    ...         return H, torch.ones((), dtype=torch.bool)
    >>> opt, x = SteepestDescent(), torch.tensor([4.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Nocedal & Wright 2006, Numerical optimization, chapter 6; the initial scale on page 143.
    """

    needs = frozenset({"params", "true_gradient"})
    sides: ClassVar[tuple[bool, ...]] = (True, False)  # values of `inverse` that the formula has
    is_diagonal: ClassVar[bool] = False
    uses_loss: ClassVar[bool] = False

    init_scale: Hyper = positive(None, optional=True)
    tol: Hyper = nonnegative(1e-32)
    ptol: Hyper = nonnegative(1e-32)
    ptol_restart: bool = static(False)
    gtol: Hyper = nonnegative(1e-32)
    restart_interval: Any = static(None)
    beta: Hyper = within(0, 1, default=None)
    update_freq: Hyper = integer(1, 1)
    scale_first: bool = static(False)
    concat_params: bool = static(True)
    inverse: bool = static(True)
    inner: Module | None = child(None)

    def __init__(
        self,
        init_scale: Any = "auto",
        tol: Hyper = 1e-32,
        ptol: Hyper = 1e-32,
        ptol_restart: bool = False,
        gtol: Hyper = 1e-32,
        restart_interval: Any = None,
        beta: Hyper = None,
        update_freq: Hyper = 1,
        scale_first: bool = False,
        concat_params: bool = True,
        inverse: bool = True,
        inner: Chainable | None = None,
    ) -> None:
        self._set(
            init_scale=init_scale,
            tol=tol,
            ptol=ptol,
            ptol_restart=ptol_restart,
            gtol=gtol,
            restart_interval=restart_interval,
            beta=beta,
            update_freq=update_freq,
            scale_first=scale_first,
            concat_params=concat_params,
            inverse=inverse,
            inner=inner,
        )

    def _set(self, **values: Any) -> None:
        """Write fields and check them."""
        for name, value in values.items():
            self._write(name, None if name == "init_scale" and isinstance(value, str) and value == "auto" else value)
        self._validate()

    def _validate(self) -> None:
        super()._validate()
        owner, interval = type(self).__name__, self.restart_interval
        if interval not in (None, "auto") and not (is_number(interval) and interval >= 1 and interval == int(interval)):
            raise ValueError(
                f"{owner}(restart_interval={interval!r}): must be an integer in [1, inf), 'auto' for one more than the "
                "number of parameters, or None"
            )
        if self.inverse not in self.sides:
            kept = "the inverse of the Hessian" if self.sides[0] else "the Hessian"
            raise ValueError(
                f"{owner}(inverse={self.inverse!r}): this formula is one of {kept}; give inverse={self.sides[0]}, "
                "its operator can be shifted and solved all the same"
            )

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "global" if self.concat_params else "tensor"

    @property
    def whole(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.concat_params

    # ------------------------------------------------------------------ what a formula gives

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        """The new inverse, and whether to use it."""
        raise TypeError(f"{type(self).__name__} must implement update_inverse(H, s, y, pair)")

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        """The new model of the Hessian, and whether to use it."""
        raise TypeError(f"{type(self).__name__} must implement update_direct(B, s, y, pair)")

    def update_both(self, P: Tensor, R: Any, pair: Pair) -> tuple[Tensor, Any, Tensor]:
        """The new P and R, and whether to use them: what a class with a second matrix gives instead."""
        update = self.update_inverse if self.inverse else self.update_direct
        P, ok = update(P, pair.s, pair.y, pair)
        return P, R, ok

    def second(self, P: Tensor) -> Any:
        """The second matrix that belongs to a multiple P of the identity; () if there is none."""
        return ()

    def second_rescaled(self, R: Any, curvature: Tensor) -> Any:
        """The second matrix when the first has been given an initial scale: B times the curvature."""
        return R

    def second_mixed(self, P: Tensor, R: Any) -> Any:
        """The second matrix when the first has been mixed with the old one."""
        return R

    def begun_again(self, state: HessianUpdateState, P: Tensor) -> tuple[Tensor, Any]:
        """P and R after a restart; P is a multiple of the identity."""
        return P, self.second(P)

    def used(self, P: Tensor) -> Tensor:
        """The matrix that the direction is made with."""
        return P

    # ------------------------------------------------------------------ the loop

    def _identity(self, x: Tensor) -> Tensor:
        return torch.ones_like(x) if self.is_diagonal else torch.eye(x.numel(), dtype=x.dtype, device=x.device)

    def _times(self, P: Tensor, curvature: Any) -> Tensor:
        return P / curvature if self.inverse else P * curvature

    def _start(self, x: Tensor) -> Tensor:
        P = self._identity(x)
        return P if self.init_scale is None else self._times(P, self.init_scale)

    def _first_scale(self, scaled: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        """The curvature to multiply B by, 1 if it has its scale already, and whether it now has one."""
        sy_ok, sy = above(pair.s @ pair.y)
        yy_ok, yy = above(pair.y @ pair.y)
        now = ~scaled & sy_ok & yy_ok
        return torch.where(now, yy / sy, 1.0), scaled | now

    def init_vector(self, x: Tensor) -> HessianUpdateState:
        x = x.to(at_least_single(x.dtype))
        zero, no = torch.zeros_like(x), torch.zeros((), dtype=torch.bool, device=x.device)
        count = torch.zeros((), dtype=torch.int64, device=x.device)
        f = torch.zeros((), dtype=x.dtype, device=x.device) if self.uses_loss else ()
        P = self._start(x)
        return HessianUpdateState(
            count, count, no, no | (self.init_scale is not None), zero, zero, f, P, self.second(P)
        )

    def _learned(self, state: HessianUpdateState, pair: Pair) -> tuple[Tensor, Any, Tensor]:
        P, R, scaled = state.P, state.R, state.scaled
        if self.init_scale is None:
            curvature, scaled = self._first_scale(scaled, pair)
            P, R = self._times(P, curvature), self.second_rescaled(R, curvature)
        new, second, ok = self.update_both(P, R, pair)
        if self.beta is not None:
            new = self.beta * P + (1 - self.beta) * new
            second = self.second_mixed(new, second)
        ok = ok & torch.isfinite(new).all()
        return *cond(ok, lambda: (new, second), lambda: (P, R)), scaled

    def update_vector(self, state: HessianUpdateState, u: Tensor, at: AtVector) -> HessianUpdateState:
        x, u = at.x.to(state.x.dtype), u.to(state.u.dtype)
        f: Any = at.loss.to(x.dtype) if self.uses_loss and at.loss is not None else ()
        s, y = x - state.x, u - state.u
        due = ~state.known | (state.calls % self.update_freq == 0)
        paired = state.known & due
        restart, learn = torch.zeros_like(paired), paired
        if self.restart_interval is not None:
            interval = x.numel() + 1 if self.restart_interval == "auto" else int(self.restart_interval)
            restart = paired & ((state.t + 1) % interval == 0)
            learn = paired & ~restart
        near = learn & (largest(s) <= self.ptol)
        if self.ptol_restart:
            restart = restart | near
        learn = learn & ~near & ~(largest(y) <= self.gtol)
        pair = Pair(s, y, state.u, f - state.f if self.uses_loss else ())

        P, R, scaled = cond(learn, lambda: self._learned(state, pair), lambda: (state.P, state.R, state.scaled))
        if self.restart_interval is not None or self.ptol_restart:
            fresh, fresh_scaled = self._start(x), torch.ones_like(scaled)
            if self.init_scale is None:
                curvature, fresh_scaled = self._first_scale(torch.zeros_like(scaled), pair)
                fresh = self._times(fresh, curvature)
            fresh, second = self.begun_again(state, fresh)
            P, scaled = torch.where(restart, fresh, P), torch.where(restart, fresh_scaled, scaled)
            R = R if isinstance(R, tuple) else torch.where(restart, second, R)
        return HessianUpdateState(
            state.calls + (state.known | (state.calls == 0)),
            state.t + (paired | (state.calls == 0)),
            torch.ones_like(state.known),
            scaled,
            torch.where(due, x, state.x),
            torch.where(due, u, state.u),
            torch.where(due, f, state.f) if self.uses_loss else (),
            P,
            R,
        )

    def apply_vector(self, state: HessianUpdateState, u: Tensor, at: AtVector) -> Tensor:
        u, P = u.to(state.u.dtype), self.used(state.P)
        if self.scale_first:
            u = torch.where(state.t <= 1, first_step_size(u) * u, u)
        if self.inverse:
            return P * u if self.is_diagonal else P @ u
        d, good = (u / P, torch.ones_like(state.known)) if self.is_diagonal else solve_regular(P, u)
        good = good & (torch.isfinite(d).all() | ~torch.isfinite(u).all())
        return torch.where(good, d, first_step_size(u) * u)

    def operator_vector(self, state: HessianUpdateState) -> Operator:
        P = self.used(state.P)
        if self.is_diagonal:
            return Diagonal(1 / P if self.inverse else P)
        return DenseInverse(P) if self.inverse else Dense(P)

    def operator_blocks(self, states: Any) -> Operator:
        vectors = optree.tree_map(lambda own: own.x, states, is_leaf=_is_own)
        xs, spec = tree.flatten(vectors)
        each = zip(self._each(vectors, len(xs)), spec.flatten_up_to(states), strict=True)
        like, blocks = tree.ravel(vectors)[0], tuple(me.operator_vector(own) for me, own in each)
        return BlockDiagonal(tree.map(lambda x: tree.cast(x, like), blocks), tuple(x.numel() for x in xs))

    def reset_tree(self, state: Any) -> Any:
        def forget(x: HessianUpdateState) -> HessianUpdateState:
            return x._replace(known=torch.zeros_like(x.known))

        return optree.tree_map(forget, state, is_leaf=_is_own)


def _is_own(x: Any) -> bool:
    return isinstance(x, HessianUpdateState)


class DirectUpdateStrategy(HessianUpdateStrategy):
    """A formula of the Hessian, which is what `inverse` says unless told otherwise.

    >>> import torchzero as tz
    >>> tz.m.PSB().inverse
    False
    """

    def __init__(
        self,
        init_scale: Any = "auto",
        tol: Hyper = 1e-32,
        ptol: Hyper = 1e-32,
        ptol_restart: bool = False,
        gtol: Hyper = 1e-32,
        restart_interval: Any = None,
        beta: Hyper = None,
        update_freq: Hyper = 1,
        scale_first: bool = False,
        concat_params: bool = True,
        inverse: bool = False,
        inner: Chainable | None = None,
    ) -> None:
        self._set(
            init_scale=init_scale,
            tol=tol,
            ptol=ptol,
            ptol_restart=ptol_restart,
            gtol=gtol,
            restart_interval=restart_interval,
            beta=beta,
            update_freq=update_freq,
            scale_first=scale_first,
            concat_params=concat_params,
            inverse=inverse,
            inner=inner,
        )
