"""Updates of a diagonal matrix: one row for each formula."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, positive
from torchzero.quasi_newton.base import DirectUpdateStrategy, HessianUpdateStrategy, Pair, above, sr1_denominator


class DiagonalBFGS(HessianUpdateStrategy, init=False):
    r"""The diagonal of what BFGS makes of a diagonal matrix.

    $$ h' = h + \frac{(s^Ty + y^T(h⊙y))s^2}{(s^Ty)^2} - \frac{2h⊙y⊙s}{s^Ty} $$

    Used where sᵀy > `tol`; positive entries remain so.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of b.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.DiagonalBFGS(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Nocedal & Wright 2006, Numerical optimization, equation 6.17, of which this is the diagonal.
    """

    sides = (True,)
    is_diagonal = True

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        ok, sy = above(s @ y, self.tol)
        return H + (1 + y @ (H * y) / sy) / sy * (s * s) - 2 * H * y * s / sy, ok


class DiagonalSR1(HessianUpdateStrategy, init=False):
    r"""The diagonal of what SR1 makes of a diagonal matrix.

    $$ h' = h + \frac{z^2}{z^Ty},\ z = s - h⊙y;\quad b' = b + \frac{z^2}{z^Ts},\ z = y - b⊙s $$

    Used where the denominator exceeds `tol` ‖z‖‖y‖, or `tol` ‖z‖‖s‖, and what rounding makes of zero.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.DiagonalSR1(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Nocedal & Wright 2006, Numerical optimization, equation 6.24, of which this is the diagonal.
    """

    is_diagonal = True

    def _symmetric(self, P: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        z = a - P * b
        ok, zb = sr1_denominator(z, a, b, self.tol)
        return P + z * z / zb, ok

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return self._symmetric(H, s, y)

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return self._symmetric(B, y, s)


class DiagonalQuasiCauchi(DirectUpdateStrategy, init=False):
    r"""The smallest change of a diagonal that gives it the curvature of the last step.

    $$ b' = b + \frac{s^Ty - \sum b_is_i^2}{\sum s_i^4}s^2 $$

    Entries may become negative.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of the inverse.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.DiagonalQuasiCauchi(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Zhu, Nazareth & Wolkowicz 1999, The quasi-Cauchy relation and diagonal updating,
    https://doi.org/10.1137/S1052623498331793
    """

    sides = (False,)
    is_diagonal = True

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        square = s * s
        ok, fourth = above(square @ square)
        return B + (s @ y - B @ square) / fourth * square, ok


class DiagonalWeightedQuasiCauchi(DirectUpdateStrategy, init=False):
    r"""The same with changes measured relative to the entries.

    $$ b' = b + \frac{s^Ty - \sum b_is_i^2}{\sum b_i^2s_i^4}b^2⊙s^2 $$

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of the inverse.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.DiagonalWeightedQuasiCauchi(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Leong, Enshaei & Kek 2021, Diagonal quasi-Newton methods via least change updating principle with
    weighted Frobenius norm, https://doi.org/10.1007/s11075-020-00930-9
    """

    sides = (False,)
    is_diagonal = True

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        weighted = B * s * s
        ok, fourth = above(weighted @ weighted)
        return B + (s @ y - weighted.sum()) / fourth * (B * weighted), ok


class _Bounded(DirectUpdateStrategy):
    """A diagonal of which entries outside (lb, ub) count as 1."""

    sides = (False,)
    is_diagonal = True

    lb: Hyper = positive(0.01)
    ub: Hyper = positive(1e5)

    def __init__(
        self,
        lb: Hyper = 0.01,
        ub: Hyper = 1e5,
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
        inner: Chainable | None = None,
    ) -> None:
        self._set(
            lb=lb,
            ub=ub,
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
            inverse=False,
            inner=inner,
        )

    def used(self, P: Tensor) -> Tensor:
        return torch.where((self.lb < P) & (self.ub > P), P, 1.0)


class DNRTR(_Bounded, init=False):
    r"""Andrei's diagonal update with the trace kept small.

    $$ b' = b + \frac{s^Ty + s^Ts - \sum b_is_i^2}{\sum s_i^4}s^2 - 1 $$

    In the direction entries outside (lb, ub) are 1; the state keeps them as they are.

    Args:
        lb: below this an entry counts as 1, > 0.
        ub: above this an entry counts as 1, > 0.
        init_scale: as all others, see HessianUpdateStrategy; there is no formula of the inverse.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.DNRTR(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Andrei 2019, A new diagonal quasi-Newton updating method with scaled forward finite differences
    directional derivative, https://doi.org/10.1007/s11075-018-0562-7
    """

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        square = s * s
        ok, fourth = above(square @ square)
        return B + (s @ y + s @ s - B @ square) / fourth * square - 1, ok


class NewDQN(_Bounded, init=False):
    r"""The diagonal update of Nosrati and Amini, whose entries only grow while sᵀy > 0.

    $$ b' = b + \frac{s^Ty}{\sum s_i^4}s^2 $$

    In the direction entries outside (lb, ub) are 1; the state keeps them as they are.

    Args:
        lb: below this an entry counts as 1, > 0.
        ub: above this an entry counts as 1, > 0.
        init_scale: as all others, see HessianUpdateStrategy; there is no formula of the inverse.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.NewDQN(init_scale=1)
    >>> state = opt.init(torch.zeros(2))
    >>> for x in (0.0, 1.0):
    ...     state, var = opt.step(state, tz.Var(torch.tensor([x, 0.0]), objective=lambda x: (x**2).sum()))
    >>> state.P
    tensor([3., 1.])

    Reference: Nosrati & Amini 2024, A new diagonal quasi-Newton algorithm for unconstrained optimization problems,
    Applications of Mathematics 69(4).
    """

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        square = s * s
        ok, fourth = above(square @ square)
        return B + (s @ y) / fourth * square, ok
