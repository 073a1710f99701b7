"""Dogleg: along the gradient, then towards Newton's step."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper
from torchzero.core.safe import safe_div, safe_norm
from torchzero.linalg.cg import to_boundary
from torchzero.linalg.operators import Operator
from torchzero.trust_region.base import TrustRegionBase


class Corners(NamedTuple):
    """The path."""

    downhill: Tensor  # (n,)     u / ‖u‖
    cauchy: Tensor  # (n,)       the minimum of the model along u
    newton: Tensor  # (n,)       B⁻¹u, or the Cauchy point if that is of no use
    curved: Tensor  # () bool    whether the curvature along u is positive


class Dogleg(TrustRegionBase):
    r"""Follow the path from x over the Cauchy point to Newton's step until it leaves the ball.

    $$ p_c = \frac{‖u‖^2}{u^TBu}u,\quad p_n = B^{-1}u,\quad
       d = \begin{cases} p_n & ‖p_n‖ ≤ Δ \\ Δ\,u/‖u‖ & ‖p_c‖ ≥ Δ \text{ or } u^TBu ≤ 0 \\
       p_c + β(p_n - p_c),\ ‖d‖ = Δ & \text{else} \end{cases} $$

    A Newton step that is not finite, or lowers the model less than the Cauchy point (B is indefinite then), is left
    out, and the path ends at the Cauchy point. See `TrustRegionBase` for the rules of Δ.

    Args:
        hess_module: module that models the curvature.
        eta: least ratio of a step that is taken.
        nplus: growth of Δ, ≥ 1.
        nminus: shrinkage of Δ, in (0, 1).
        rho_good: ratio above which Δ grows.
        rho_bad: ratio below which Δ shrinks.
        boundary_tol: Δ grows only if 1 - ‖d‖/Δ is below this; None lets it grow anyway.
        init: first Δ > 0. The field is called `initial`, as `init` is the function that makes states.
        max_attempts: most trials a step.
        radius_strategy: "default", or "fixed" for a Δ that stays and one trial, taken unless it is not finite.
        update_freq: steps between two updates of the curvature, a whole number ≥ 1.
        inner: module that makes the direction which is solved for.
        keep_grad: evaluate the gradient with every trial, so that nobody has to after the step.

    Raises:
        ValueError: for a number outside its range.
        TypeError: if `hess_module` models no curvature.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.Dogleg(tz.m.Newton()), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([2.])

    Reference: Powell 1970; Nocedal & Wright 2006, Numerical optimization, section 4.1,
    https://doi.org/10.1007/978-0-387-40065-5
    """

    def __init__(
        self,
        hess_module: Chainable,
        eta: Hyper = 0.0,
        nplus: Hyper = 2.0,
        nminus: Hyper = 0.25,
        rho_good: Hyper = 0.75,
        rho_bad: Hyper = 0.25,
        boundary_tol: Hyper = None,
        init: Hyper = 1.0,
        max_attempts: Hyper = 10,
        radius_strategy: str = "default",
        update_freq: Hyper = 1,
        inner: Chainable | None = None,
        keep_grad: bool = False,
    ) -> None:
        self._set(
            hess_module=hess_module,
            eta=eta,
            nplus=nplus,
            nminus=nminus,
            rho_good=rho_good,
            rho_bad=rho_bad,
            boundary_tol=boundary_tol,
            initial=init,
            max_attempts=max_attempts,
            radius_strategy=radius_strategy,
            update_freq=update_freq,
            inner=inner,
            keep_grad=keep_grad,
        )

    def prepare(self, B: Operator, u: Tensor, f0: Tensor, value: object) -> tuple[Corners, int]:
        size, Bu = safe_norm(u), B.matvec(u)
        curvature = u @ Bu
        curved = curvature > 0
        safe = torch.where(curved, curvature, torch.ones_like(curvature))
        scale = torch.where(curved, (u @ u) / safe, torch.zeros_like(safe))
        cauchy, newton = scale * u, B.solve(u)
        finite = torch.isfinite(newton).all()
        newton = torch.where(finite, newton, cauchy)
        gain = u @ newton - 0.5 * (newton @ B.matvec(newton))
        useful = finite & (gain >= 0.5 * scale * (u @ u))
        newton = torch.where(useful, newton, cauchy)
        return Corners(u * safe_div(torch.ones_like(size), size), cauchy, newton, curved), 0

    def subproblem(self, B: Operator, u: Tensor, radius: Tensor, prepared: Corners) -> Tensor:
        downhill, cauchy, newton, curved = prepared
        short = ~curved | (safe_norm(cauchy) >= radius)
        start = torch.where(short, torch.zeros_like(u), cauchy)
        between = to_boundary(start, torch.where(short, downhill, newton - start), radius)
        inside = curved & (safe_norm(newton) <= radius)
        return torch.where(inside, newton, between)
