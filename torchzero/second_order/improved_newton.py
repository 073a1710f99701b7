"""ImprovedNewton: the Hessian corrected by what the last step has shown."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, nonnegative, number, positive, static
from torchzero.core.module import Module
from torchzero.core.safe import safe_div
from torchzero.core.vector import AtVector, VectorTransform
from torchzero.linalg.operators import Operator
from torchzero.second_order.base import HESSIAN_METHODS, Hessian, Model, SymmetricModel, hessian_at
from torchzero.step_size.base import single


class ImprovedNewtonState(NamedTuple):
    """State of ImprovedNewton."""

    t: Tensor  # () int64            updates absorbed
    model: Model  # (n, n) and the like   P in the form that it is solved with
    known: Tensor  # () bool         whether the next two are
    x: Tensor  # (n,)                the parameters when P was made
    g: Tensor  # (n,)                the direction then
    evaluations: Tensor  # () int64   of the objective in the last update, away from x0


class ImprovedNewton(VectorTransform):
    r"""Newton's method with a rank-one correction of the Hessian.

    $$ P_t = H_t + \frac{y^T(y - H_ts)}{y^Ty\ s^Ts}\,g_ts^T,\quad d_t = (P_t + δI)^{-1}u_t,\quad
       s = θ_t - θ_{t-1},\ y = g_t - g_{t-1} $$

    P₁ is the Hessian, and so is P after a step that changed nothing. P is not symmetric; `eigval_fn`, `eigv_tol` and
    `truncate` act on the eigenvalues of its symmetric part. g is the incoming direction.

    Args:
        damping: δ.
        eigval_fn: see `Newton`.
        eigv_tol: see `Newton`.
        truncate: see `Newton`.
        update_freq: steps between two P, a whole number ≥ 1; s and y span them.
        precompute_inverse: keep the inverse matrix; None for when update_freq ≥ 10.
        use_lstsq: solve in the sense of least squares, with the symmetric part of P.
        hessian_method: see `Newton`.
        h: step of the differences.
        inner: module that makes the direction which is multiplied.

    Raises:
        ValueError: for a number outside its range or an unknown method.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.ImprovedNewton(), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: Saheya, Chen, Sui & Wu 2016, https://doi.org/10.1186/s40064-016-2909-7
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

    def init_vector(self, x: Tensor) -> ImprovedNewtonState:
        count = torch.zeros((), dtype=torch.int64, device=x.device)
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        none = torch.zeros((), dtype=torch.bool, device=x.device)
        zeros = torch.zeros_like(x)
        return ImprovedNewtonState(count, SymmetricModel(self).empty(x.numel(), x), none, zeros, zeros, count)

    def update_vector(self, state: ImprovedNewtonState, u: Tensor, at: AtVector) -> ImprovedNewtonState:
        freq, h = single(self, "update_freq", "h")
        x, u = at.x.to(state.x.dtype), u.to(state.x.dtype)
        spent = 0

        def look() -> ImprovedNewtonState:
            nonlocal spent
            found: Hessian = hessian_at(at.var, at.var.need_objective(self), self.hessian_method, h)
            spent, H = found.evaluations, found.H
            s, y = x - state.x, u - state.g
            factor = safe_div(y @ (y - H @ s), (y @ y) * (s @ s))
            factor = torch.where(state.known, factor, torch.zeros_like(factor))
            P = H + factor * torch.outer(u, s)
            return state._replace(model=SymmetricModel(self).make(P), known=~state.known | True, x=x, g=u)

        due = state.t % freq == 0
        new = cond(due, look, lambda: state)
        return new._replace(t=state.t + 1, evaluations=due * spent)

    def apply_vector(self, state: ImprovedNewtonState, u: Tensor, at: AtVector) -> Tensor:
        return SymmetricModel(self).solve(state.model, u.to(state.x.dtype))

    def operator_vector(self, state: ImprovedNewtonState) -> Operator:
        return SymmetricModel(self).operator(state.model)

    def evaluations(self, state: Any) -> Any:
        own = state.own if self.children() else state
        return own.evaluations + super().evaluations(state)

    def reset_tree(self, state: ImprovedNewtonState) -> ImprovedNewtonState:
        return state._replace(known=torch.zeros_like(state.known))
