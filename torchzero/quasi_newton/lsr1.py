"""LSR1: SR1 from the last few pairs, without a matrix."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper
from torchzero.linalg.operators import CompactLSR1
from torchzero.quasi_newton.limited_memory import LimitedMemory, LimitedMemoryState


class LSR1(LimitedMemory):
    r"""Multiply by the inverse Hessian that SR1 makes of the identity and the last m pairs.

    $$ s = θ_t - θ_{t-1},\quad y = u_t - u_{t-1},\quad w_k = s_k - H_{k-1}y_k,\quad
       d_t = u_t + \sum_k \frac{w_k^Tu_t}{w_k^Ty_k}w_k $$

    Terms whose denominator is zero are left out. H need not be positive definite: use it in a trust region, or
    with a line search that can do with zero steps.

    Args:
        history_size: m, whole and ≥ 1.
        ptol: ≥ 0, in units of the parameters: shorter steps, by their largest element, add up until they are longer;
            None for no test.
        ptol_restart: forget all pairs at such a step.
        gtol: the same for y, in units of the update.
        gtol_restart: forget all pairs at such a step.
        scale_first: while there is no pair, make the direction no longer than 1/‖u‖₁ times u.
        update_freq: absorb only one update in so many, whole and ≥ 1; s and y span all of them.
        damping: "powell", "double", or a function (s, y, g, H) -> (s, y), see `powell_damping`.
        inner: module that makes the direction which is multiplied; y is of the update that comes in.

    Raises:
        ValueError: for a number outside its range or an unknown damping.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.LSR1(), torch.tensor([1.0, 1.0])
    >>> state = opt.init(x)
    >>> for _ in range(4):
    ...     x, state = opt(x, state, lambda x: (x[0] ** 2 + 4 * x[1] ** 2) / 16)
    >>> x.abs().max() < 1e-6
    tensor(True)

    Reference: Byrd, Nocedal & Schnabel 1994, section 5, https://doi.org/10.1007/BF01582063; Nocedal & Wright 2006,
    section 7.2.
    """

    def __init__(
        self,
        history_size: int = 10,
        ptol: Hyper = None,
        ptol_restart: bool = False,
        gtol: Hyper = None,
        gtol_restart: bool = False,
        scale_first: bool = False,
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
            scale_first=scale_first,
            update_freq=update_freq,
            damping=damping,
            inner=inner,
        )

    def model(self, state: LimitedMemoryState) -> CompactLSR1:
        return CompactLSR1.from_pairs(
            torch.stack(state.S), torch.stack(state.Y), state.kept, torch.ones_like(state.scale)
        )

    def accepts(self, sy: Tensor, yy: Tensor) -> Tensor:
        return torch.ones_like(sy, dtype=torch.bool)
