"""LBFGS: BFGS from the last few pairs, without a matrix."""

from typing import Any

from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, nonnegative
from torchzero.linalg.operators import CompactLBFGS
from torchzero.quasi_newton.limited_memory import LimitedMemory, LimitedMemoryState


class LBFGS(LimitedMemory):
    r"""Multiply by the inverse Hessian that BFGS makes of a multiple of the identity and the last m pairs.

    $$ s = θ_t - θ_{t-1},\quad y = u_t - u_{t-1},\quad
       d_t = \mathrm{BFGS}\Bigl(\frac{s^Ty}{y^Ty}I;\ (s_{k-m+1}, y_{k-m+1}), …, (s_k, y_k)\Bigr)\,u_t $$

    computed from the inner products of the pairs. A pair is kept if sᵀy > `sy_tol`. Steps shorter than `ptol`, and
    those with a y smaller than `gtol`, add up until their sum is not.

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
        products = state.SS, state.SY, state.YY
        return CompactLBFGS.from_products(state.S, state.Y, *products, state.kept, state.scale)

    def accepts(self, s: Tensor, y: Tensor) -> Tensor:
        return s @ y > self.sy_tol
