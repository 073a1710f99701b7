"""NewtonFDM: Newton's method from nothing but values of the loss."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, number, positive, static
from torchzero.core.objective import FunctionObjective
from torchzero.core.safe import safe_div, safe_norm
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.linalg.operators import Dense, Diagonal, Operator
from torchzero.second_order.base import least_squares_solve
from torchzero.trust_region.base import Solved, Solving, SolvingState, numbers, work_dtype

SOLVERS = ("cholesky_lu", "cholesky", "lu", "lstsq")
FALLBACKS = ("safe_diag", "lstsq", "gd")


class NewtonFDM(Solving):
    r"""Newton's step with gradient and Hessian from differences of the loss.

    $$ g_i = \frac{f(θ + εe_i) - f(θ - εe_i)}{2ε},\quad
       H_{ij} = \frac{f(θ + εe_i + εe_j) - f(θ + εe_i - εe_j) - f(θ - εe_i + εe_j) + f(θ - εe_i - εe_j)}{4ε^2},\quad
       d = H^{-1}g $$

    with 2n + 2n² evaluations of n parameters (2n + 2n for the diagonal). It makes the direction itself: place it first.
    A step that is not finite is zero there.

    Args:
        eps: ε > 0, also the accuracy: both differences are exact up to terms of order ε².
        diag: only the diagonal of H, and where it is not positive, g itself.
        solver: "cholesky_lu" and "lu" solve with any regular H, "cholesky" only with a positive definite one, "lstsq"
            with any in the sense of least squares.
        fallback: what is done where the solver cannot: "safe_diag", 0.01 g divided by the diagonal of H, where that is
            positive; "lstsq"; or "gd", 0.01 g.
        validate: evaluate the step, and if f(θ - d) - f(θ) exceeds `tol` |f(θ)| take a step of length `gd_lr` along g.
        tol: see `validate`.
        gd_lr: see `validate`; > 0.

    Raises:
        ValueError: for a number outside its range, or an unknown solver or fallback.

    >>> import torch, torchzero as tz
    >>> newton, x = tz.m.NewtonFDM(), torch.tensor([3.0, 1.0], dtype=torch.float64)
    >>> newton(x, newton.init(x), lambda x: (x**2).sum() + x.prod())[0].abs() < 1e-9
    tensor([True, True])

    Reference: Nocedal & Wright 2006, Numerical optimization, section 8.1, https://doi.org/10.1007/978-0-387-40065-5
    """

    makes_update = True

    eps: Hyper = positive(0.01)
    diag: bool = static(False)
    solver: str = static("cholesky_lu", choices=SOLVERS)
    fallback: str = static("safe_diag", choices=FALLBACKS)
    validate: bool = static(False)
    tol: Hyper = number(1.0)
    gd_lr: Hyper = positive(0.01)

    def start(self, x: Tensor) -> Tensor:
        return torch.ones_like(x) if self.diag else torch.eye(len(x), dtype=x.dtype, device=x.device)

    def _inner(self, kids: dict[str, Any], var: Var) -> tuple[dict[str, Any], Tree]:
        return kids, var.params  # the incoming direction is not looked at

    def solve(self, own: Tensor, u: Tensor, var: Var) -> Solved:
        objective = var.need_objective(self)
        x, unravel = tree.ravel(var.params)
        x, n = x.to(work_dtype(var.params)), len(x)
        eps, tol, lr = numbers(self, x, "eps", "tol", "gd_lr")
        E = eps * torch.eye(n, dtype=x.dtype, device=x.device)
        i, j = torch.tril_indices(n, n, device=x.device)
        one, two = (E, E) if self.diag else (E[i], E[j])
        moves = torch.cat([E, -E, one + two, one - two, two - one, -one - two])
        values = _at(objective, unravel, x, moves)
        up, down, corners = values[:n], values[n : 2 * n], values[2 * n :].reshape(4, -1)
        g = (up - down) / (2 * eps)
        bends = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * eps * eps)
        if self.diag:
            diagonal = bends
            own, d = bends, torch.where(bends > 0, safe_div(g, bends), g)
        else:
            lower = torch.zeros(n * n, dtype=x.dtype, device=x.device).index_add(0, i * n + j, bends).reshape(n, n)
            own = lower + lower.tril(-1).mT
            diagonal = own.diagonal()
            d = self._solved(own, g, diagonal)
        d = torch.where(torch.isfinite(d), d, torch.zeros_like(d))
        if not self.validate:
            return Solved(own, d, len(moves))
        here, there = _at(objective, unravel, x, torch.stack([torch.zeros_like(d), -d]))
        worse = ~(there - here <= tol * here.abs())
        steps = safe_div(g, diagonal) if self.diag else safe_div(g, safe_norm(g))
        return Solved(own, torch.where(worse, lr * steps, d), len(moves) + 2)

    def _solved(self, H: Tensor, g: Tensor, diagonal: Tensor) -> Tensor:
        def otherwise() -> Tensor:
            if self.fallback == "lstsq":
                return least_squares_solve(H, g)
            if self.fallback == "gd":
                return 0.01 * g
            return 0.01 * torch.where(diagonal > 0, safe_div(g, diagonal), g)

        if self.solver == "lstsq":
            return least_squares_solve(H, g)
        if self.solver == "cholesky":
            L, info = torch.linalg.cholesky_ex(H)
            d = torch.cholesky_solve(g.unsqueeze(-1), L).squeeze(-1)
        else:
            d, info = torch.linalg.solve_ex(H, g.unsqueeze(-1))
            d = d.squeeze(-1)
        return cond((info == 0) & torch.isfinite(d).all(), lambda: d, otherwise)

    def operator(self, state: SolvingState) -> Operator:
        return Diagonal(state.own) if self.diag else Dense(state.own)


def _at(objective: Any, unravel: Any, x: Tensor, moves: Tensor) -> Tensor:
    """The loss at x and every row of moves (k, n) from it: (k,)."""

    def f(move: Tensor) -> Tensor:
        return objective.value(unravel(x + move)).to(x.dtype)

    if isinstance(objective, FunctionObjective) and len(moves):
        return torch.vmap(f)(moves)
    return torch.stack([f(move) for move in moves]) if len(moves) else x
