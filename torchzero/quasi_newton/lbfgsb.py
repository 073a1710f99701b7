"""LBFGSB: L-BFGS for parameters between bounds."""

import math
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, nonnegative, within
from torchzero.core.vector import AtVector
from torchzero.linalg.operators import CompactLBFGS
from torchzero.linalg.operators.base import solve_dense
from torchzero.quasi_newton.base import first_step_size
from torchzero.quasi_newton.limited_memory import LimitedMemory, LimitedMemoryState


def time_to_bound(x: Tensor, d: Tensor, lb: Tensor, ub: Tensor) -> Tensor:
    """The t at which each element of x + td meets its bound, inf if never: (n,)."""
    bound = torch.where(d < 0, lb, ub)
    ever = (d != 0) & torch.isfinite(bound)
    room = torch.where(ever, bound, x) - x
    return torch.where(ever, room / torch.where(ever, d, 1.0), math.inf)


def cauchy_point(x: Tensor, g: Tensor, lb: Tensor, ub: Tensor, B: CompactLBFGS) -> Tensor:
    r"""The first minimiser of the model along the projected gradient path: (n,).

    $$ \min_{t ≥ 0} g^Tz(t) + \tfrac12 z(t)^TBz(t),\quad z(t) = P(x - tg) - x $$

    On the j-th piece of the path, from the j-th break to the next, the first j coordinates have met their bounds. The
    slope and curvature at the start of every piece are sums over the coordinates before and after it, so cumulative
    sums in the order of the breaks give all pieces at once.
    """
    breaks = time_to_bound(x, -g, lb, ub)
    order = breaks.argsort(stable=True)
    t, g_sorted, W = breaks[order], g[order], B.wide()[:, order]  # (n,), (n,), (2m, n)
    start, end = torch.cat([t.new_zeros(1), t]), torch.cat([t, t.new_full((1,), math.inf)])  # (n + 1,) pieces
    reached = torch.where(torch.isfinite(t), t, 0.0)
    begun = torch.where(torch.isfinite(start), start, 0.0)

    def before(rows: Tensor) -> Tensor:  # (…, n) -> (…, n + 1): the sum over coordinates that have met their bounds
        return torch.cat([torch.zeros_like(rows[..., :1]), rows.cumsum(-1)], -1)

    def after(rows: Tensor) -> Tensor:
        return torch.cat([rows.flip(-1).cumsum(-1).flip(-1), torch.zeros_like(rows[..., :1])], -1)

    square, p = after(g_sorted * g_sorted), -after(g_sorted * W)  # ‖d‖² and Wd of each piece
    c = before(-g_sorted * reached * W) + begun * p  # Wz at the start of each piece
    Mp = torch.linalg.solve_ex(B.middle(), p)[0]
    slope = (B.scale * begun - 1) * square - (Mp * c).sum(0)
    curvature = B.scale * square - (Mp * p).sum(0)
    bent = curvature > 0
    length = torch.where(bent, -slope / torch.where(bent, curvature, 1.0), math.inf)
    stop = (slope >= 0) | (begun + length <= end)
    first = torch.arange(len(stop), device=x.device) == (~stop).to(torch.int64).cumprod(0).sum().clamp_max(len(t))
    extra = torch.where(slope < 0, length.clamp_min(0), 0.0)
    time = torch.where(first, torch.where(torch.isfinite(start + extra), begun + extra, 0.0), 0.0).sum()
    path = torch.minimum(torch.maximum(x - time * g, lb), ub)
    return torch.where(breaks <= time, torch.where(g > 0, lb, ub), path)


def subspace_minimiser(x: Tensor, g: Tensor, lb: Tensor, ub: Tensor, B: CompactLBFGS, cauchy: Tensor) -> Tensor:
    """The minimiser of the model over the coordinates that are off their bounds at the Cauchy point, made feasible."""
    free = ((cauchy > lb) & (cauchy < ub)).to(x.dtype)
    r = free * (g + B.matvec(cauchy - x))
    W, M = B.wide(), B.middle()
    masked = W * free
    d = -(r + masked.mT @ solve_dense(M - masked @ W.mT / B.scale, W @ r) / B.scale) / B.scale
    projected = torch.minimum(torch.maximum(cauchy + d, lb), ub)
    # Where the projection is not downhill, go along d up to the first bound instead.
    step = time_to_bound(cauchy, d, lb, ub).amin().clamp_max(1)
    shortened = torch.minimum(torch.maximum(cauchy + step * d, lb), ub)
    return torch.where(g @ (projected - x) < 0, projected, shortened)


class LBFGSB(LimitedMemory):
    r"""L-BFGS for parameters between bounds: to the minimiser of the model along the bent path of steepest descent, and
    from there over the parameters that are off their bounds.

    $$ d_t = θ_t - \bar θ,\quad
       \bar θ ≈ \arg\min_{l ≤ \bar θ ≤ u} g^T(\bar θ - θ_t) + \tfrac12(\bar θ - θ_t)^TB(\bar θ - θ_t) $$

    with B as in LBFGS. θ̄ is feasible, and so is any point between it and a feasible θ: follow it by a StrongWolfe
    search with the same bounds, or by a step of at most 1, such as a backtracking line search. From infeasible
    parameters a full step leads into the bounds. Without bounds it is LBFGS. `tz.minimize(bounds=...)` sets this up.

    Args:
        lb: lower bounds: a number, a tree of numbers or tensors like the parameters, -inf for none; None for none.
        ub: upper bounds, likewise.
        history_size: m, whole and ≥ 1.
        ptol: ≥ 0, in units of the parameters: shorter steps, by their largest element, add up until they are longer;
            None for no test.
        ptol_restart: forget all pairs at such a step.
        gtol: the same for the change of the update.
        gtol_restart: forget all pairs at such a step.
        sy_tol: pairs are kept if sᵀy > sy_tol yᵀy, ≥ 0.
        scale_first: while there is no pair, take B = ‖u‖₁ I, or I if that is more.
        update_freq: absorb only one update in so many, whole and ≥ 1; s and y span all of them.
        damping: "powell", "double", or a function (s, y, g, H) -> (s, y), see `powell_damping`.
        inner: module that makes the direction which is used in place of g; y is of the update that comes in.

    Raises:
        ValueError: for a number outside its range or an unknown damping.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.LBFGSB(lb=0.5), torch.tensor([1.0, 1.0])
    >>> state = opt.init(x)
    >>> for _ in range(10):
    ...     x, state = opt(x, state, lambda x: (x[0] - 0.75) ** 2 + (x[1] + 1) ** 2 / 4)
    >>> x
    tensor([0.7500, 0.5000])

    Reference: Byrd, Lu, Nocedal & Zhu 1995, A limited memory algorithm for bound constrained optimization,
    https://doi.org/10.1137/0916069; the subspace step by Morales & Nocedal 2011,
    https://doi.org/10.1145/2049662.2049669
    """

    per_element = frozenset({"lb", "ub"})

    lb: Hyper = within(-math.inf, math.inf, default=None, closed_high=True, optional=True)
    ub: Hyper = within(-math.inf, math.inf, default=None, closed_high=True, optional=True)
    sy_tol: Hyper = nonnegative(2.2e-16)

    def __init__(
        self,
        lb: Hyper = None,
        ub: Hyper = None,
        history_size: int = 10,
        ptol: Hyper = 1e-32,
        ptol_restart: bool = False,
        gtol: Hyper = 1e-32,
        gtol_restart: bool = False,
        sy_tol: Hyper = 2.2e-16,
        scale_first: bool = True,
        update_freq: Hyper = 1,
        damping: Any = None,
        inner: Chainable | None = None,
    ) -> None:
        self._set(
            lb=lb,
            ub=ub,
            history_size=history_size,
            ptol=ptol,
            ptol_restart=ptol_restart,
            gtol=gtol,
            gtol_restart=gtol_restart,
            sy_tol=sy_tol,
            scale_first=scale_first,
            update_freq=update_freq,
            damping=damping,
            inner=inner,
        )

    def model(self, state: LimitedMemoryState) -> CompactLBFGS:
        return CompactLBFGS.from_pairs(torch.stack(state.S), torch.stack(state.Y), state.kept, state.scale)

    def accepts(self, sy: Tensor, yy: Tensor) -> Tensor:
        return (sy > self.sy_tol * yy) & (sy > 0)

    def _bound(self, value: Any, absent: float, x: Tensor, at: AtVector) -> Tensor:
        if value is None:
            return torch.full_like(x, absent)
        full = tree.zipmap(lambda p, v: torch.zeros_like(p, dtype=x.dtype) + v, at.var.params, value)
        return tree.ravel(full)[0]

    def apply_vector(self, state: LimitedMemoryState, u: Tensor, at: AtVector) -> Tensor:
        there, u = at.x.to(state.x.dtype), u.to(state.u.dtype)
        if not there.numel():
            return u
        lb, ub = self._bound(self.lb, -math.inf, there, at), self._bound(self.ub, math.inf, there, at)
        x = torch.minimum(torch.maximum(there, lb), ub)
        if self.scale_first:
            first = 1 / first_step_size(u)
            state = state._replace(scale=torch.where(state.kept == 0, first, state.scale))
        B = self.model(state)
        return there - subspace_minimiser(x, u, lb, ub, B, cauchy_point(x, u, lb, ub, B))
