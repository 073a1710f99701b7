"""NystromSketchAndSolve: Newton's step with a low-rank approximation of the Hessian."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import random
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, nonnegative, positive, static
from torchzero.core.module import Module
from torchzero.core.vector import AtVector, VectorTransform
from torchzero.linalg.nystrom import nystrom
from torchzero.linalg.operators import LowRankShift
from torchzero.linalg.safe_qr import safe_qr
from torchzero.second_order.base import HVP_METHODS, Products
from torchzero.step_size.base import single
from torchzero.trust_region.base import numbers

METHODS = ("qr",)


class Factors(NamedTuple):
    """A Nyström approximation Q diag(L) Qᵀ."""

    L: Tensor  # (k,)    ascending
    Q: Tensor  # (n, k)  orthonormal columns


def no_factors(n: int, rank: int, like: Tensor) -> Factors:
    """The zero matrix, before anything is known."""
    k = min(rank, n)
    Q = torch.zeros(n, k, dtype=like.dtype, device=like.device)
    return Factors(Q.sum(0), Q)


def sketch(key: Tensor, n: int, k: int, like: Tensor, orthonormal: bool) -> Tensor:
    """A Gaussian sketch (n, k), its columns orthonormal if wanted."""
    omega = random.normal(key.to(like.device), (n, k), torch.float64).to(like.dtype)
    return safe_qr(omega) if orthonormal and k else omega


def approximate(product: Products, key: Tensor, k: int, method: str | None, old: Factors) -> tuple[Factors, Tensor]:
    """A new approximation of rank k, the old one where the Hessian is not positive, and whether it is new."""
    omega = sketch(key, product.x.numel(), k, product.x, method is not None)
    if not k:
        return old, torch.ones((), dtype=torch.bool, device=omega.device)
    L, Q, exists = nystrom(omega, product.columns(omega))
    return Factors(torch.where(exists, L, old.L), torch.where(exists, Q, old.Q)), exists


class NystromState(NamedTuple):
    """State of NystromSketchAndSolve."""

    t: Tensor  # () int64            updates absorbed
    key: Tensor  # (2,) int64        of the sketches
    factors: Factors  # (k,), (n, k)   of the Hessian
    known: Tensor  # () bool         whether there ever was an approximation
    evaluations: Tensor  # () int64   of the objective in the last update, away from x0


class NystromSketchAndSolve(VectorTransform):
    r"""Multiply the update by the inverse of a low-rank approximation of the Hessian plus a multiple of the identity.

    $$ ∇^2f(θ_t) ≈ Q\,\mathrm{diag}(L)\,Q^T,\quad
       d_t = Q(L + ρI)^{-1}Q^Tu_t + \frac{1}{ρ}(u_t - QQ^Tu_t) $$

    from the products of the Hessian with a random sketch (see `torchzero.linalg.nystrom`). Where the sketched Hessian
    is not positive definite the last approximation is kept; before the first one the update is handed on.

    Args:
        rank: k, columns of the sketch; at most the number of parameters.
        reg: ρ > 0, or None for $QL^{-1}Q^Tu$, zero along eigenvalues of zero.
        eigv_tol: eigenvalues not above this part of the largest one count as zero.
        truncate: how many of the largest eigenvalues are kept.
        damping: added to those that are kept.
        rdamping: added to those that are kept, times the largest one.
        update_freq: steps between two approximations, a whole number ≥ 1.
        orthogonalize_method: "qr" for an orthonormal sketch, None for a Gaussian one.
        hvp_method: see `NewtonCG`; all products are made in one batch where that is possible.
        h: length of the differences' step.
        inner: module that makes the direction which is multiplied.
        seed: of the sketches; None draws one from torch's generator when the module is built.

    Raises:
        ValueError: for a number outside its range, or an unknown method.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.NystromSketchAndSolve(rank=2, reg=1.0, seed=0), torch.tensor([3.0, 6.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([1.0000, 2.0000])

    Reference: Frangella, Tropp & Udell 2023, https://arxiv.org/abs/2110.02820; Frangella, Rathore, Zhao & Udell 2024,
    https://arxiv.org/abs/2211.08597
    """

    locality = "global"

    rank: int = static(100, low=1, integer=True)
    reg: Hyper = positive(1e-2, optional=True)
    eigv_tol: Hyper = nonnegative(0.0)
    truncate: Hyper = integer(1, None)
    damping: Hyper = nonnegative(0.0)
    rdamping: Hyper = nonnegative(0.0)
    update_freq: Hyper = integer(1, 1)
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
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The gradient at x0 only for one-sided differences."""
        return frozenset({"objective", "hvp"}) | ({"grad"} if self.hvp_method == "fd_forward" else frozenset())

    def init_vector(self, x: Tensor) -> NystromState:
        count = torch.zeros((), dtype=torch.int64, device=x.device)
        like = x.to(torch.promote_types(x.dtype, torch.float32))
        key = random.key(single(self, "seed")[0], x.device)
        none = torch.zeros((), dtype=torch.bool, device=x.device)
        return NystromState(count, key, no_factors(x.numel(), self.rank, like), none, count)

    def update_vector(self, state: NystromState, u: Tensor, at: AtVector) -> NystromState:
        freq, h = single(self, "update_freq", "h")
        k = len(state.factors.L)
        spent = 0

        def look() -> tuple[Factors, Tensor]:
            nonlocal spent
            product = Products(at.var, at.var.need_objective(self), self.hvp_method, h)
            spent = k * product.cost
            key = random.fold_in(state.key, state.t)
            return approximate(product, key, k, self.orthogonalize_method, state.factors)

        due = state.t % freq == 0
        factors, new = cond(due, look, lambda: (state.factors, state.known))
        return NystromState(state.t + 1, state.key, factors, state.known | new, due * spent)

    def _kept(self, state: NystromState) -> tuple[Tensor, Tensor]:
        """The eigenvalues, regularised, and the eigenvectors; zeros where left out."""
        L, Q = state.factors
        tol, damping, rdamping = numbers(self, L, "eigv_tol", "damping", "rdamping")
        top = L[-1] if len(L) else L.sum()
        kept = (top * tol < L) & (L > 0)
        if self.truncate is not None:
            place = torch.arange(len(L) - 1, -1, -1, device=L.device)
            kept = kept & (place < single(self, "truncate")[0])
        return torch.where(kept, L + damping + rdamping * top, torch.zeros_like(L)), Q * kept

    def operator_vector(self, state: NystromState) -> LowRankShift:
        L, Q = self._kept(state)
        (reg,) = numbers(self, L, "reg")
        shift = torch.zeros_like(L.sum()) if reg is None else reg * torch.ones_like(L.sum())
        return LowRankShift(Q, L, torch.where(state.known, shift, torch.ones_like(shift)))

    def apply_vector(self, state: NystromState, u: Tensor, at: AtVector) -> Tensor:
        return self.operator_vector(state).solve(u.to(state.factors.L.dtype))

    def evaluations(self, state: Any) -> Any:
        own = state.own if self.children() else state
        return own.evaluations + super().evaluations(state)
