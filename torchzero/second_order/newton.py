"""Newton: the step to the minimum of the local quadratic model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, nonnegative, number, positive, static
from torchzero.core.module import Module
from torchzero.core.vector import AtVector, VectorTransform
from torchzero.linalg.operators import Operator
from torchzero.second_order.base import HESSIAN_METHODS, Hessian, Model, SymmetricModel, hessian_at
from torchzero.step_size.base import single


class NewtonState(NamedTuple):
    """State of Newton."""

    t: Tensor  # () int64            updates absorbed
    model: Model  # (n, n) and the like   the Hessian in the form that it is solved with
    evaluations: Tensor  # () int64   of the objective in the last update, away from x0


class Newton(VectorTransform):
    r"""Multiply the update by the inverse of the Hessian.

    $$ d_t = (∇^2f(θ_t) + δI)^{-1}u_t \quad\text{or}\quad
       d_t = Q\,\mathrm{diag}(1/φ(λ))\,Q^Tu_t,\quad ∇^2f(θ_t) + δI = Q\,\mathrm{diag}(λ)\,Q^T $$

    The second form is used when one of `eigval_fn`, `eigv_tol` and `truncate` is given. An eigenvalue is left out (its
    part of the step is zero) if φ(λ) is zero or not finite, or not above eigv_tol · max φ, or not among the `truncate`
    largest. Any other below n · eps · max |φ| in size, which is what rounding makes of zero, counts as of that size.
    The first form takes the least-squares solution where the matrix is singular, and steps uphill along directions of
    negative curvature; `eigval_fn=torch.abs` does not.

    Args:
        damping: δ.
        eigval_fn: φ, a function of all eigenvalues (n,) -> (n,); None for the identity.
        eigv_tol: smallest φ(λ) kept, relative to the largest one; 0 leaves out what is not positive.
        truncate: how many eigenvalues are kept.
        update_freq: steps between two Hessians, a whole number ≥ 1.
        precompute_inverse: keep the inverse matrix; None for when update_freq ≥ 10.
        use_lstsq: always solve in the sense of least squares.
        hessian_method: "batched_autograd", "autograd" and "func" are exact and the same; "gfd_forward" and
            "gfd_central" take differences of n or 2n gradients, "fd" of n² + n values.
        h: step of the differences.
        inner: module that makes the direction which is multiplied.

    Raises:
        ValueError: for a number outside its range or an unknown method.

    >>> import torch, torchzero as tz
    >>> newton, x = tz.m.Newton(), torch.tensor([3.0, 1.0])
    >>> newton(x, newton.init(x), lambda x: (x**2).sum() + x.prod())[0]
    tensor([0., 0.])

    Reference: Nocedal & Wright 2006, Numerical optimization, chapter 3, https://doi.org/10.1007/978-0-387-40065-5
    """

    locality = "global"

    damping: Hyper = number(0.0)
    eigval_fn: Callable[[Tensor], Tensor] | None = static(None)
    eigv_tol: Hyper = nonnegative(None)
    truncate: Hyper = integer(1, None)
    update_freq: Hyper = integer(1, 1)
    precompute_inverse: bool | None = static(None)
    use_lstsq: bool = static(False)
    hessian_method: str = static("batched_autograd", choices=HESSIAN_METHODS)
    h: Hyper = positive(1e-3)
    inner: Module | None = child(None)

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Values at x0 only for differences of values."""
        return frozenset({"objective", "hvp"}) | ({"value"} if self.hessian_method == "fd" else frozenset())

    def init_vector(self, x: Tensor) -> NewtonState:
        count = torch.zeros((), dtype=torch.int64, device=x.device)
        like = x.to(torch.promote_types(x.dtype, torch.float32))
        return NewtonState(count, SymmetricModel(self).empty(x.numel(), like), count)

    def update_vector(self, state: NewtonState, u: Tensor, at: AtVector) -> NewtonState:
        freq, h = single(self, "update_freq", "h")
        spent = 0

        def look() -> Model:
            nonlocal spent
            found: Hessian = hessian_at(at.var, at.var.need_objective(self), self.hessian_method, h)
            spent = found.evaluations
            return SymmetricModel(self).make(found.H)

        due = state.t % freq == 0
        model = cond(due, look, lambda: state.model)
        return NewtonState(state.t + 1, model, due * spent)

    def apply_vector(self, state: NewtonState, u: Tensor, at: AtVector) -> Tensor:
        dtype = torch.promote_types(u.dtype, torch.float32)
        return SymmetricModel(self).solve(state.model, u.to(dtype))

    def operator_vector(self, state: NewtonState) -> Operator:
        return SymmetricModel(self).operator(state.model)

    def evaluations(self, state: Any) -> Any:
        own = state.own if self.children() else state
        return own.evaluations + super().evaluations(state)
