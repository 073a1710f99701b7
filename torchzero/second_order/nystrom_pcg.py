"""NystromPCG: Newton's step by conjugate gradients, preconditioned by a sketch of the Hessian."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, nonnegative, positive, static
from torchzero.core.module import Module
from torchzero.core.var import Var
from torchzero.linalg.cg import cg
from torchzero.linalg.nystrom import nystrom_preconditioner
from torchzero.second_order.base import HVP_METHODS, Products
from torchzero.second_order.nystrom_sketch_and_solve import METHODS, Factors, approximate, no_factors
from torchzero.step_size.base import single
from torchzero.trust_region.base import Solved, Solving, numbers


class NystromPCGState(NamedTuple):
    """What NystromPCG keeps."""

    t: Tensor  # () int64            updates absorbed
    key: Tensor  # (2,) int64        of the sketches
    factors: Factors  # (k,), (n, k)   of the Hessian


class NystromPCG(Solving):
    r"""Solve for Newton's step by conjugate gradients with a Nyström preconditioner.

    $$ (∇^2f(θ_t) + ρI)\,d_t = u_t \quad\text{up to}\quad ‖r‖ < \text{tol}\,‖u_t‖,\quad
       P^{-1} = (λ_{\min} + ρ)\,Q(L + ρI)^{-1}Q^T + I - QQ^T $$

    Where the sketched Hessian is not positive definite the last approximation is kept; before the first one there is no
    preconditioner.

    Args:
        rank: columns of the sketch; at most the number of parameters.
        maxiter: most iterations; the number of parameters by default.
        tol: tolerance of the residual, relative to u.
        reg: ρ > 0.
        update_freq: steps between two sketches, a whole number ≥ 1.
        eigv_tol: eigenvalues not above this part of the largest one are left out of the preconditioner.
        orthogonalize_method: "qr" for an orthonormal sketch, None for a Gaussian one.
        hvp_method: see `NewtonCG`.
        h: length of the differences' step.
        inner: module that makes the direction which is solved for.
        seed: of the sketches; None draws one from torch's generator when the module is built.

    Raises:
        ValueError: for a number outside its range, or an unknown method.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.NystromPCG(rank=1, seed=0), torch.tensor([3.0, 6.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum() + x.prod())[0].abs().max() < 1e-4
    tensor(True)

    Reference: Frangella, Tropp & Udell 2023, https://arxiv.org/abs/2110.02820
    """

    rank: int = static(100, low=1, integer=True)
    maxiter: Hyper = integer(1, None)
    tol: Hyper = nonnegative(1e-8)
    reg: Hyper = positive(1e-6)
    update_freq: Hyper = integer(1, 1)
    eigv_tol: Hyper = nonnegative(0.0)
    orthogonalize_method: str | None = static("qr", choices=(*METHODS, None))
    hvp_method: str = static("batched_autograd", choices=HVP_METHODS)
    h: Hyper = positive(1e-3)
    inner: Module | None = child(None)
    seed: Hyper = integer(0, None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    @property
    def needs(self) -> frozenset[str]:
        """The gradient at x0 only for one-sided differences."""
        return frozenset({"objective", "hvp"}) | ({"grad"} if self.hvp_method == "fd_forward" else frozenset())

    def start(self, x: Tensor) -> NystromPCGState:
        count = torch.zeros((), dtype=torch.int64, device=x.device)
        key = random.key(single(self, "seed")[0], x.device)
        return NystromPCGState(count, key, no_factors(x.numel(), self.rank, x))

    def solve(self, own: NystromPCGState, u: Tensor, var: Var) -> Solved:
        freq, h = single(self, "update_freq", "h")
        tol, reg, least, most = numbers(self, u, "tol", "reg", "eigv_tol", "maxiter")
        product = Products(var, var.need_objective(self), self.hvp_method, h)
        k = len(own.factors.L)

        def look() -> Factors:
            return approximate(product, random.fold_in(own.key, own.t), k, self.orthogonalize_method, own.factors)[0]

        due = own.t % freq == 0
        factors = cond(due, look, lambda: own.factors)
        L, Q = factors
        kept = least * L[-1:] < L
        L, Q = tree.own((L, Q * kept))
        precondition = nystrom_preconditioner(L, Q, reg) if k else None
        end = cg(product, u, tol=0.0, rtol=tol, reg=reg, maxiter=most, preconditioner=precondition)
        spent = (end.products + due * k) * product.cost
        return Solved(NystromPCGState(own.t + 1, own.key, factors), end.x, spent)
