"""Conjugate gradients, with a trust region and with rules for negative curvature."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core.control import while_loop
from torchzero.core.hyper import as_scalar
from torchzero.core.safe import safe_div, safe_norm, safe_sqrt

Product = Callable[[Tensor], Tensor]


class Solution(NamedTuple):
    """What an iterative solver found."""

    x: Tensor  # (n,)
    products: Tensor  # () int64      how many products with A were made
    converged: Tensor  # () bool      whether the residual is below the tolerance
    on_boundary: Tensor  # () bool    whether x was stopped at the trust radius


class Iterate(NamedTuple):
    """Where the iteration stands."""

    k: Tensor  # () int64     products made
    x: Tensor  # (n,)
    r: Tensor  # (n,)         b - Ax
    d: Tensor  # (n,)         the conjugate direction
    rz: Tensor  # ()          rᵀPr
    converged: Tensor  # () bool
    on_boundary: Tensor  # () bool
    done: Tensor  # () bool


def scalar(value: Tensor | float, like: Tensor) -> Tensor:
    """A number as a 0-d tensor like `like`; what is one already as it is."""
    return value if isinstance(value, Tensor) and value.dtype == like.dtype else as_scalar(value, like)


def to_boundary(x: Tensor, d: Tensor, radius: Tensor) -> Tensor:
    """The point x + τd, τ ≥ 0, with norm `radius`; x where d is zero."""
    dd, xd = d @ d, x @ d
    root = safe_sqrt((xd * xd + dd * (radius * radius - x @ x)).clamp_min(0))
    return x + safe_div(root - xd, dd) * d


def cg(
    product: Product,
    b: Tensor,
    x0: Tensor | None = None,
    *,
    tol: Tensor | float = 1e-8,
    rtol: Tensor | float = 0.0,
    maxiter: Tensor | int | None = None,
    miniter: Tensor | int = 1,
    reg: Tensor | float = 0.0,
    trust_radius: Tensor | float | None = None,
    npc_terminate: bool = False,
    preconditioner: Product | None = None,
) -> Solution:
    r"""Solve (A + ρI)x = b for a symmetric A known by its products.

    $$ x_{k+1} = x_k + α_kd_k,\quad α_k = \frac{r_k^TPr_k}{d_k^T(A+ρI)d_k},\quad
       r_{k+1} = r_k - α_k(A+ρI)d_k,\quad d_{k+1} = Pr_{k+1} + \frac{r_{k+1}^TPr_{k+1}}{r_k^TPr_k}d_k $$

    until ‖r‖ < max(tol, rtol ‖b‖), and anyway when r is zero. In a trust region (Steihaug and Toint) an iterate that
    leaves the ball, or a direction without positive curvature, ends the iteration at the sphere. Without one, such a
    direction in the first iteration is followed downhill, with |α|; later it ends the iteration if `npc_terminate`,
    and is a step like any other if not. A product that is not finite ends the iteration before it.

    Args:
        product: v -> Av, (n,) -> (n,).
        b: (n,).
        x0: (n,) where to start; zero by default.
        tol: absolute tolerance of the residual.
        rtol: tolerance relative to b.
        maxiter: most iterations; n by default.
        miniter: fewest iterations, unless the residual is exactly zero.
        reg: ρ.
        trust_radius: largest ‖x‖.
        npc_terminate: whether directions without positive curvature end the iteration.
        preconditioner: v -> Pv with P ≈ A⁻¹ positive definite.

    >>> A, b = torch.tensor([[4.0, 1.0], [1.0, 3.0]]), torch.tensor([1.0, 2.0])
    >>> cg(lambda v: A @ v, b).x
    tensor([0.0909, 0.6364])
    >>> cg(lambda v: A @ v, b, trust_radius=0.5).x.norm()
    tensor(0.5000)

    Reference: Hestenes & Stiefel 1952, https://doi.org/10.6028/jres.049.044; Steihaug 1983,
    https://doi.org/10.1137/0720042
    """
    tol, rtol, reg = scalar(tol, b), scalar(rtol, b), scalar(reg, b)
    radius = None if trust_radius is None else scalar(trust_radius, b)
    most = b.numel() if maxiter is None else maxiter
    precondition = (lambda v: v) if preconditioner is None else preconditioner
    tiny = 2 * torch.finfo(b.dtype).tiny
    enough = torch.maximum(tol, rtol * safe_norm(b))
    no = torch.zeros((), dtype=torch.bool, device=b.device)

    def body(at: Iterate) -> Iterate:
        Ad = product(at.d) + reg * at.d
        curvature = at.d @ Ad
        finite = torch.isfinite(curvature)
        bent = curvature <= tiny
        alpha = at.rz / torch.where(curvature == 0, torch.ones_like(curvature), curvature)
        on_boundary = no
        if radius is None:
            first = bent & (at.k == 0)
            size = torch.where(curvature == 0, torch.ones_like(alpha), alpha.abs())
            alpha = torch.where(first, size, alpha)
            x = at.x + alpha * at.d
            halt = ~finite | (bent & ~first & (npc_terminate | (curvature == 0)))
            ended = first
        else:
            x = at.x + alpha * at.d
            on_boundary = finite & (bent | (safe_norm(x) >= radius))
            x = torch.where(on_boundary, to_boundary(at.x, at.d, radius), x)
            halt, ended = ~finite, on_boundary
        r = at.r - alpha * Ad
        z = precondition(r)
        rz = r @ z
        size = safe_norm(r)
        converged = ~(bent | on_boundary | halt) & (((size < enough) & (at.k + 1 >= miniter)) | (size == 0))
        d = z + safe_div(rz, at.rz) * at.d
        x = torch.where(halt, at.x, x)
        return Iterate(at.k + 1, x, r, d, rz, converged, on_boundary, converged | halt | ended)

    x = torch.zeros_like(b) if x0 is None else x0
    r = b if x0 is None else b - product(x0) - reg * x0
    z = precondition(r)
    size = safe_norm(r)
    converged = (size == 0) | ((size < enough) & (miniter <= 0))
    k = torch.zeros((), dtype=torch.int64, device=b.device)
    start = Iterate(k, x, r, z, r @ z, converged, no, converged)
    end = while_loop(lambda at: ~at.done & (at.k < most), body, start)
    return Solution(end.x, end.k + (x0 is not None), end.converged, end.on_boundary)
