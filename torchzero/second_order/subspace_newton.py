"""SubspaceNewton: Newton's step inside of a small subspace."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import random
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, nonnegative, number, positive, static
from torchzero.core.module import Module
from torchzero.core.safe import safe_div, safe_norm
from torchzero.core.vector import AtVector, VectorTransform
from torchzero.linalg.operators import LowRankShift
from torchzero.linalg.safe_eigh import safe_eigh
from torchzero.linalg.safe_qr import safe_qr
from torchzero.second_order.base import HVP_METHODS, Model, Products, SymmetricModel
from torchzero.step_size.base import single

SKETCHES = ("common_directions", "orthonormal", "rademacher", "rows", "topk", "mixed")


class SubspaceNewtonState(NamedTuple):
    """State of SubspaceNewton; n parameters, k columns."""

    t: Tensor  # () int64            updates absorbed
    key: Tensor  # (2,) int64        of the sketches
    S: Tensor  # (n, k)              the basis: orthonormal columns, or zeros
    A: Tensor  # (k, k)              SᵀHS, 1 on the diagonal for columns of zeros
    model: Model  # (k, k) and the like   the same in the form that it is solved with
    history: Any  # (k, n)           the last directions, the newest last; () unless the sketch needs them
    slow: Any  # (n,)                running mean of the direction with β = 0.999; () unless "mixed"
    fast: Any  # (n,)                with β = 0.9; () unless "mixed"
    x: Any  # (n,)                   the parameters before; () unless "mixed"
    evaluations: Tensor  # () int64   of the objective in the last update, away from x0


class SubspaceNewton(VectorTransform):
    r"""Minimise the quadratic model within the span of a few vectors.

    $$ H_S = S^T∇^2f(θ_t)S,\quad d_t = S(H_S + δI)^{-1}S^Tu_t,\quad S^TS = I $$

    at the cost of one product with the Hessian for each of the k columns of S. S is the orthonormal basis of

    - "common_directions": the last k incoming directions;
    - "orthonormal": k Gaussian vectors; "rademacher": k vectors of signs;
    - "rows": k coordinates at random; "topk": the k coordinates with the largest |u|;
    - "mixed": the direction, its running means with β = 0.999 and 0.9, the last change of the parameters, and
      k - 4 Gaussian vectors.

    Vectors that depend on the others are left out. What is orthogonal to S is not moved.

    Args:
        sketch_size: k ≥ 1, at most the number of parameters.
        sketch_type: see above.
        damping: δ.
        eigval_fn: see `Newton`.
        eigv_tol: see `Newton`.
        truncate: see `Newton`.
        update_freq: steps between two bases, a whole number ≥ 1.
        precompute_inverse: keep the inverse of the small matrix.
        use_lstsq: always solve in the sense of least squares.
        hvp_method: see `NewtonCG`; all products are made in one batch where that is possible.
        h: length of the differences' step.
        seed: of the sketches; None draws one from torch's generator when the module is built.
        inner: module that makes the direction which is multiplied.

    Raises:
        ValueError: for a number outside its range, or an unknown method or sketch.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SubspaceNewton(sketch_size=1, sketch_type="topk", seed=0), torch.tensor([3.0, 6.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([3., 0.])

    Reference: Gower, Kovalev, Lieder & Richtárik 2019, https://arxiv.org/abs/1905.10874; Wang, Lee & Lin 2019,
    https://www.jmlr.org/papers/v20/16-309.html
    """

    locality = "global"

    sketch_size: int = static(100, low=1, integer=True)
    sketch_type: str = static("common_directions", choices=SKETCHES)
    damping: Hyper = number(0.0)
    eigval_fn: Callable[[Tensor], Tensor] | None = static(None)
    eigv_tol: Hyper = nonnegative(None)
    truncate: Hyper = integer(1, None)
    update_freq: Hyper = integer(1, 1)
    precompute_inverse: bool = static(False)
    use_lstsq: bool = static(False)
    hvp_method: str = static("batched_autograd", choices=HVP_METHODS)
    h: Hyper = positive(1e-2)
    seed: Hyper = integer(0, None)
    inner: Module | None = child(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The gradient at x0 only for one-sided differences."""
        return frozenset({"objective", "hvp"}) | ({"grad"} if self.hvp_method == "fd_forward" else frozenset())

    def init_vector(self, x: Tensor) -> SubspaceNewtonState:
        count = torch.zeros((), dtype=torch.int64, device=x.device)
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        n, k = x.numel(), min(self.sketch_size, x.numel())
        zeros, mixed = torch.zeros_like(x), self.sketch_type == "mixed"
        S = torch.zeros(n, k, dtype=x.dtype, device=x.device)
        return SubspaceNewtonState(
            count,
            random.key(single(self, "seed")[0], x.device),
            S,
            torch.eye(k, dtype=x.dtype, device=x.device),
            SymmetricModel(self).empty(k, x),
            S.mT.clone() if self.sketch_type == "common_directions" else (),
            zeros if mixed else (),
            zeros if mixed else (),
            x if mixed else (),
            count,
        )

    def _vectors(self, state: SubspaceNewtonState, u: Tensor, x: Tensor) -> Tensor:
        """The vectors (n, k) whose span is wanted, before they are made orthonormal."""
        kind, (n, k) = self.sketch_type, state.S.shape
        key = random.fold_in(state.key, state.t)
        if kind == "common_directions":
            return state.history.flip(0).mT  # the newest first, so that the oldest is left out
        if kind in ("rows", "topk"):
            size = random.uniform(key, (n,), dtype=torch.float64) if kind == "rows" else u.abs()
            place = size.argsort(descending=True, stable=True)[:k]
            return (torch.arange(n, device=u.device).unsqueeze(1) == place).to(u.dtype)
        if kind == "rademacher":
            return random.rademacher(key, (n, k), u.dtype)
        noise = random.normal(key, (n, k), torch.float64).to(u.dtype)
        if kind == "mixed":
            return torch.cat([torch.stack([u, state.slow, state.fast, x - state.x], 1), noise], 1)[:, :k]
        return noise

    def update_vector(self, state: SubspaceNewtonState, u: Tensor, at: AtVector) -> SubspaceNewtonState:
        freq, h = single(self, "update_freq", "h")
        u, x = u.to(state.S.dtype), at.x.to(state.S.dtype)
        k = state.S.shape[1]
        if self.sketch_type == "common_directions":
            state = state._replace(history=torch.cat([state.history[1:], u.unsqueeze(0)[:k]]))
        if self.sketch_type == "mixed":
            state = state._replace(slow=0.999 * state.slow + 0.001 * u, fast=0.9 * state.fast + 0.1 * u)
        spent = 0

        def look() -> tuple[Tensor, Tensor, Model]:
            nonlocal spent
            S = self._vectors(state, u, x)
            if self.sketch_type in ("common_directions", "mixed"):
                S = gram_schmidt(S)
            elif self.sketch_type in ("orthonormal", "rademacher") and k:
                S = safe_qr(S)
            product = Products(at.var, at.var.need_objective(self), self.hvp_method, h)
            spent = k * product.cost
            unused = torch.diag((S * S).sum(0) == 0).to(S.dtype)
            A = S.mT @ product.columns(S) + unused
            A = (A + A.mT) / 2
            return S, A, SymmetricModel(self).make(A)

        due = state.t % freq == 0
        S, A, model = cond(due, look, lambda: (state.S, state.A, state.model))
        past = x if self.sketch_type == "mixed" else ()
        return state._replace(t=state.t + 1, S=S, A=A, model=model, x=past, evaluations=due * spent)

    def apply_vector(self, state: SubspaceNewtonState, u: Tensor, at: AtVector) -> Tensor:
        return state.S @ SymmetricModel(self).solve(state.model, state.S.mT @ u.to(state.S.dtype))

    def operator_vector(self, state: SubspaceNewtonState) -> LowRankShift:
        symmetric = SymmetricModel(self)
        if symmetric.spectral:
            L, Q = state.model.L, state.model.Q
        else:
            L, Q = safe_eigh((state.model.B + state.model.B.mT) / 2)
        return LowRankShift(state.S @ Q, L, torch.zeros((), dtype=L.dtype, device=L.device))

    def evaluations(self, state: Any) -> Any:
        own = state.own if self.children() else state
        return own.evaluations + super().evaluations(state)


def gram_schmidt(V: Tensor) -> Tensor:
    """Orthonormal columns with the span of those of V (n, k), zeros for those that depend on columns before them."""
    tol = 100 * torch.finfo(V.dtype).eps
    V = safe_div(V, safe_norm(V, 2, (0,), keepdim=True).expand_as(V))
    columns: list[Tensor] = []
    for v in V.unbind(1):
        if columns:
            Q = torch.stack(columns, 1)
            v = v - Q @ (Q.mT @ v)
            v = v - Q @ (Q.mT @ v)
        size = safe_norm(v)
        columns.append(torch.where(size > tol, safe_div(v, size.expand_as(v)), torch.zeros_like(v)))
    return torch.stack(columns, 1) if columns else V
