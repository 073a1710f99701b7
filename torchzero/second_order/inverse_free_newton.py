"""InverseFreeNewton: the inverse Hessian followed by Newton and Schulz's iteration."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, positive, static
from torchzero.core.module import Module
from torchzero.core.vector import AtVector, VectorTransform
from torchzero.linalg.operators import DenseInverse
from torchzero.second_order.base import HESSIAN_METHODS, Hessian, hessian_at
from torchzero.step_size.base import single


class InverseFreeNewtonState(NamedTuple):
    """State of InverseFreeNewton."""

    t: Tensor  # () int64            updates absorbed
    Y: Tensor  # (n, n)              the inverse so far
    evaluations: Tensor  # () int64   of the objective in the last update, away from x0


class InverseFreeNewton(VectorTransform):
    r"""Newton's method without solving: one correction of an approximate inverse each step.

    $$ Y_1 = \frac{H_1^T}{‖H_1‖_1‖H_1‖_∞},\quad Y_t = Y_{t-1}(2I - H_tY_{t-1}),\quad d_t = Y_tu_t $$

    ‖H‖₁ is the largest column sum of absolute values and ‖H‖_∞ the largest row sum.

    Args:
        update_freq: steps between two corrections, a whole number ≥ 1.
        hessian_method: see `Newton`.
        h: step of the differences.
        inner: module that makes the direction which is multiplied.

    Raises:
        ValueError: for a number outside its range or an unknown method.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.InverseFreeNewton(), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: Massalski & Nockowska-Rosiak 2025, Journal of Applied Analysis & Computation 15(4); the first inverse is
    that of Ben-Israel 1965, https://doi.org/10.1090/S0025-5718-1965-0179915-5
    """

    locality = "global"

    update_freq: Hyper = integer(1, 1)
    hessian_method: str = static("batched_autograd", choices=HESSIAN_METHODS)
    h: Hyper = positive(1e-3)
    inner: Module | None = child(None)

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Values at x0 only for differences of values."""
        return frozenset({"objective", "hvp"}) | ({"value"} if self.hessian_method == "fd" else frozenset())

    def init_vector(self, x: Tensor) -> InverseFreeNewtonState:
        count = torch.zeros((), dtype=torch.int64, device=x.device)
        dtype = torch.promote_types(x.dtype, torch.float32)
        return InverseFreeNewtonState(count, torch.eye(x.numel(), dtype=dtype, device=x.device), count)

    def update_vector(self, state: InverseFreeNewtonState, u: Tensor, at: AtVector) -> InverseFreeNewtonState:
        freq, h = single(self, "update_freq", "h")
        spent = 0

        def look() -> Tensor:
            nonlocal spent
            found: Hessian = hessian_at(at.var, at.var.need_objective(self), self.hessian_method, h)
            spent, H = found.evaluations, found.H
            limits = torch.finfo(H.dtype)
            size = H.abs().sum(0).max() * H.abs().sum(1).max() if len(H) else H.sum()
            first = H.mT / size.clamp(2 * limits.tiny, limits.max / 2)
            return torch.where(state.t == 0, first, 2 * state.Y - state.Y @ (H @ state.Y))

        due = state.t % freq == 0
        return InverseFreeNewtonState(state.t + 1, cond(due, look, lambda: state.Y), due * spent)

    def apply_vector(self, state: InverseFreeNewtonState, u: Tensor, at: AtVector) -> Tensor:
        return state.Y @ u.to(state.Y.dtype)

    def operator_vector(self, state: InverseFreeNewtonState) -> DenseInverse:
        return DenseInverse(state.Y)

    def evaluations(self, state: Any) -> Any:
        own = state.own if self.children() else state
        return own.evaluations + super().evaluations(state)
