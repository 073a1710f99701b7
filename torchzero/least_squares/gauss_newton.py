"""GaussNewton: Newton's method for least squares, the curvature of the residuals left out."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, nonnegative, static
from torchzero.core.module import Module
from torchzero.core.var import Var
from torchzero.linalg.operators import Dense
from torchzero.second_order.base import solve_symmetric
from torchzero.step_size.base import single
from torchzero.trust_region.base import Solved, Solving, SolvingState, due, numbers, work_dtype


class GaussNewtonState(NamedTuple):
    """What GaussNewton keeps."""

    t: Tensor  # () int64    updates absorbed
    G: Tensor  # (n, n)      JᵀJ


class GaussNewton(Solving):
    r"""Solve the linearised least-squares problem of the residuals that the objective returns.

    $$ f(θ) = ½‖r(θ)‖^2,\quad J = \frac{∂r}{∂θ},\quad d_t = (J^TJ + ρI)^{-1}J^Tr = J^T(JJ^T + ρI)^{-1}r $$

    whichever system is smaller. A direction that an earlier module or `inner` has made takes the place of Jᵀr. Between
    two Jacobians JᵀJ is kept, and Jᵀr is the gradient of the objective. As a model of curvature for a trust region
    (LevenbergMarquardt and others) it is JᵀJ. Where JᵀJ + ρI is singular the step is the least-squares solution. The
    residuals of a loss that is one number are that number.

    Args:
        reg: ρ ≥ 0.
        update_freq: steps between two Jacobians, a whole number ≥ 1.
        batched: without effect, as every Jacobian is evaluated in one batch.
        inner: module that makes the direction which is solved for, out of Jᵀr.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.GaussNewton(reg=0.0), torch.tensor([3.0, 1.0])
    >>> opt(x, opt.init(x), lambda x: torch.stack([x[0] - x[1], x.sum() - 4.0]))[0]
    tensor([2., 2.])

    Reference: Nocedal & Wright 2006, Numerical optimization, section 10.3, https://doi.org/10.1007/978-0-387-40065-5
    """

    needs = frozenset({"objective", "residuals"})

    reg: Hyper = nonnegative(1e-8)
    update_freq: Hyper = integer(1, 1)
    batched: bool = static(True)
    inner: Module | None = child(None)

    def start(self, x: Tensor) -> GaussNewtonState:
        n = x.numel()
        count = torch.zeros((), dtype=torch.int64, device=x.device)
        return GaussNewtonState(count, torch.zeros(n, n, dtype=x.dtype, device=x.device))

    def update(self, state: SolvingState, var: Var) -> SolvingState:
        own, dtype = state.own, work_dtype(var.params)
        (reg,), (freq,) = numbers(self, own.G, "reg"), single(self, "update_freq")
        eye = torch.eye(len(own.G), dtype=dtype, device=own.G.device)
        given = var.has_update or self.inner is not None
        wanted = var.storage.get("wants_direction", True)

        def fresh() -> tuple[Tensor, Tensor]:
            r, J = var.need_objective(self).jacobian(var.params)
            r, J = r.to(dtype), J.to(dtype)
            G, slope = J.mT @ J, J.mT @ r
            if given or not wanted:
                return G, slope
            if len(r) >= len(G):
                return G, solve_symmetric(G + reg * eye, slope)
            small = J @ J.mT + reg * torch.eye(len(r), dtype=dtype, device=J.device)
            return G, J.mT @ solve_symmetric(small, r)

        def stale() -> tuple[Tensor, Tensor]:
            if not wanted:
                return own.G, torch.zeros_like(own.G[0])
            slope = tree.ravel(var.grad)[0].to(dtype)
            return own.G, slope if given else solve_symmetric(own.G + reg * eye, slope)

        G, v = cond(due(own.t, freq), fresh, stale)
        kids, like = state.children, var.params
        if given and wanted:
            back = tree.ravel(like)[1]
            kids, u = self._inner(kids, var if var.has_update else var.replace(update=back(v)))
            v = solve_symmetric(G + reg * eye, tree.ravel(u)[0].to(dtype))
        return self._keep(state, Solved(GaussNewtonState(own.t + 1, G), v, 0), kids, like)

    def operator(self, state: SolvingState) -> Dense:
        return Dense(state.own.G)
