"""Self-scaling updates: the matrix is multiplied by a number before it learns a pair. One row for each rule."""

import abc
from typing import Any

import torch
from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, static
from torchzero.core.safe import safe_sqrt
from torchzero.linalg.operators import DenseWithInverse, Operator
from torchzero.quasi_newton.base import HessianUpdateState, HessianUpdateStrategy, Pair, above, outer


def broyden_family(M: Tensor, a: Tensor, b: Tensor, ab: Tensor, Mb: Tensor, bMb: Tensor, mix: Tensor) -> Tensor:
    """M - Mb(Mb)ᵀ/bMb + mix vvᵀ with v = √bMb (a/ab - Mb/bMb)."""
    v = a / ab - Mb / bMb
    return M - outer(Mb, Mb) / bMb + mix * bMb * outer(v, v)


class _ScaledBroyden(HessianUpdateStrategy):
    """Broyden's family with a scale: a subclass gives the two numbers.

    The model B of the Hessian is kept as the second matrix, so that sᵀBs costs no solve. It is updated by the dual
    formula, s and y exchanged.
    """

    sides = (True,)

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
            inner=inner,
        )

    @abc.abstractmethod
    def scale_and_mix(self, sigma: Tensor, tau: Tensor, epsilon: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """What H is multiplied by, and φ, which is 1 for BFGS and 0 for DFP."""

    def second(self, P: Tensor) -> Tensor:
        return torch.diag(1 / P.diagonal())

    def second_rescaled(self, R: Tensor, curvature: Tensor) -> Tensor:
        return R * curvature

    def second_mixed(self, P: Tensor, R: Tensor) -> Tensor:
        return torch.linalg.inv_ex(P)[0]

    def update_both(self, P: Tensor, R: Tensor, pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
        s, y, Hy, Bs = pair.s, pair.y, P @ pair.y, R @ pair.s
        sigma_ok, sigma = above(s @ y, self.tol)
        tau_ok, tau = above(y @ Hy)
        epsilon_ok, epsilon = above(s @ Bs)
        scale, mix = self.scale_and_mix(sigma, tau, epsilon, s.numel())
        excess = (epsilon / sigma * (tau / sigma) - 1).clamp_min(0)  # at least 0 by Cauchy and Schwarz
        H = scale * broyden_family(P, s, y, sigma, Hy, tau, mix) + outer(s, s) / sigma
        B = broyden_family(R, y, s, sigma, Bs, epsilon, (1 - mix) / (1 + excess * mix)) / scale + outer(y, y) / sigma
        return H, B, sigma_ok & tau_ok & epsilon_ok

    def operator_vector(self, state: HessianUpdateState) -> Operator:
        return DenseWithInverse(state.R, state.P)


class SSBFGS(_ScaledBroyden):
    r"""BFGS that multiplies the matrix by a number first, in every step.

    $$ H' = \frac1τ\Bigl(H - \frac{Hyy^TH}{y^THy} + vv^T\Bigr) + \frac{ss^T}{s^Ty},\quad
       v = \sqrt{y^THy}\Bigl(\frac s{s^Ty} - \frac{Hy}{y^THy}\Bigr),\quad
       τ = \frac{s^Ty}{s^TBs} \ \text{or}\ \min\Bigl(1, \frac{s^Ty}{s^TBs}\Bigr) $$

    so that B has the curvature of the last step before it learns it. The second rule only ever shrinks B.

    Used where sᵀy > `tol`. Memory is that of two matrices, as B is kept beside H.

    Follow it by a line search that meets the Wolfe conditions, such as StrongWolfe: then sᵀy > 0 at every step. After
    one that only asks for a decrease, such as Backtracking, a short step along negative curvature is taken as it is,
    its pair is passed over, and H stays as it is. That is worse here than with BFGS, since the scaling has made all
    of H as small as the steepest curvature asks for: from (-1.2, 1) it crawls along the valley of Rosenbrock.

    Args:
        scaling: "oren_luenberger" for the first τ, "al_baali" for the second.
        init_scale: as all others, see HessianUpdateStrategy; there is no formula of B alone.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SSBFGS(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Oren & Luenberger 1974, Self-scaling variable metric algorithms, https://doi.org/10.1287/mnsc.20.5.845;
    Al-Baali 1998, https://doi.org/10.1023/A:1022608410710
    """

    scaling: str = static("oren_luenberger", choices=("oren_luenberger", "al_baali"))

    def __init__(
        self,
        scaling: str = "oren_luenberger",
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
            scaling=scaling,
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

    def scale_and_mix(self, sigma: Tensor, tau: Tensor, epsilon: Tensor, n: int) -> tuple[Tensor, Tensor]:
        scale = epsilon / sigma
        return scale if self.scaling == "oren_luenberger" else scale.clamp_min(1), torch.ones_like(scale)


class SSBroyden(_ScaledBroyden, init=False):
    r"""The self-scaled Broyden method of Al-Baali, which is what physics-informed networks are trained with.

    With b = sᵀBs/sᵀy, h = yᵀHy/sᵀy, a = bh - 1 and n the number of parameters:

    $$ H' = \frac1τ\Bigl(H - \frac{Hyy^TH}{y^THy} + φ vv^T\Bigr) + \frac{ss^T}{s^Ty},\quad
       v = \sqrt{y^THy}\Bigl(\frac s{s^Ty} - \frac{Hy}{y^THy}\Bigr),\quad φ = \frac{1 - θ}{1 + aθ} $$

    $$ ρ = \min\bigl(1, h(1 - \sqrt{a/(1+a)})\bigr),\quad
       θ = \max\Bigl(\frac{ρ - 1}a, \min\Bigl(\frac1ρ, \frac{1-b}b\Bigr)\Bigr) $$

    $$ κ = \min(1, 1/b),\quad ω = (1 + aθ)^{-1/(n-1)},\quad
       τ = \min(κω, 1 + aθ) \ \text{if}\ θ ≤ 0,\ \text{else}\ κ\min(ω, 1/θ) $$

    Used where sᵀy > `tol`. Memory is that of two matrices, as B is kept beside H.

    Follow it by a line search that meets the Wolfe conditions, such as StrongWolfe: then sᵀy > 0 at every step. After
    one that only asks for a decrease, such as Backtracking, a short step along negative curvature is taken as it is,
    its pair is passed over, and H stays as it is. That is worse here than with BFGS, since the scaling has made all
    of H as small as the steepest curvature asks for: from (-1.2, 1) it crawls along the valley of Rosenbrock.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of B alone.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SSBroyden(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Al-Baali 1998, Numerical experience with a class of self-scaling quasi-Newton algorithms,
    https://doi.org/10.1023/A:1022608410710; Urbán, Stefanou & Pons 2025, equations 13 to 23,
    https://arxiv.org/abs/2405.04230
    """

    def scale_and_mix(self, sigma: Tensor, tau: Tensor, epsilon: Tensor, n: int) -> tuple[Tensor, Tensor]:
        b, h = epsilon / sigma, tau / sigma
        a = (b * h - 1).clamp_min(0)
        # 1 - √(a/(1+a)) and 1 + aθ, written without the differences of nearly equal numbers that a large a makes.
        rho = (h / ((1 + a) * (1 + safe_sqrt(a / (1 + a))))).clamp_max(1)
        theta = torch.minimum(1 / rho, (1 - b) / b)
        some, divisor = above(a)
        least = (rho - 1) / divisor
        low = some & (theta < least)
        theta, root = torch.where(low, least, theta), torch.where(low, rho, 1 + a * theta)
        kappa = (1 / b).clamp_max(1)
        omega = root ** (-1 / (n - 1)) if n > 1 else torch.ones_like(root)
        positive = theta > 0
        limit = 1 / torch.where(positive, theta, 1.0)
        tau_k = torch.where(positive, kappa * torch.minimum(omega, limit), torch.minimum(kappa * omega, root))
        return 1 / tau_k, (1 - theta) / root


class SSVM(_ScaledBroyden):
    r"""The self-scaling variable metric method of Oren and Spedicato.

    With σ = sᵀy, τ = yᵀHy, ε = sᵀBs:

    $$ H' = μ\Bigl(H - \frac{Hyy^TH}{τ} + θ vv^T\Bigr) + \frac{ss^T}{σ},\quad
       v = \sqrt τ\Bigl(\frac sσ - \frac{Hy}τ\Bigr),\quad μ = φ\frac εσ + (1 - φ)\frac στ $$

    | switch | φ | θ |
    |---|---|---|
    | 1 and 3, ε ≤ σ | ε/σ | 0 |
    | 1 and 3, else σ ≥ τ | σ/τ | 1 |
    | 1, else | 1 | σ(ε - σ)/(ετ - σ²) |
    | 3, else | 1 | σ(τ - σ)/(ετ - σ²) |
    | 2 | √(ε/τ) | 1/(1 + √(τε/σ²)) |
    | 4 | ε/τ | 1/2 |
    | (φ, θ) | φ | θ |

    Used where sᵀy > `tol`. Memory is that of two matrices, as B is kept beside H.

    Follow it by a line search that meets the Wolfe conditions, such as StrongWolfe: then sᵀy > 0 at every step. After
    one that only asks for a decrease, such as Backtracking, a short step along negative curvature is taken as it is,
    its pair is passed over, and H stays as it is. That is worse here than with BFGS, since the scaling has made all
    of H as small as the steepest curvature asks for: from (-1.2, 1) it crawls along the valley of Rosenbrock.

    Args:
        switch: a row of the table: 1, 2, 3, 4, or a pair of numbers.
        init_scale: as all others, see HessianUpdateStrategy; there is no formula of B alone.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SSVM(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Oren & Spedicato 1976, Optimal conditioning of self-scaling variable metric algorithms,
    https://doi.org/10.1007/BF01580654
    """

    switch: Any = static(3)

    def __init__(
        self,
        switch: Any = 3,
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
        pair = isinstance(switch, tuple | list) and len(switch) == 2
        if not pair and switch not in (1, 2, 3, 4):
            raise ValueError(f"SSVM(switch={switch!r}): must be 1, 2, 3, 4, or a pair of numbers (φ, θ)")
        self._set(
            switch=switch,
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

    def _numbers(self, sigma: Tensor, tau: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        """φ and θ."""
        one = torch.ones_like(sigma)
        if isinstance(self.switch, tuple):
            return self.switch[0] * one, self.switch[1] * one
        if self.switch == 2:
            return safe_sqrt(epsilon / tau), 1 / (1 + safe_sqrt(tau / sigma * (epsilon / sigma)))
        if self.switch == 4:
            return epsilon / tau, one / 2
        some, gap = above(epsilon / sigma * (tau / sigma) - 1)
        excess = (epsilon if self.switch == 1 else tau) / sigma - 1
        theta = torch.where(some, excess / gap, 1.0)
        # With its initial scale H has τ = σ at the first pair, which rounding must not decide.
        slack = 1 + 64 * torch.finfo(sigma.dtype).eps
        low, high = epsilon <= sigma * slack, sigma * slack >= tau
        phi = torch.where(low, epsilon / sigma, torch.where(high, sigma / tau, 1.0))
        return phi, torch.where(low, 0.0, torch.where(high, 1.0, theta))

    def scale_and_mix(self, sigma: Tensor, tau: Tensor, epsilon: Tensor, n: int) -> tuple[Tensor, Tensor]:
        phi, theta = self._numbers(sigma, tau, epsilon)
        return phi * (epsilon / sigma) + (1 - phi) * (sigma / tau), theta
