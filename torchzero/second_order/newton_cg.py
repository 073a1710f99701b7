"""NewtonCG: Newton's step by conjugate gradients, without a matrix."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, child, integer, nonnegative, positive, static, within
from torchzero.core.module import Module
from torchzero.core.safe import safe_norm, safe_sqrt
from torchzero.core.var import Var
from torchzero.linalg.cg import cg
from torchzero.linalg.minres import minres
from torchzero.quasi_newton.base import first_step_size
from torchzero.second_order.base import HVP_METHODS, Products
from torchzero.step_size.base import single
from torchzero.trust_region.base import Solved, Solving, numbers

SOLVERS = ("cg", "minres")


class NewtonCGState(NamedTuple):
    """What NewtonCG keeps."""

    warm: Any  # (n,)   where the next solve starts; () without warm_start


class NewtonCG(Solving):
    r"""Solve for Newton's step by an iteration that only multiplies by the Hessian.

    $$ (∇^2f(θ_t) + ρI)\,d_t = u_t \quad\text{up to}\quad ‖r‖ < \text{tol} $$

    Conjugate gradients (see `torchzero.linalg.cg.cg` for its rules at negative curvature) or MINRES.

    Args:
        maxiter: most iterations; the number of parameters by default.
        tol: absolute tolerance of the residual.
        reg: ρ ≥ 0.
        hvp_method: "autograd" (or "batched_autograd", the same) differentiates, one forward pass for all products;
            "fd_forward" and "fd_central" take differences of one or two gradients a product.
        solver: "cg" or "minres".
        npc_terminate: stop at a direction without positive curvature.
        h: length of the differences' step.
        miniter: fewest iterations, unless the residual is exactly zero.
        warm_start: start from the running mean of earlier directions.
        warm_beta: its decay, in [0, 1).
        inner: module that makes the direction which is solved for.
        truncated: solve only as far as a line search can use it: to ‖r‖ < min(½, √‖u‖) ‖u‖, if `tol` is not larger, and
            no further than a direction without positive curvature (`npc_terminate`), which is followed downhill if it
            is the first one. Where the result does not go downhill the direction is u, no longer than 1 in the 1-norm.

    Raises:
        ValueError: for a number outside its range, or an unknown method or solver.

    >>> import torch, torchzero as tz
    >>> newton, x = tz.m.NewtonCG(reg=0.0), torch.tensor([3.0, 1.0])
    >>> newton(x, newton.init(x), lambda x: (x**2).sum())[0]
    tensor([0., 0.])

    Reference: Nocedal & Wright 2006, Numerical optimization, algorithm 7.1; Liu & Roosta 2022,
    https://arxiv.org/abs/2206.05732
    """

    maxiter: Hyper = integer(1, None)
    tol: Hyper = nonnegative(1e-8)
    reg: Hyper = nonnegative(1e-8)
    hvp_method: str = static("autograd", choices=HVP_METHODS)
    solver: str = static("cg", choices=SOLVERS)
    npc_terminate: bool = static(False)
    h: Hyper = positive(1e-3)
    miniter: Hyper = integer(0, 1)
    warm_start: bool = static(False)
    warm_beta: Hyper = within(0, 1, default=0.0)
    inner: Module | None = child(None)
    truncated: bool = static(False)

    @property
    def needs(self) -> frozenset[str]:
        """The gradient at x0 only for one-sided differences."""
        return frozenset({"objective", "hvp"}) | ({"grad"} if self.hvp_method == "fd_forward" else frozenset())

    def start(self, x: Tensor) -> NewtonCGState:
        return NewtonCGState(torch.zeros_like(x) if self.warm_start else ())

    def solve(self, own: NewtonCGState, u: Tensor, var: Var) -> Solved:
        tol, reg, decay, most, least = numbers(self, u, "tol", "reg", "warm_beta", "maxiter", "miniter")
        product = Products(var, var.need_objective(self), self.hvp_method, single(self, "h")[0])
        run = cg if self.solver == "cg" else minres
        size = safe_norm(u)
        if self.truncated:
            tol = torch.maximum(tol, safe_sqrt(size).clamp_max(0.5) * size)
        end = run(
            product,
            u,
            own.warm if self.warm_start else None,
            tol=tol,
            reg=reg,
            maxiter=most,
            miniter=least,
            npc_terminate=self.npc_terminate or self.truncated,
        )
        d = end.x
        if self.truncated:
            good = torch.isfinite(d).all() & (u @ d > 0)
            d = torch.where(good, d, first_step_size(u) * u)
        if self.warm_start:
            own = NewtonCGState(decay * own.warm + (1 - decay) * d)
        return Solved(own, d, end.products * product.cost)
