"""What trust regions share: directions solved for in update, the rules of the radius, and the loop over attempts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.control import cond, while_loop
from torchzero.core.hyper import Hyper, child, integer, is_number, nonnegative, number, static, within
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.safe import safe_norm
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.linalg.cg import scalar
from torchzero.linalg.operators import BlockDiagonal, Dense, DenseInverse, Operator
from torchzero.step_size.base import single


def work_dtype(params: Tree) -> torch.dtype:
    """The dtype that vectors and matrices are computed in: that of the parameters, but at least float32."""
    dtype = torch.float32
    for p in tree.leaves(params):
        dtype = torch.promote_types(dtype, p.dtype)
    return dtype


class SolvingState(NamedTuple):
    """State of a module that solves for its direction."""

    own: Any  # what the method keeps
    d: Tree  # like params         the direction of the last update
    evaluations: Tensor  # () int64   of the objective in the last update, away from x0
    children: Any  # state of each child, by field name; () if there is none, as Dynamo cannot rebuild an empty dict


class Solved(NamedTuple):
    """What a method found."""

    own: Any  # what it keeps
    d: Tensor  # (n,)            the direction
    evaluations: Tensor | int  # ()   of the objective, away from x0


class Solving(Module):
    """A module whose direction takes evaluations of the objective, so that it is found in update and kept.

    Give `start(x)`, the method's own first state, and `solve(own, u, var)`: all parameters are one vector. A child
    called `inner` transforms the direction that is given to `solve`.

    >>> import torch, torchzero as tz
    >>> from torchzero.trust_region.base import Solved, Solving
    >>> class Halve(Solving):
    ...     def solve(self, own, u, var):
    ...         return Solved(own, u / 2, 0)
    >>> x = torch.ones(2)
    >>> Halve()(x, Halve().init(x), lambda x: (x**2).sum())[0]
    tensor([0., 0.])
    """

    locality = "global"
    needs = frozenset({"objective"})
    whole = True

    def _set(self, **values: Any) -> None:
        """What a constructor of one's own ends with: fill the fields and check them."""
        for name, value in values.items():
            self._write(name, value)
        self._validate()

    def start(self, x: Tensor) -> Any:
        """What the method keeps at first; x (n,)."""
        return ()

    def solve(self, own: Any, u: Tensor, var: Var) -> Solved:
        """The direction for the incoming direction u (n,)."""
        raise TypeError(f"{type(self).__name__} must implement solve(own, u, var)")

    def publish(self, own: Any, var: Var) -> Var:
        """What the result shows besides the direction."""
        return var

    def init(self, params: Tree) -> SolvingState:
        x = tree.ravel(params)[0].to(work_dtype(params))
        kids = {name: kid.init(params) for name, kid in self.children().items()}
        return SolvingState(self.start(x), tree.zeros_like(params), tree.counter(params), kids or ())

    def _inner(self, kids: Any, var: Var) -> tuple[Any, Tree]:
        """The direction to solve for."""
        inner = self.children().get("inner")
        if inner is None:
            return kids, var.update
        state, out = inner.step(kids["inner"], var)
        return {**kids, "inner": state}, out.update

    def _keep(self, state: SolvingState, found: Solved, kids: Any, like: Tree) -> SolvingState:
        d = tree.ravel(like)[1](found.d)
        count = torch.zeros_like(state.evaluations) + found.evaluations
        return tree.cast_like(SolvingState(found.own, d, count, kids or ()), state)

    def update(self, state: SolvingState, var: Var) -> SolvingState:
        kids, u = self._inner(state.children, var)
        vector = tree.ravel(u)[0].to(work_dtype(u))
        return self._keep(state, self.solve(state.own, vector, var), kids, u)

    def apply(self, state: SolvingState, var: Var) -> Var:
        return self.publish(state.own, var.replace(update=tree.cast_like(state.d, var.params)))

    def evaluations(self, state: SolvingState) -> Any:
        return state.evaluations + super().evaluations(state)

    def child_state(self, state: SolvingState, name: str) -> Any:
        return state.children[name]

    def reset_for_online(self, state: SolvingState) -> SolvingState:
        kids = {k: m.reset_for_online(state.children[k]) for k, m in self.children().items()}
        return state._replace(children=kids or ())


class Rules(NamedTuple):
    """How a radius answers to an attempt; all 0-d."""

    eta: Any
    nplus: Any
    nminus: Any
    rho_good: Any
    rho_bad: Any
    boundary_tol: Any  # None: a good step need not lie on the boundary
    first: Any
    by_length: bool  # whether steps are measured by ‖d‖; else by the radius
    fixed: bool  # whether radius and acceptance do not depend on the attempt


class Attempt(NamedTuple):
    """Where the loop over attempts stands."""

    k: Tensor  # () int64            attempts made
    radius: Tensor  # ()
    d: Tensor  # (n,)                the accepted step, or zero
    accepted: Tensor  # () bool
    restarted: Tensor  # () bool     whether the radius left its range and started again
    evaluations: Tensor  # () int64   of the objective
    f: Tensor  # ()                  the loss after the accepted step, or at x
    grad: Tensor | tuple[()]  # (n,)   the gradient there; () if the trials evaluate none


def next_radius(rules: Rules, radius: Tensor, length: Tensor, rho: Tensor, ok: Tensor) -> tuple[Tensor, Tensor]:
    """The radius after an attempt of length ‖d‖, and whether it started again, because it left its dtype's range.

    `ok` says whether the attempt gave numbers.
    """
    size = torch.where(torch.isfinite(length) & (length > 0), length, radius) if rules.by_length else radius
    bad = ~ok | (rho < rules.rho_bad)
    good = ok & (rho > rules.rho_good)
    if rules.boundary_tol is not None:
        good = good & ((radius - size) / radius < rules.boundary_tol)
    grown = torch.maximum(radius, size * rules.nplus)
    new = torch.where(bad, size * rules.nminus, torch.where(good, grown, radius))
    limits = torch.finfo(radius.dtype)
    lost = ~((new > 2 * limits.tiny) & (new < limits.max / 2))
    return torch.where(lost, rules.first, new), lost


def attempts(
    rules: Rules,
    radius: Tensor,
    u: Tensor,
    f0: Tensor,
    look: Callable[[Tensor], tuple[Tensor, Tensor | tuple[()]]],
    product: Callable[[Tensor], Tensor],
    solve: Callable[[Tensor], tuple[Tensor, Tensor | int]],
    most: Any,
    grad0: Tensor | tuple[()] = (),
) -> Attempt:
    r"""Solve for a step and shrink the radius until a step is accepted, at most `most` times.

    $$ ρ = \frac{f(x) - f(x-d)}{\max(u^Td - ½d^TBd,\ 2·\text{tiny})} $$

    A step is accepted if ρ > η. A step or a trial value that is not finite is a failed attempt. At u = 0 there is
    nothing to attempt.

    Args:
        rules: of the radius.
        radius: () Δ.
        u: (n,) the direction.
        f0: () the loss at x.
        look: d -> f(x - d), and the gradient there, (n,), or ().
        product: v -> Bv.
        solve: Δ -> d, and how many evaluations it took to find and judge it, the trial excepted.
        most: attempts.
        grad0: (n,) the gradient at x, if `look` gives gradients.
    """
    tiny = 2 * torch.finfo(u.dtype).tiny

    def body(at: Attempt) -> Attempt:
        d, spent = solve(at.radius)
        sound = torch.isfinite(d).all()
        d = torch.where(sound, d, torch.zeros_like(d))
        f, grad = look(d)
        f = f.to(f0.dtype)
        predicted = u @ d - 0.5 * (d @ product(d))
        rho = (f0 - f) / predicted.clamp_min(tiny)
        ok = sound & torch.isfinite(f) & ~torch.isnan(rho)
        if isinstance(grad, Tensor):
            ok = ok & torch.isfinite(grad).all()
        if rules.fixed:
            radius, restarted, accepted = at.radius + 0.0, ~(ok | True), ok
        else:
            radius, restarted = next_radius(rules, at.radius, safe_norm(d), rho, ok)
            accepted = ok & (rho > rules.eta)
        d = torch.where(accepted, d, torch.zeros_like(d))
        f, grad = torch.where(accepted, f, f0), tree.where(accepted, grad, grad0)
        return Attempt(at.k + 1, radius, d, accepted, at.restarted | restarted, at.evaluations + 1 + spent, f, grad)

    k = torch.zeros((), dtype=torch.int64, device=u.device)
    moving = (u != 0).any()
    no = torch.zeros_like(moving)
    start = Attempt(k, radius, torch.zeros_like(u), no, no, k, f0, grad0)
    return while_loop(lambda at: moving & ~at.accepted & (at.k < most), body, start)


def outer(a: Tensor, b: Tensor) -> Tensor:
    """abᵀ: (n, n)."""
    return a.unsqueeze(-1) * b


def inverted(B: Operator) -> Operator:
    """The operator without matrices known by their inverses: every product would be a solve, where once is enough."""
    if isinstance(B, BlockDiagonal):
        return BlockDiagonal(tuple(map(inverted, B.blocks)), B.sizes)
    return Dense(B.to_dense()) if isinstance(B, DenseInverse) else B


def trial(
    var: Var, objective: Objective, keep_grad: bool = False
) -> Callable[[Tensor], tuple[Tensor, Tensor | tuple[()]]]:
    """d -> f(x - d), at exactly the point that the parameters move to, in their dtypes, and the gradient or ()."""
    params = var.params
    unravel = tree.ravel(params)[1]

    def look(d: Tensor) -> tuple[Tensor, Tensor | tuple[()]]:
        x = tree.map(lambda p, x: tree.cast(p - x, p), params, unravel(d))
        if not keep_grad:
            return objective.value(x), ()
        f, grad = objective.value_and_grad(x)
        return f, tree.ravel(grad)[0].to(d.dtype)

    return look


def numbers(module: Module, like: Tensor, *names: str) -> tuple[Any, ...]:
    """Hyperparameters as 0-d tensors like `like`, whole numbers as they are; trees of one value count as it.

    Raises:
        ValueError: for a tree of different values.
    """
    return tuple(
        x if x is None or (isinstance(x, Tensor) and not x.is_floating_point()) else scalar(x, like)
        for x in single(module, *names)
    )


def due(t: Tensor, freq: Any) -> Tensor | bool:
    """Whether something that happens every `freq` updates happens at update t; decided at once if at every one."""
    return True if is_number(freq) and freq == 1 else t % freq == 0


class Region(NamedTuple):
    """What a trust region keeps."""

    t: Tensor  # () int64       updates absorbed
    radius: Tensor  # ()        Δ
    accepted: Tensor  # () bool   whether the last step was accepted
    f: Tensor | tuple[()]  # ()       the loss after it; () without keep_grad
    grad: Tensor | tuple[()]  # (n,)  the gradient there; () without keep_grad
    scale: Tensor | tuple[()]  # (n,)   the largest scale of each element so far; () where elements have none


STRATEGIES = ("default", "fixed")


class TrustRegionBase(Solving):
    r"""Minimise a quadratic model of the objective where it is trusted.

    $$ d ≈ \arg\min_{‖d‖ ≤ Δ}\ -u^Td + ½\,d^TBd,\quad
       ρ = \frac{f(x) - f(x-d)}{u^Td - ½\,d^TBd} $$

    B is the curvature that `hess_module` has learned: any module with an operator. ρ < rho_bad, or a trial that is not
    finite, shrinks Δ to nminus·r; ρ > rho_good grows it to at least nplus·r. r is ‖d‖, or Δ for methods where Δ is not
    a length. The step is taken if ρ > eta, and else tried again, at most `max_attempts` times; if all fail, the step is
    zero, and the smaller Δ is kept. A Δ that leaves the range of its dtype starts again at `init`. With `keep_grad` the
    trials evaluate gradients too, and loss and gradient after the step are published as `var.accepted`, so that
    whoever asks next need not evaluate them again: one evaluation a trial instead of one more for each step.

    A subclass has the fields of `rules()`, and gives `prepare(B, u)`, what does not depend on Δ, and
    `subproblem(B, u, Δ, prepared)`. Whether r = ‖d‖ is its `by_length`.

    >>> import torch, torchzero as tz
    >>> class Gradient(tz.m.TrustRegionBase):
    ...     def subproblem(self, B, u, radius, prepared):
    ...         return u * (radius / u.norm())
    >>> x, region = torch.tensor([3.0]), Gradient(tz.m.Newton())
    >>> region(x, region.init(x), lambda x: (x**2).sum())[0]
    tensor([2.])
    """

    hess_module: Module = child()
    eta: Hyper = number(0.0)
    nplus: Hyper = within(1, float("inf"), default=3.5)
    nminus: Hyper = within(0, 1, default=0.25, closed_low=False)
    rho_good: Hyper = number(0.99)
    rho_bad: Hyper = number(1e-4)
    initial: Hyper = within(0, float("inf"), default=1.0, closed_low=False)
    max_attempts: Hyper = integer(1, 10)
    radius_strategy: str = static("default", choices=STRATEGIES)
    boundary_tol: Hyper = nonnegative(None)
    update_freq: Hyper = integer(1, 1)
    keep_grad: bool = static(False)
    inner: Module | None = child(None)

    @property
    def needs(self) -> frozenset[str]:
        """The gradient at x0 only for what is published after a step that moves nothing."""
        return frozenset({"objective", "value"}) | ({"grad"} if self.keep_grad else frozenset())

    @property
    def by_length(self) -> bool:
        """Whether steps are measured by ‖d‖, and not by Δ."""
        return True

    def prepare(self, B: Operator, u: Tensor, f0: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[Any, Any]:
        """What all attempts of a step have in common, a tree of tensors, and how many evaluations that took."""
        return (), 0

    def subproblem(self, B: Operator, u: Tensor, radius: Tensor, prepared: Any) -> Tensor:
        """The step (n,) for the radius Δ ()."""
        raise TypeError(f"{type(self).__name__} must implement subproblem(B, u, radius, prepared)")

    def rules(self, like: Tensor, t: Tensor) -> Rules:
        """The rules of the radius at update t, in the dtype of `like`."""
        eta, nplus, nminus = numbers(self, like, "eta", "nplus", "nminus")
        good, bad, boundary, first = numbers(self, like, "rho_good", "rho_bad", "boundary_tol", "initial")
        return Rules(eta, nplus, nminus, good, bad, boundary, first, self.by_length, self.radius_strategy == "fixed")

    def start(self, x: Tensor) -> Region:
        radius = torch.zeros((), dtype=x.dtype, device=x.device) + single(self, "initial")[0]
        return Region(
            torch.zeros((), dtype=torch.int64, device=x.device),
            radius.to(x.dtype),
            torch.zeros((), dtype=torch.bool, device=x.device),
            torch.zeros_like(radius, dtype=x.dtype) if self.keep_grad else (),
            torch.zeros_like(x) if self.keep_grad else (),
            (),
        )

    def update(self, state: SolvingState, var: Var) -> SolvingState:
        (freq,) = single(self, "update_freq")
        old = state.children["hess_module"]
        seen = var.replace(storage={**var.storage, "wants_direction": False})  # of that module: its curvature will do
        kid = cond(
            due(state.own.t, freq),
            lambda: tree.cast_like(self.hess_module.update(old, seen), old),
            lambda: old,
        )
        kids, u = self._inner({**state.children, "hess_module": kid}, var)
        B = self.hess_module.operator(kid)
        if B is None:
            raise TypeError(
                f"{type(self).__name__}(hess_module={self.hess_module!r}): models no curvature; "
                "give a module that does, such as Newton, BFGS, LBFGS or GaussNewton"
            )
        vector = tree.ravel(u)[0].to(work_dtype(u))
        return self._keep(state, self._step(state.own, B, vector, var), kids, u)

    def _step(self, own: Region, B: Operator, u: Tensor, var: Var) -> Solved:
        look, f0 = trial(var, var.need_objective(self), self.keep_grad), var.loss.to(u.dtype)
        own, D, first = self.scaled(own, B, var)
        if isinstance(D, Tensor):  # everything below sees Dd in place of d
            unscaled = look
            look = lambda d: unscaled(d / D)  # noqa: E731
            B, u = Dense(B.to_dense() / outer(D, D)), u / D
        rules = self.rules(u, own.t)._replace(first=first)
        prepared, extra = self.prepare(B, u, f0, lambda d: look(d)[0])
        B, prepared, u = tree.own(inverted(B)), tree.own(prepared), tree.own(u)
        radius = rules.first if rules.fixed else own.radius
        end = attempts(
            rules,
            radius + torch.zeros_like(own.radius),
            u,
            f0,
            look,
            B.matvec,
            lambda radius: (self.subproblem(B, u, radius, prepared), 0),
            1 if rules.fixed else single(self, "max_attempts")[0],
            tree.ravel(var.grad)[0].to(u.dtype) if self.keep_grad else (),
        )
        d = end.d / D if isinstance(D, Tensor) else end.d
        seen = (end.f, end.grad) if self.keep_grad else ((), ())
        return Solved(Region(own.t + 1, end.radius, end.accepted, *seen, own.scale), d, end.evaluations + extra)

    def scaled(self, own: Region, B: Operator, var: Var) -> tuple[Region, Tensor | tuple[()], Tensor]:
        """What is kept, the scale D (n,) > 0 by which the region measures a step, ‖Dd‖ ≤ Δ, or (), and the first Δ."""
        (first,) = numbers(self, own.radius, "initial")
        return own, (), first

    def publish(self, own: Region, var: Var) -> Var:
        if not (isinstance(own.f, Tensor) and isinstance(own.grad, Tensor)):
            return var
        return var.replace(accepted=(own.f, tree.ravel(var.params)[1](own.grad)))

    def operator(self, state: SolvingState) -> Any:
        return self.hess_module.operator(state.children["hess_module"])
