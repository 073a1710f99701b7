"""MINRES: the smallest residual in a Krylov space, for symmetric matrices of any signature."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core.control import while_loop
from torchzero.core.safe import safe_div, safe_norm, safe_sqrt
from torchzero.linalg.cg import Product, Solution, scalar, to_boundary


class Lanczos(NamedTuple):
    """Where the iteration stands."""

    k: Tensor  # () int64     products made
    x: Tensor  # (n,)
    r: Tensor  # (n,)         b - Ax
    v: Tensor  # (n,)         the newest Lanczos vector
    v_old: Tensor  # (n,)     the one before
    D: Tensor  # (n,)         the newest direction
    D_old: Tensor  # (n,)     the one before
    beta: Tensor  # ()        β_k
    delta: Tensor  # ()       δ⁽¹⁾_k
    eps: Tensor  # ()         ε_k
    c: Tensor  # ()           cosine of the last rotation
    s: Tensor  # ()           its sine
    phi: Tensor  # ()         ‖r‖
    converged: Tensor  # () bool
    on_boundary: Tensor  # () bool
    done: Tensor  # () bool


def minres(
    product: Product,
    b: Tensor,
    x0: Tensor | None = None,
    *,
    tol: Tensor | float = 1e-8,
    maxiter: Tensor | int | None = None,
    miniter: Tensor | int = 1,
    reg: Tensor | float = 0.0,
    trust_radius: Tensor | float | None = None,
    npc_terminate: bool = False,
) -> Solution:
    r"""Minimise ‖b - (A + ρI)x‖ over growing Krylov spaces, for a symmetric A known by its products.

    Lanczos vectors v, plane rotations (c, s), and

    $$ D_k = \frac{v_k - δ^{(2)}_kD_{k-1} - ε_kD_{k-2}}{γ^{(2)}_k},\quad x_k = x_{k-1} + c_kφ_{k-1}D_k $$

    Curvature along the residual is not positive exactly when $c_{k-1}γ^{(1)}_k ≥ 0$. With `npc_terminate` this ends the
    iteration: the residual itself is returned, or with a trust region the point on the sphere in its direction. An
    iterate that leaves the trust region is stopped at the sphere.

    Args:
        product: v -> Av, (n,) -> (n,).
        b: (n,).
        x0: (n,) where to start; zero by default.
        tol: absolute tolerance of the residual.
        maxiter: most iterations; n by default.
        miniter: fewest iterations, unless the residual is exactly zero.
        reg: ρ.
        trust_radius: largest ‖x‖.
        npc_terminate: whether curvature that is not positive ends the iteration.

    >>> A, b = torch.tensor([[4.0, 1.0], [1.0, -3.0]]), torch.tensor([1.0, 2.0])
    >>> minres(lambda v: A @ v, b).x
    tensor([ 0.3846, -0.5385])

    Reference: Paige & Saunders 1975, https://doi.org/10.1137/0712047; Liu & Roosta 2022, algorithm 1,
    https://arxiv.org/abs/2206.05732
    """
    tol, reg = scalar(tol, b), scalar(reg, b)
    radius = None if trust_radius is None else scalar(trust_radius, b)
    most = b.numel() if maxiter is None else maxiter
    no = torch.zeros((), dtype=torch.bool, device=b.device)
    zero = torch.zeros((), dtype=b.dtype, device=b.device)
    breakdown = torch.finfo(b.dtype).eps

    def body(at: Lanczos) -> Lanczos:
        Av = product(at.v) + reg * at.v
        p = Av - at.beta * at.v_old
        alpha = at.v @ p
        p = p - alpha * at.v
        beta = safe_norm(p)
        # A beta of the size of rounding means that the Krylov space is exhausted; its vector would be noise.
        beta = torch.where(beta <= breakdown * safe_norm(Av), torch.zeros_like(beta), beta)
        delta2 = at.c * at.delta + at.s * alpha
        gamma1 = at.s * at.delta - at.c * alpha
        eps, delta = at.s * beta, -at.c * beta
        gamma2 = safe_sqrt(gamma1 * gamma1 + beta * beta)
        finite = torch.isfinite(gamma2)
        bent = at.c * gamma1 >= 0
        c = torch.where(gamma2 == 0, torch.zeros_like(gamma2), safe_div(gamma1, gamma2))
        s = torch.where(gamma2 == 0, torch.ones_like(gamma2), safe_div(beta, gamma2))
        phi = s * at.phi
        D = safe_div(at.v - delta2 * at.D - at.eps * at.D_old, gamma2.expand_as(b))
        x = at.x + c * at.phi * D
        v = safe_div(p, beta.expand_as(b))
        r = s * s * at.r - phi * c * v
        ended = ~finite | (gamma2 == 0) | (beta == 0)
        on_boundary = no
        if npc_terminate:
            along = at.r if radius is None else to_boundary(at.x, at.r, radius)
            x = torch.where(bent, along, x)
            ended = ended | bent
            on_boundary = bent if radius is not None else no
        if radius is not None:
            outside = ~on_boundary & (safe_norm(x) >= radius)
            x = torch.where(outside, to_boundary(at.x, c * at.phi * D, radius), x)
            on_boundary = on_boundary | outside
            ended = ended | outside
        x = torch.where(finite, x, at.x)
        converged = ~on_boundary & finite & (((phi < tol) & (at.k + 1 >= miniter)) | (phi == 0))
        done = ended | converged
        return Lanczos(
            at.k + 1, x, r, v, at.v + 0.0, D, at.D + 0.0, beta, delta, eps, c, s, phi, converged, on_boundary, done
        )

    x = torch.zeros_like(b) if x0 is None else x0
    r = b if x0 is None else b - product(x0) - reg * x0
    phi = safe_norm(r)
    v = safe_div(r, phi.expand_as(b))
    nothing = torch.zeros_like(b)
    converged = (phi == 0) | ((phi < tol) & (miniter <= 0))
    k = torch.zeros((), dtype=torch.int64, device=b.device)
    start = Lanczos(
        k, x, r + 0.0, v, nothing, nothing, nothing, zero, zero, zero, zero - 1, zero, phi, converged, no, converged
    )
    end = while_loop(lambda at: ~at.done & (at.k < most), body, start)
    return Solution(end.x, end.k + (x0 is not None), end.converged, end.on_boundary)
