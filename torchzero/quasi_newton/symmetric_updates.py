"""Symmetric updates of a dense matrix: one row for each formula."""

from typing import Any

from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, static, within
from torchzero.quasi_newton.base import (
    DirectUpdateStrategy,
    HessianUpdateStrategy,
    Pair,
    above,
    away,
    outer,
    sr1_denominator,
)


def both(a: Tensor, b: Tensor) -> Tensor:
    """abᵀ + baᵀ."""
    return outer(a, b) + outer(b, a)


def bfgs_inverse(H: Tensor, s: Tensor, y: Tensor, sy: Tensor) -> Tensor:
    """BFGS's H for sᵀy = sy."""
    Hy = H @ y
    return H - both((Hy - 0.5 * (1 + (y @ Hy) / sy) * s) / sy, s)


class BFGS(HessianUpdateStrategy, init=False):
    r"""The update of Broyden, Fletcher, Goldfarb and Shanno.

    $$ H' = H + \frac{1}{s^Ty}\Bigl(1 + \frac{y^THy}{s^Ty}\Bigr)ss^T - \frac{Hys^T + sy^TH}{s^Ty},\quad
       B' = B + \frac{yy^T}{s^Ty} - \frac{Bss^TB}{s^TBs} $$

    Used where sᵀy > `tol`, so that a positive definite matrix remains one.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.BFGS(), torch.tensor([1.0, 1.0])
    >>> state = opt.init(x)
    >>> for _ in range(6):
    ...     x, state = opt(x, state, lambda x: (x[0] ** 2 + 4 * x[1] ** 2) / 8)
    >>> bool((x.abs() < 0.01).all())
    True

    Reference: Nocedal & Wright 2006, Numerical optimization, equations 6.17 and 6.19.
    """

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        ok, sy = above(s @ y, self.tol)
        return bfgs_inverse(H, s, y, sy), ok

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        Bs = B @ s
        sy_ok, sy = above(s @ y, self.tol)
        sBs_ok, sBs = away(s @ Bs)
        return B + outer(y, y) / sy - outer(Bs, Bs) / sBs, sy_ok & sBs_ok


class DFP(HessianUpdateStrategy, init=False):
    r"""The update of Davidon, Fletcher and Powell: BFGS with H and B, s and y exchanged.

    $$ H' = H + \frac{ss^T}{s^Ty} - \frac{Hyy^TH}{y^THy},\quad
       B' = \Bigl(I - \frac{ys^T}{s^Ty}\Bigr)B\Bigl(I - \frac{sy^T}{s^Ty}\Bigr) + \frac{yy^T}{s^Ty} $$

    Used where |sᵀy| > `tol`: negative curvature is learned as well, and makes the matrix indefinite.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.DFP(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Nocedal & Wright 2006, Numerical optimization, equations 6.13 and 6.15.
    """

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        Hy = H @ y
        sy_ok, sy = away(s @ y, self.tol)
        yHy_ok, yHy = away(y @ Hy)
        return H + outer(s, s) / sy - outer(Hy, Hy) / yHy, sy_ok & yHy_ok

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        Bs = B @ s
        ok, sy = away(s @ y, self.tol)
        return B - both(y, Bs) / sy + (1 + (s @ Bs) / sy) / sy * outer(y, y), ok


class SR1(HessianUpdateStrategy, init=False):
    r"""The symmetric update of rank one, which follows negative curvature too.

    $$ H' = H + \frac{zz^T}{z^Ty},\ z = s - Hy;\quad B' = B + \frac{zz^T}{z^Ts},\ z = y - Bs $$

    Used where the denominator exceeds `tol` ‖z‖‖y‖, or `tol` ‖z‖‖s‖, and what rounding makes of zero; 1e-8 is a safer
    `tol` than the default.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SR1(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Nocedal & Wright 2006, Numerical optimization, equations 6.24 to 6.26.
    """

    def _symmetric(self, P: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        z = a - P @ b
        ok, zb = sr1_denominator(z, a, b, self.tol)
        return P + outer(z, z) / zb, ok

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return self._symmetric(H, s, y)

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return self._symmetric(B, y, s)


class PSB(DirectUpdateStrategy, init=False):
    r"""Powell's symmetric form of Broyden's update: the smallest symmetric change that meets the secant equation.

    $$ B' = B + \frac{rs^T + sr^T}{s^Ts} - \frac{r^Ts}{(s^Ts)^2}ss^T,\quad r = y - Bs $$

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of the inverse.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.PSB(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Powell 1970, A new algorithm for unconstrained optimization; Spedicato & Huang 1997, Numerical
    experience with Newton-like methods for nonlinear algebraic systems, https://doi.org/10.1007/BF02684472
    """

    sides = (False,)

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        r = y - B @ s
        ok, ss = above(s @ s)
        return B + both(r, s) / ss - (r @ s) / ss * (outer(s, s) / ss), ok


class FletcherVMM(HessianUpdateStrategy, init=False):
    r"""Fletcher's variable metric method: BFGS that learns negative curvature as well.

    $$ H' = H + \frac{1}{s^Ty}\Bigl(1 + \frac{y^THy}{s^Ty}\Bigr)ss^T - \frac{Hys^T + sy^TH}{s^Ty} $$

    Used where |sᵀy| ≥ `tol`.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.FletcherVMM(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Fletcher 1970, A new approach to variable metric algorithms, https://doi.org/10.1093/comjnl/13.3.317
    """

    sides = (True,)

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        ok, sy = away(s @ y, self.tol)
        return bfgs_inverse(H, s, y, sy), ok


class Horisho(HessianUpdateStrategy, init=False):
    r"""Hoshino's variable metric method, between BFGS and DFP and its own dual.

    $$ H' = H + \frac{1}{s^Ty + y^THy}\Bigl[\Bigl(1 + \frac{2y^THy}{s^Ty}\Bigr)ss^T - sy^TH - Hys^T - Hyy^TH\Bigr] $$

    Used where |sᵀy| > `tol`.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.Horisho(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Hoshino 1972, A formulation of variable metric methods, https://doi.org/10.1093/imamat/10.3.394
    """

    sides = (True,)

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        Hy = H @ y
        yHy = y @ Hy
        sy_ok, sy = away(s @ y, self.tol)
        sum_ok, both_sum = away(sy + yHy)
        change = (1 + 2 * yHy / sy) * outer(s, s) - both(s, Hy) - outer(Hy, Hy)
        return H + change / both_sum, sy_ok & sum_ok


class NewSSM(HessianUpdateStrategy):
    r"""BFGS with another value of the curvature along the step, taken from the change of the loss.

    $$ H' = H - \frac{Hys^T + sy^TH}{s^Ty} + \Bigl(\frac1τ + \frac{y^THy}{s^Ty}\Bigr)\frac{ss^T}{s^Ty},\quad
       τ_1 = \frac{2(s^Ty + f_t - f_{t-1})}{s^Ty},\quad τ_2 = \frac{f_{t-1} - f_t + 1/(2s^Ty)}{s^Ty} $$

    τ = 1 is BFGS. Used where sᵀy > `tol`. The losses are those at the two ends of s, also where pairs were passed over.

    Args:
        type: 1 or 2, which τ.
        init_scale: as all others, see HessianUpdateStrategy; there is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.NewSSM(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: (x**2).sum())
    >>> x
    tensor([-0.5000])

    Reference: Moghrabi, Hassan & Askar 2022, New self-scaling quasi-Newton methods for unconstrained optimization,
    International Journal of Mathematics and Computer Science 17.
    """

    needs = frozenset({"params", "true_gradient", "value"})
    sides = (True,)
    uses_loss = True

    type: int = static(1, choices=(1, 2))

    def __init__(
        self,
        type: int = 1,
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
            type=type,
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
            inner=inner,
        )

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        Hy = H @ y
        sy_ok, sy = above(s @ y, self.tol)
        curvature = 2 * (sy + pair.df) if self.type == 1 else 1 / (2 * sy) - pair.df
        some, curvature = away(curvature)
        return H - both(Hy, s) / sy + (sy / curvature + (y @ Hy) / sy) / sy * outer(s, s), sy_ok & some


class ShorR(HessianUpdateStrategy):
    r"""Shor's r-algorithm: shrink the space along the change of the gradient.

    $$ H' = H - (1 - α^2)\frac{Hyy^TH}{y^THy} $$

    Meant for functions that are not smooth. H only shrinks, so a line search is needed that can take long steps.

    Args:
        alpha: α, what lengths along y are multiplied by, in (0, 1].
        init_scale: as all others, see HessianUpdateStrategy; 1 here. There is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.ShorR(alpha=0.5)
    >>> state = opt.init(torch.zeros(2))
    >>> for x in (0.0, 1.0):
    ...     state, var = opt.step(state, tz.Var(torch.tensor([x, 0.0]), objective=lambda x: (x**2).sum()))
    >>> state.P.diagonal()
    tensor([0.2500, 1.0000])

    Reference: Burke, Lewis & Overton 2008, The speed of Shor's R-algorithm, https://doi.org/10.1093/imanum/drn008
    """

    sides = (True,)

    alpha: Hyper = within(0, 1, default=0.5, closed_low=False, closed_high=True)

    def __init__(
        self,
        alpha: Hyper = 0.5,
        init_scale: Any = 1,
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
            alpha=alpha,
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
            inner=inner,
        )

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        Hy = H @ y
        ok, yHy = away(y @ Hy)
        return H - (1 - self.alpha * self.alpha) / yHy * outer(Hy, Hy), ok
