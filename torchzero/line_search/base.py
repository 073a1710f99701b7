"""What line searches share: the line, what a search finds on it, and the module that takes the step."""

import functools
import operator
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.control import cond, while_loop
from torchzero.core.hyper import is_number
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.step_size.base import single


def step_dtype(params: Tree) -> torch.dtype:
    """The dtype of step sizes: that of the parameters, but at least float32."""
    dtype = torch.float32
    for p in tree.leaves(params):
        dtype = torch.promote_types(dtype, p.dtype)
    return dtype


class Line:
    """The loss along a line: φ(a) = f(x - a u) for a 0-d tensor a.

    A trial point is exactly the point that the parameters move to if a is accepted, in their dtypes.

    Args:
        var: the step: its parameters x, its direction u, and the loss and gradient at x.
        objective: what is evaluated.
        lb: lower bounds that trial points are moved to, like x or a prefix of it; None for none.
        ub: upper bounds, likewise.

    >>> import torch, torchzero as tz
    >>> x = torch.tensor([3.0])
    >>> line = Line(tz.Var(x, objective=lambda x: (x**2).sum()), tz.FunctionObjective(lambda x: (x**2).sum()))
    >>> line.f0, line.slope0, line.value(torch.tensor(0.25))
    (tensor(9.), tensor(-36.), tensor(2.2500))
    """

    def __init__(self, var: Var, objective: Objective, lb: Any = None, ub: Any = None) -> None:
        self.var = var
        self.objective = objective
        self.lb, self.ub = lb, ub
        self.x: Tree = var.params
        self.u: Tree = var.update
        self._step_dtype = step_dtype(self.x)
        self.dtype = torch.promote_types(var.loss.dtype, self._step_dtype)
        self.f0: Tensor = var.loss.to(self.dtype)

    @property
    def grad0(self) -> Tree:
        """The gradient at x, like x."""
        return self.var.grad

    @property
    def slope0(self) -> Tensor:
        """φ'(0) = -<∇f(x), u>: 0-d."""
        return self._slope(self.grad0)

    def _slope(self, grad: Tree) -> Tensor:
        pairs = zip(tree.leaves(grad), tree.leaves(self.u), strict=True)
        parts = [(g.to(self.dtype) * u.to(self.dtype)).sum() for g, u in pairs]
        return -functools.reduce(operator.add, parts, torch.zeros_like(self.f0))

    def at(self, a: Tensor | float) -> Tree:
        """The point x - a u, like x."""
        step = self.number(a).to(self._step_dtype)
        point = tree.map(lambda x, u: tree.cast(x - tree.cast(step * u, u), x), self.x, self.u)
        return tree.clamp(point, self.lb, self.ub)

    def room(self) -> Tensor:
        """The largest a for which x - a u is between the bounds, and a little more, so that it is on them: 0-d."""
        room = self.number(torch.inf)
        for bound, towards in ((self.lb, 1), (self.ub, -1)):
            if bound is None:
                continue
            for x, u, b in zip(tree.leaves(self.x), tree.leaves(self.u), tree.spread(bound, self.x), strict=True):
                speed = towards * u
                ahead = (speed > 0) & torch.isfinite(x - b)
                way = torch.where(ahead, towards * (x - b), 0.0) / torch.where(ahead, speed, 1.0)
                first = torch.where(ahead, way.to(self.dtype), torch.inf).amin() if x.numel() else room
                room = torch.minimum(room, first * (1 + 4 * torch.finfo(x.dtype).eps))
        return room.clamp_min(0)

    def value(self, a: Tensor | float) -> Tensor:
        """φ(a): 0-d."""
        return self.objective.value(self.at(a)).to(self.dtype)

    def value_and_slope(self, a: Tensor | float) -> tuple[Tensor, Tensor, Tree]:
        """φ(a) and φ'(a), 0-d, and the gradient at x - a u, like x."""
        f, grad = self.objective.value_and_grad(self.at(a))
        return f.to(self.dtype), self._slope(grad), grad

    def number(self, value: Tensor | float) -> Tensor:
        """A number as a 0-d tensor in the dtype and on the device of φ."""
        return torch.as_tensor(value, dtype=self.dtype, device=self.f0.device)

    def count(self, value: int = 0) -> Tensor:
        """A 0-d int64 counter."""
        return torch.full((), value, dtype=torch.int64, device=self.f0.device)

    def flag(self, value: bool = False) -> Tensor:
        """A 0-d bool."""
        return torch.full((), value, dtype=torch.bool, device=self.f0.device)

    def settings(self, module: Module, *names: str) -> tuple[Any, ...]:
        """Hyperparameters of `module`, tensors among them in the dtype of φ (counts as they are).

        Raises:
            ValueError: for a tree of different values.
        """
        return tuple(
            x if x is None or is_number(x) or not x.is_floating_point() else x.to(self.dtype)
            for x in single(module, *names)
        )


class Found(NamedTuple):
    """What a search found."""

    a: Tensor  # ()                the step size
    f: Tensor  # ()                φ(a); inf if it was not evaluated
    grad: Tree | tuple[()]  #      the gradient at x - a u, like x; () if the search evaluates no gradients
    success: Tensor  # () bool     whether it is what was looked for; else the step is not taken
    evaluations: Tensor  # () int64   of φ, away from a = 0


class LineSearchState(NamedTuple):
    """State of a line search."""

    a: Tensor  # ()                the step size; 0 if the last search failed
    f: Tensor  # ()                the loss after the step; inf if it was not evaluated
    grad: Tree | tuple[()]  #      the gradient there, like params; () if the search evaluates no gradients
    success: Tensor  # () bool     whether the last search succeeded
    evaluations: Tensor  # () int64   of the objective in the last search, away from x0
    memory: Any  #                 what the search keeps for the next one


class LineSearch(Module):
    r"""Scale the update u by a step size found by evaluating the objective along it.

    $$ φ(a) = f(θ_t - a\,u_t),\quad φ'(a) = -\langle ∇f(θ_t - a\,u_t), u_t\rangle,\quad d_t = a_t u_t $$

    A subclass gives `search(line, memory)`, a pure function of a `Line`, and, if something is kept from one search to
    the next, `recall(like)`, its first value. The search runs in `update`. One that fails gives the step zero. Loss and
    gradient at the accepted point, where the search has evaluated both, are published as `var.accepted`.

    Class attributes:
        keeps_gradient: whether `search` returns the gradient at the step that it found.

    >>> import torch, torchzero as tz
    >>> from torchzero.line_search.base import Found
    >>> class OneOrHalf(tz.m.LineSearch):
    ...     def search(self, line, memory):
    ...         a = torch.where(line.value(1.0) < line.f0, 1.0, 0.5)
    ...         return Found(a, line.value(a), (), line.flag(True), line.count(2)), memory
    >>> params, search = torch.tensor([3.0]), OneOrHalf()
    >>> search(params, search.init(params), lambda x: (x**2).sum())[0]
    tensor([0.])
    """

    locality = "global"
    needs = frozenset({"objective", "grad", "value"})
    keeps_gradient: ClassVar[bool] = False

    def recall(self, like: Tensor) -> Any:
        """What the first search is given as memory: a tree of tensors; `like` is 0-d, in the dtype of step sizes."""
        return ()

    def forget(self, memory: Any) -> Any:
        """The memory without what belongs to the previous evaluation of the objective."""
        return memory

    def box(self) -> tuple[Any, Any]:
        """Between what the step must end: prefix trees of the parameters, or None."""
        return None, None

    def search(self, line: Line, memory: Any) -> tuple[Found, Any]:
        """Find a step size; returns it with the memory for the next search."""
        raise TypeError(f"{type(self).__name__} must implement search(line, memory)")

    def init(self, params: Tree) -> LineSearchState:
        device = tree.reference(params).device
        zero = torch.zeros((), dtype=step_dtype(params), device=device)
        return LineSearchState(
            zero,
            torch.full_like(zero, torch.inf),
            tree.zeros_like(params) if self.keeps_gradient else (),
            torch.zeros((), dtype=torch.bool, device=device),
            torch.zeros((), dtype=torch.int64, device=device),
            self.recall(zero),
        )

    def update(self, state: LineSearchState, var: Var) -> LineSearchState:
        line = Line(var, var.need_objective(self))
        found, memory = self.search(line, state.memory)
        good = found.success
        kept = LineSearchState(
            torch.where(good, found.a, torch.zeros_like(found.a)),
            torch.where(good, found.f, line.f0),
            cond(good, lambda: found.grad, lambda: line.grad0) if self.keeps_gradient else (),
            good,
            found.evaluations,
            memory,
        )
        return tree.cast_like(kept, state)

    def apply(self, state: LineSearchState, var: Var) -> Var:
        # A direction that is not finite stays out of a failed step.
        u = var.update
        update = cond(state.success, lambda: tree.scale(state.a, u), lambda: tree.zeros_like(u))
        lb, ub = self.box()
        if lb is not None or ub is not None:
            cut = tree.sub(var.params, tree.clamp(tree.sub(var.params, update), lb, ub))
            update = tree.where(state.success, tree.cast_like(cut, update), update)
        if self.keeps_gradient:
            return var.replace(update=update, accepted=(state.f, state.grad))
        return var.replace(update=update)

    def evaluations(self, state: LineSearchState) -> Tensor:
        return state.evaluations

    def reset_for_online(self, state: LineSearchState) -> LineSearchState:
        return state._replace(memory=self.forget(state.memory))


CONDITIONS = ("armijo", "goldstein", "decrease")


def is_finite(x: Tensor) -> Tensor:
    """Whether a number is finite: bool, of the same shape."""
    return x.abs() < torch.inf


def needs(condition: str) -> frozenset[str]:
    """What a search for this condition looks at: the gradient only for the slope at zero."""
    return frozenset({"objective", "value"} if condition == "decrease" else {"objective", "value", "grad"})


def decrease(condition: str, line: Line, c: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """Whether φ(a) = f is low enough, as a function (a, f) -> bool."""
    f0 = line.f0
    if condition == "decrease":
        return lambda a, f: f < f0
    slope = line.slope0.clamp_max(0)
    if condition == "armijo":
        return lambda a, f: f < f0 + c * a * slope
    return lambda a, f: (f < f0 + c * a * slope) & (f > f0 + (1 - c) * a * slope)


class Backtrack(NamedTuple):
    """Where a backtracking search stands."""

    k: Tensor  # () int64   trials evaluated
    a: Tensor  # ()         the next trial
    f: Tensor  # ()         φ at the last one; inf before
    done: Tensor  # () bool   whether a was accepted
    a_kept: Tensor  # ()    what was accepted
    f_kept: Tensor  # ()    φ there


def backtrack(line: Line, a: Tensor, factor: Any, maxiter: Any, accept: Any, look_back: bool = True) -> Found:
    """Shrink a by `factor` until `accept(a, φ(a))`, at most `maxiter` trials.

    With `look_back` also stop where φ rises again, and take the trial before, if that was below φ(0).
    """

    def body(at: Backtrack) -> Backtrack:
        f = line.value(at.a)
        finite = is_finite(f)
        a, f = at.a, torch.where(finite, f, torch.inf)
        ok = finite & accept(a, f)
        if look_back:
            rising = (f > at.f) & (at.f < line.f0) & finite
            a, kept = torch.where(rising, at.a / factor, a), torch.where(rising, at.f, f)
            ok = ok | rising
        else:
            kept = f
        return Backtrack(
            at.k + 1,
            at.a * factor,
            f,
            ok,
            torch.where(ok, a, at.a_kept),
            torch.where(ok, kept, at.f_kept),
        )

    zero = torch.zeros_like(a)
    start = Backtrack(line.count(), a, zero + torch.inf, line.flag(), zero, zero)
    end = while_loop(lambda at: ~at.done & (at.k < maxiter), body, start)
    return Found(end.a_kept, end.f_kept, (), end.done, end.k)


def log_step(module: Any, state: LineSearchState, var: Var) -> Var:
    """Publish the step size if the module has `log_lrs` set."""
    return var.replace(attrs={**var.attrs, "line_search.lr": state.a}) if module.log_lrs else var


def above_zero(scale: Tensor) -> Tensor:
    """A scale that shrinks at every failure, started again at 1 before it underflows."""
    return torch.where(scale > torch.finfo(scale.dtype).tiny ** 0.5, scale, torch.ones_like(scale))
