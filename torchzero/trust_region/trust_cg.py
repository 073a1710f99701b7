"""TrustCG: the model is minimised in a ball by truncated conjugate gradients."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, integer, nonnegative, static
from torchzero.core.safe import safe_div, safe_norm
from torchzero.linalg.cg import cg
from torchzero.linalg.operators import Operator, ScaledIdentity
from torchzero.trust_region.base import TrustRegionBase, numbers


class TrustCG(TrustRegionBase):
    r"""Minimise the model by conjugate gradients that stop at the surface of the ball.

    $$ d ≈ \arg\min_{‖d‖ ≤ Δ} -u^Td + ½\,d^T(B + ρI)d $$

    Iterates that leave the ball and directions without positive curvature end at its surface (Steihaug and Toint). See
    `TrustRegionBase` for the rules of Δ.

    Args:
        hess_module: module that models the curvature; only products with it are needed.
        eta: least ratio of a step that is taken.
        nplus: growth of Δ, ≥ 1.
        nminus: shrinkage of Δ, in (0, 1).
        rho_good: ratio above which Δ grows.
        rho_bad: ratio below which Δ shrinks.
        boundary_tol: Δ grows only if 1 - ‖d‖/Δ is below this; None lets it grow anyway.
        init: first Δ > 0. The field is called `initial`, as `init` is the function that makes states.
        max_attempts: most trials a step.
        radius_strategy: "default", or "fixed" for a Δ that stays and one trial, taken unless it is not finite.
        reg: ρ ≥ 0.
        maxiter: most iterations; the number of parameters by default.
        miniter: fewest iterations, unless the residual is exactly zero.
        cg_tol: absolute tolerance of the residual.
        prefer_exact: solve in closed form where B is a multiple of the identity.
        update_freq: steps between two updates of the curvature, a whole number ≥ 1.
        inner: module that makes the direction which is solved for.
        keep_grad: evaluate the gradient with every trial, so that nobody has to after the step.

    Raises:
        ValueError: for a number outside its range.
        TypeError: if `hess_module` models no curvature.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.TrustCG(tz.m.Newton()), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([2.])

    Reference: Steihaug 1983, https://doi.org/10.1137/0720042; Toint 1981
    """

    reg: Hyper = nonnegative(0.0)
    maxiter: Hyper = integer(1, None)
    miniter: Hyper = integer(0, 1)
    cg_tol: Hyper = nonnegative(1e-8)
    prefer_exact: bool = static(True)

    def __init__(
        self,
        hess_module: Chainable,
        eta: Hyper = 0.0,
        nplus: Hyper = 3.5,
        nminus: Hyper = 0.25,
        rho_good: Hyper = 0.99,
        rho_bad: Hyper = 1e-4,
        boundary_tol: Hyper = 1e-6,
        init: Hyper = 1.0,
        max_attempts: Hyper = 10,
        radius_strategy: str = "default",
        reg: Hyper = 0.0,
        maxiter: Hyper = None,
        miniter: Hyper = 1,
        cg_tol: Hyper = 1e-8,
        prefer_exact: bool = True,
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
            reg=reg,
            maxiter=maxiter,
            miniter=miniter,
            cg_tol=cg_tol,
            prefer_exact=prefer_exact,
            update_freq=update_freq,
            inner=inner,
            keep_grad=keep_grad,
        )

    def subproblem(self, B: Operator, u: Tensor, radius: Tensor, prepared: Any) -> Tensor:
        reg, tol, most, least = numbers(self, u, "reg", "cg_tol", "maxiter", "miniter")
        if self.prefer_exact and isinstance(B, ScaledIdentity):
            size, curvature = safe_norm(u), B.scale + reg
            length = torch.where(curvature > 0, torch.minimum(safe_div(size, curvature), radius), radius)
            return u * safe_div(length, size)
        return cg(B.matvec, u, tol=tol, reg=reg, maxiter=most, miniter=least, trust_radius=radius).x
