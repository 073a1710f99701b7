"""SVRG: stochastic gradients corrected by the full gradient at a point not far away."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import afresh
from torchzero.core.control import concrete, cond
from torchzero.core.hyper import Hyper, child, number, static
from torchzero.core.module import Module
from torchzero.core.objective import FunctionObjective, Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import both, either, publish
from torchzero.objective_maps.base import Mapped, ObjectiveMap
from torchzero.stateful.closure_objective import ClosureObjective


class Reference(NamedTuple):
    """Where the full gradient was taken."""

    x: Tree  # like params  the point
    loss: Tensor  # ()      the full loss there, or of the minibatches seen so far
    grad: Tree  # like params  the full gradient there, or of the minibatches seen so far


class SVRGState(NamedTuple):
    """State of SVRG."""

    reference: Reference
    rounds: Tensor  # ()    references begun
    seen: Tensor  # ()      minibatches gathered for the next reference
    left: Tensor  # ()      steps that the reference will serve; 0 while one is gathered
    gathering: Tensor  # () bool: whether this step was spent on gathering
    children: dict[str, Any]  # state of the inner optimizer


def _same(a: Tree, b: Tree) -> bool:
    """Whether two points are the same objects, so that one evaluation serves both."""
    return all(x is y for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True))


class Corrected(Mapped):
    """f(θ) - α (f(x) - F), with gradient ∇f(θ) - α (∇f(x) - G): f a minibatch, F and G the full loss and gradient."""

    def __init__(self, var: Var, inner: Objective, reference: Reference, alpha: Hyper, with_loss: bool) -> None:
        super().__init__(inner)
        self.var, self.reference, self.alpha, self.with_loss = var, reference, alpha, with_loss

    def _minibatch(self, params: Tree) -> tuple[Tensor, Tree]:
        known = self.var.has_grad and _same(params, self.var.params)
        return (self.var.loss, self.var.grad) if known else self.inner.value_and_grad(params)

    def _corrected(self, value: Tensor, there: Tensor) -> Tensor:
        if not self.with_loss:
            return value
        (alpha, *_) = tree.leaves(self.alpha)
        return tree.cast(value - alpha * (there - self.reference.loss), value)

    def value(self, params: Tree) -> Tensor:
        value = self.inner.value(params)
        if not self.with_loss:
            return value
        x = self.reference.x
        return self._corrected(value, value if _same(params, x) else self.inner.value(x))

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        value, grad = self._minibatch(params)
        there = (value, grad) if _same(params, self.reference.x) else self.inner.value_and_grad(self.reference.x)
        out = tree.zipmap(
            lambda g, b, full, alpha: tree.cast(g - alpha * (b - full), g),
            grad, there[1], self.reference.grad, self.alpha,
        )  # fmt: skip
        return self._corrected(value, there[0]), out

    def hvp(self, params: Tree, v: Tree) -> Tree:
        return self.inner.hvp(params, v)

    def linearize(self, params: Tree) -> tuple[Tree, Callable[[Tree], Tree]]:
        _, product = self.inner.linearize(params)
        return self.value_and_grad(params)[1], product

    def hessian(self, params: Tree) -> Tensor:
        return self.inner.hessian(params)


class SVRG(ObjectiveMap):
    r"""Stochastic variance reduced gradients: correct each minibatch by what it did to the full gradient elsewhere.

    $$ \hat f(θ) = f_b(θ) - α (f_b(x) - f(x)),\quad ∇\hat f(θ) = ∇f_b(θ) - α (∇f_b(x) - ∇f(x)) $$

    Every `svrg_steps` steps the parameters become the new reference x. Its full gradient ∇f(x) is the mean over the
    minibatches of the following `accum_steps` calls. Those leave the parameters where they are and stop the chain,
    except the last, which completes the mean and makes a step with it. So a round takes accum_steps - 1 + svrg_steps
    calls. Without waiting, a call can bring the full objective along: `step(closure, full_closure=fn)` of `Modular`,
    or `storage={"full_closure": fn}` of `Var`; it is evaluated when a new reference is due.

    Every corrected gradient costs two evaluations of the minibatch, at θ and at x; the first of a round only one.

    Args:
        svrg_steps: steps for each reference, at least 1.
        accum_steps: minibatches in a full gradient, at least 1; `svrg_steps` if None.
        reset_before_accum: let each reference begin with a fresh state of `modules`, or without these of all other
            modules of the chain.
        svrg_loss: correct the loss too, else it is the minibatch's.
        alpha: α; 1 makes the gradient unbiased with the least variance near x, less trusts the reference less.
        modules: an optimizer for the corrected objective, which nobody else will see; None lets the modules after this
            one see it.

    Raises:
        ValueError: for a number outside its range.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.Chain(tz.m.SVRG(svrg_steps=2), tz.m.LR(0.25)), torch.tensor([4.0])
    >>> state = opt.init(p)
    >>> for center in (1.0, -1.0, 1.0):  # minibatches; their mean has its minimum at 0
    ...     p, state = opt(p, state, lambda x: ((x - center) ** 2).sum())
    ...     print(p.item())
    4.0
    2.0
    1.0

    Reference: Johnson & Zhang 2013, https://papers.nips.cc/paper/4937; Yin et al. 2023, https://arxiv.org/abs/2311.05589
    """

    svrg_steps: int = static(low=1, integer=True)
    accum_steps: int | None = static(None, low=1, integer=True)
    reset_before_accum: bool = static(default=True)
    svrg_loss: bool = static(default=True)
    alpha: Hyper = number(1)
    modules: Module | None = child(default=None)

    def init(self, params: Tree) -> SVRGState:
        zero = tree.counter(params)
        reference = Reference(params, tree.scalar(params, 0.0), tree.zeros_like(params))
        children = {name: module.init(params) for name, module in self.children().items()}
        return SVRGState(reference, zero, zero, zero, zero > 0, children)

    def child_state(self, state: SVRGState, name: str) -> Any:
        return state.children[name]

    def reset_for_online(self, state: SVRGState) -> SVRGState:
        kids = self.children()
        return state._replace(children={k: m.reset_for_online(state.children[k]) for k, m in kids.items()})

    def _over(self, state: SVRGState) -> Tensor:
        """Whether a reference has served to its end."""
        return (state.rounds > 0) & (state.seen == 0) & (state.left == 0)

    def restarts_others(self, state: SVRGState) -> Tensor | None:
        return self._over(state) if self.reset_before_accum and self.modules is None else None

    def _gather(self, state: SVRGState, var: Var) -> SVRGState:
        """Take a minibatch into the mean."""
        n = self.svrg_steps if self.accum_steps is None else self.accum_steps
        first, grad, old = state.seen == 0, var.grad, state.reference

        def absorb(total: Tensor, x: Tensor) -> Tensor:
            return tree.cast(torch.where(first, torch.zeros_like(total), total) + x / n, total)

        reference = Reference(var.params, absorb(old.loss, var.loss), tree.map(absorb, old.grad, grad))
        seen = state.seen + 1
        done = seen == n
        left = torch.where(done, torch.full_like(seen, self.svrg_steps - 1), state.left)
        return state._replace(
            reference=reference, seen=torch.where(done, torch.zeros_like(seen), seen), left=left, gathering=~done
        )

    def _survey(self, state: SVRGState, var: Var) -> SVRGState:
        """Take the full gradient here."""
        loss, grad = _full(var.need_objective(self), var.storage["full_closure"]).value_and_grad(var.params)
        reference = tree.cast_like(Reference(var.params, loss, grad), state.reference)
        left = torch.full_like(state.left, self.svrg_steps - 1)
        return state._replace(
            reference=reference, seen=torch.zeros_like(left), left=left, gathering=torch.zeros_like(state.gathering)
        )

    def _serve(self, state: SVRGState, var: Var) -> SVRGState:
        """Make one more step with the reference that there is."""
        return state._replace(left=state.left - 1, gathering=torch.zeros_like(state.gathering))

    def rewrite(self, state: SVRGState, var: Var, inner: Objective) -> Objective:
        alpha = self.alpha
        if concrete(state.gathering) is None:  # lanes that gather go on with the minibatch's own gradient
            serves = (~state.gathering).to(torch.float64)
            alpha = tree.map(lambda a: serves * a, alpha)
        return Corrected(var, inner, state.reference, alpha, self.svrg_loss)

    def _run(self, state: SVRGState, var: Var, advance: bool) -> tuple[SVRGState, Var]:
        """Run the inner optimizer, where there is one, in steps that are not spent on gathering."""
        gathering = concrete(state.gathering)
        flags = {"stop": either(var.stop, state.gathering), "skip_update": either(var.skip_update, state.gathering)}
        if gathering:
            return state, var.replace(**flags)
        out = var.replace(objective=self.rewrite(state, var, var.need_objective(self)))
        if self.modules is not None:
            own = state.children["modules"]
            new, after = self.modules.step(own, out) if advance else (own, self.modules.apply(own, out))
            u = after.update
            if gathering is None:
                new = tree.where(state.gathering, own, new)
                u = tree.where(state.gathering, var.update, u)
                after = after.replace(skip_update=both(after.skip_update, ~state.gathering))
            state = state._replace(children={"modules": new})
            out = publish(var, [after]).replace(update=u)
        return state, out.replace(**{**flags, "skip_update": either(out.skip_update, state.gathering)})

    def _absorb(self, state: SVRGState, var: Var) -> SVRGState:
        due, renew = state.left == 0, self._survey if "full_closure" in var.storage else self._gather
        if self.modules is not None and self.reset_before_accum:
            inner = afresh(self._over(state), self.modules, state.children["modules"], var.params)
            state = state._replace(children={"modules": inner})
        state = state._replace(rounds=state.rounds + (due & (state.seen == 0)))
        return cond(due, lambda s: renew(s, var), lambda s: self._serve(s, var), state)

    def update(self, state: SVRGState, var: Var) -> SVRGState:
        return self._run(self._absorb(state, var), var, advance=True)[0]

    def apply(self, state: SVRGState, var: Var) -> Var:
        return self._run(state, var, advance=False)[1]

    def step(self, state: SVRGState, var: Var) -> tuple[SVRGState, Var]:
        return self._run(self._absorb(state, var), var, advance=True)


def _full(objective: Objective, fn: Any) -> Objective:
    """The full objective, evaluated in the way of the minibatch's: by closure, or as a function of parameters."""
    if isinstance(fn, Objective):
        return fn
    while isinstance(objective, Mapped):
        objective = objective.inner
    if isinstance(objective, ClosureObjective):
        return ClosureObjective(fn, objective.live, objective.x0, objective.owners, objective.recording, ("SVRG",))
    return FunctionObjective(fn)
