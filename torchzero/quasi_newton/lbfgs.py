"""LBFGS: BFGS from the last few pairs, without a matrix."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.control import at_most
from torchzero.core.hyper import Hyper, nonnegative
from torchzero.core.vector import AtVector
from torchzero.linalg.operators import CompactLBFGS
from torchzero.quasi_newton.base import above
from torchzero.quasi_newton.limited_memory import LimitedMemory, LimitedMemoryState

LONG = 2**13  # elements; to gather shorter vectors into a matrix takes less time than to go through them one by one


def two_loops(state: LimitedMemoryState, u: Tensor) -> Tensor:
    """The inverse of LBFGS's model times u (n,), without a copy of the pairs.

    Reference: Nocedal & Wright 2006, Numerical optimization, algorithm 7.4.
    """
    m = len(state.S)
    used = torch.arange(m, device=u.device) >= m - state.kept
    ok, sy = above(state.sy)
    rho = torch.where(used & ok, 1 / sy, 0.0).unbind()
    k = at_most(state.kept, m)
    pairs = list(zip(state.S, state.Y, rho, strict=True))[m - k :]
    d, a = u, []
    for s, y, r in reversed(pairs):
        a.append(r * (s @ d))
        d = torch.addcmul(d, y, a[-1], value=-1)
    d = d / state.scale
    for s, y, r in pairs:
        d = torch.addcmul(d, s, torch.addcmul(a.pop(), r, y @ d, value=-1))
    return d


class LBFGS(LimitedMemory):
    r"""Multiply by the inverse Hessian that BFGS makes of a multiple of the identity and the last m pairs.

    $$ s = θ_t - θ_{t-1},\quad y = u_t - u_{t-1},\quad
       d_t = \mathrm{BFGS}\Bigl(\frac{s^Ty}{y^Ty}I;\ (s_{k-m+1}, y_{k-m+1}), …, (s_k, y_k)\Bigr)\,u_t $$

    computed from the inner products of the pairs, or by two loops over them where they are long. A pair is kept if
    sᵀy > `sy_tol`. Steps shorter than `ptol`, and those with a y smaller than `gtol`, add up until their sum is not.

    Args:
        history_size: m, whole and ≥ 1.
        ptol: ≥ 0, in units of the parameters, largest element; None for no test.
        ptol_restart: forget all pairs at such a step.
        gtol: ≥ 0, in units of the update, largest element; None for no test.
        gtol_restart: forget all pairs at such a step.
        sy_tol: ≥ 0.
        scale_first: while there is no pair, make the direction no longer than 1/‖u‖₁ times u.
        update_freq: absorb only one update in so many, whole and ≥ 1; s and y span all of them.
        damping: "powell", "double", or a function (s, y, g, H) -> (s, y), see `powell_damping`: bends pairs with too
            little curvature so that they can be kept.
        inner: module that makes the direction which is multiplied; y is of the update that comes in.

    Raises:
        ValueError: for a number outside its range or an unknown damping.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.LBFGS(), torch.tensor([1.0, 1.0])
    >>> state = opt.init(x)
    >>> for _ in range(8):
    ...     x, state = opt(x, state, lambda x: (x[0] ** 2 + 4 * x[1] ** 2) / 8)
    >>> bool((x.abs() < 0.01).all())
    True

    Reference: Nocedal 1980, https://doi.org/10.1090/S0025-5718-1980-0572855-7; Byrd, Nocedal & Schnabel 1994, theorem
    2.2, https://doi.org/10.1007/BF01582063
    """

    sy_tol: Hyper = nonnegative(1e-32)

    def __init__(
        self,
        history_size: int = 10,
        ptol: Hyper = 1e-32,
        ptol_restart: bool = False,
        gtol: Hyper = 1e-32,
        gtol_restart: bool = False,
        sy_tol: Hyper = 1e-32,
        scale_first: bool = True,
        update_freq: Hyper = 1,
        damping: Any = None,
        inner: Chainable | None = None,
    ) -> None:
        self._set(
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
        return sy > self.sy_tol

    def apply_vector(self, state: LimitedMemoryState, u: Tensor, at: AtVector) -> Tensor:
        if u.numel() < LONG:
            return super().apply_vector(state, u, at)
        return two_loops(state, self._scaled_first(state, u.to(state.u.dtype)))
