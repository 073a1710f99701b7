"""NewtonCGSteihaug: Newton's method in a trust region, by truncated conjugate gradients."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, child, integer, nonnegative, number, positive, static, within
from torchzero.core.module import Module
from torchzero.core.var import Var
from torchzero.linalg.cg import cg
from torchzero.linalg.minres import minres
from torchzero.second_order.base import HVP_METHODS, Products
from torchzero.second_order.newton_cg import SOLVERS
from torchzero.step_size.base import single
from torchzero.trust_region.base import Rules, Solved, Solving, attempts, numbers, trial


class SteihaugState(NamedTuple):
    """What NewtonCGSteihaug keeps."""

    radius: Tensor  # ()         Δ
    factor: Tensor  # ()         of the tolerance
    stuck: Tensor  # () bool     whether the last step shrank Δ to nothing


class NewtonCGSteihaug(Solving):
    r"""Minimise the quadratic model in a ball by conjugate gradients that stop at its surface.

    $$ d_t ≈ \arg\min_{‖d‖ ≤ Δ} -u_t^Td + ½\,d^T(∇^2f(θ_t) + ρI)d,\quad
       ϱ = \frac{f(θ_t) - f(θ_t - d)}{u_t^Td - ½\,d^T∇^2f(θ_t)d} $$

    Iterates that leave the ball and directions without positive curvature end at its surface. ϱ < rho_bad, or a trial
    that is not finite, puts Δ to nminus·‖d‖; ϱ > rho_good with d on the surface makes it at least nplus·‖d‖. A step
    with ϱ > eta is taken; else the iteration is run again in the smaller ball, which passes through the same iterates
    and stops earlier, at most `max_attempts` times. If all fail the step is zero and the smaller Δ is kept. A Δ that
    has shrunk to nothing starts again at `init`.

    Args:
        eta: least ϱ of a step that is taken.
        nplus: growth of Δ, ≥ 1.
        nminus: shrinkage of Δ, in (0, 1).
        rho_good: ϱ above which Δ grows.
        rho_bad: ϱ below which Δ shrinks.
        init: first Δ > 0. The field is called `initial`, as `init` is the function that makes states.
        max_attempts: most trials a step.
        boundary_tol: d is on the surface if 1 - ‖d‖/Δ is below this; None lets Δ grow anyway.
        maxiter: most iterations a trial; the number of parameters by default.
        miniter: fewest iterations, unless the residual is exactly zero.
        tol: absolute tolerance of the residual.
        reg: ρ ≥ 0.
        solver: "cg" or "minres".
        adapt_tol: divide the tolerance by ten whenever Δ has shrunk to nothing.
        terminate_on_tr: set `should_terminate` when Δ has shrunk to nothing.
        npc_terminate: with "minres", stop at directions without positive curvature; "cg" always does.
        hvp_method: see `NewtonCG`.
        h: length of the differences' step.
        inner: module that makes the direction which is solved for.

    Raises:
        ValueError: for a number outside its range, or an unknown method or solver.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.NewtonCGSteihaug(hvp_method="autograd"), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([2.])

    Reference: Steihaug 1983, https://doi.org/10.1137/0720042; Toint 1981
    """

    needs = frozenset({"objective", "value", "hvp"})

    eta: Hyper = number(0.0)
    nplus: Hyper = within(1, float("inf"), default=3.5)
    nminus: Hyper = within(0, 1, default=0.25, closed_low=False)
    rho_good: Hyper = number(0.99)
    rho_bad: Hyper = number(1e-4)
    initial: Hyper = positive(1.0)
    max_attempts: Hyper = integer(1, 100)
    boundary_tol: Hyper = nonnegative(1e-6, optional=True)
    maxiter: Hyper = integer(1, None)
    miniter: Hyper = integer(0, 1)
    tol: Hyper = nonnegative(1e-8)
    reg: Hyper = nonnegative(1e-8)
    solver: str = static("cg", choices=SOLVERS)
    adapt_tol: bool = static(False)
    terminate_on_tr: bool = static(True)
    npc_terminate: bool = static(False)
    hvp_method: str = static("fd_central", choices=HVP_METHODS)
    h: Hyper = positive(1e-3)
    inner: Module | None = child(None)

    def __init__(
        self,
        eta: Hyper = 0.0,
        nplus: Hyper = 3.5,
        nminus: Hyper = 0.25,
        rho_good: Hyper = 0.99,
        rho_bad: Hyper = 1e-4,
        init: Hyper = 1.0,
        max_attempts: Hyper = 100,
        boundary_tol: Hyper = 1e-6,
        maxiter: Hyper = None,
        miniter: Hyper = 1,
        tol: Hyper = 1e-8,
        reg: Hyper = 1e-8,
        solver: str = "cg",
        adapt_tol: bool = False,
        terminate_on_tr: bool = True,
        npc_terminate: bool = False,
        hvp_method: str = "fd_central",
        h: Hyper = 1e-3,
        inner: Chainable | None = None,
    ) -> None:
        self._set(
            eta=eta,
            nplus=nplus,
            nminus=nminus,
            rho_good=rho_good,
            rho_bad=rho_bad,
            initial=init,
            max_attempts=max_attempts,
            boundary_tol=boundary_tol,
            maxiter=maxiter,
            miniter=miniter,
            tol=tol,
            reg=reg,
            solver=solver,
            adapt_tol=adapt_tol,
            terminate_on_tr=terminate_on_tr,
            npc_terminate=npc_terminate,
            hvp_method=hvp_method,
            h=h,
            inner=inner,
        )

    def start(self, x: Tensor) -> SteihaugState:
        one = torch.ones((), dtype=x.dtype, device=x.device)
        stuck = torch.zeros((), dtype=torch.bool, device=x.device)
        return SteihaugState((one * single(self, "initial")[0]).to(x.dtype), one, stuck)

    def solve(self, own: SteihaugState, u: Tensor, var: Var) -> Solved:
        objective = var.need_objective(self)
        eta, nplus, nminus = numbers(self, u, "eta", "nplus", "nminus")
        good, bad, boundary, first = numbers(self, u, "rho_good", "rho_bad", "boundary_tol", "initial")
        rules = Rules(eta, nplus, nminus, good, bad, boundary, first, by_length=True, fixed=False)
        tol, reg, most, least, tries = numbers(self, u, "tol", "reg", "maxiter", "miniter", "max_attempts")
        product = Products(var, objective, self.hvp_method, single(self, "h")[0])
        run = cg if self.solver == "cg" else minres
        u = tree.own(u)

        def solve(radius: Tensor) -> tuple[Tensor, Tensor]:
            found = run(
                product,
                u,
                tol=tol * own.factor,
                reg=reg,
                maxiter=most,
                miniter=least,
                trust_radius=radius,
                npc_terminate=self.npc_terminate,
            )
            return found.x, (found.products + 1) * product.cost

        end = attempts(rules, own.radius, u, var.loss.to(u.dtype), trial(var, objective), product, solve, tries)
        factor = torch.where(end.restarted, 0.1 * own.factor, own.factor) if self.adapt_tol else own.factor
        return Solved(SteihaugState(end.radius, factor, end.restarted), end.d, end.evaluations)

    def publish(self, own: SteihaugState, var: Var) -> Var:
        return var.replace(should_terminate=var.should_terminate | own.stuck) if self.terminate_on_tr else var
