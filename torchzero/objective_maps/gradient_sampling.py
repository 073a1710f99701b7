"""GradientSampling: values and gradients gathered from random points nearby."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.chain import afresh
from torchzero.core.hyper import Hyper, child, integer, nonnegative, positive, static, within
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.safe import safe_sqrt
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import as_bool, publish
from torchzero.objective_maps.base import ByProducts, ObjectiveMap, shift
from torchzero.step_size.base import single

AGGREGATES = ("mean", "max", "min", "min-norm", "min-value")
INF = float("inf")


class Survey(NamedTuple):
    """What was seen at the sampled points."""

    loss: Tensor  # ()          gathered
    grad: Tree  # like params   gathered; () if no gradient was asked for
    values: Tensor  # (n,)      inf where a sample is not finite
    norms: Tensor  # (n,)       of the gradients, inf where a sample is not finite; (0,) without gradients


class Sampled(ByProducts):
    """Another objective, gathered over perturbed points.

    Args:
        inner: the other objective.
        offsets: i -> the perturbation of the i-th point, for as many as `n`.
        n: how many points are perturbed.
        here: whether the point itself counts too, as the first.
        how: one of `AGGREGATES`.
    """

    def __init__(self, inner: Objective, offsets: Any, n: int, here: bool, how: str) -> None:
        super().__init__(inner)
        self.offsets, self.n, self.here, self.how = offsets, n, here, how

    def points(self, params: Tree) -> Iterator[Tree]:
        """Where to look."""
        if self.here:
            yield params
        for i in range(self.n):
            yield shift(params, self.offsets(i))

    def survey(self, params: Tree, gradients: bool) -> Survey:
        """Look at every point, and gather."""
        fill = INF if self.how == "min" else 0.0  # what a sample that failed has for a gradient
        values: list[Tensor] = []
        norms: list[Tensor] = []
        grad, best = None, None
        for point in self.points(params):
            value, g = self.inner.value_and_grad(point) if gradients else (self.inner.value(point), ())
            good = torch.isfinite(value) & tree.all_finite(g).to(value.device)
            values.append(torch.where(good, value, torch.full_like(value, INF)))
            if gradients:
                norm = tree.norm(tree.where(good, g, tree.zeros_like(g))).to(value.dtype)
                norms.append(torch.where(good, norm, torch.full_like(norm, INF)))
                g = tree.where(good, g, tree.map(lambda x: torch.full_like(x, fill), g))
                score = norms[-1] if self.how == "min-norm" else values[-1]
                grad = g if best is None else self._gather(grad, g, score < best)
                best = score if best is None else torch.minimum(best, score)
        seen, lengths = torch.stack(values), torch.stack(norms) if gradients else torch.zeros(0)
        count = (seen < INF).sum()
        parts = count.clamp_min(1) if self.how == "mean" else 1
        grad = tree.map(
            lambda x: torch.where(count > 0, tree.cast(x / parts, x), torch.full_like(x, INF)),
            () if grad is None else grad,
        )
        return Survey(self._loss(seen, count, lengths), grad, seen, lengths)

    def _gather(self, grad: Tree, g: Tree, better: Tensor) -> Tree:
        if self.how == "mean":
            return tree.add(grad, g)
        if self.how == "max":
            return tree.map(lambda a, b: torch.where(b.abs() > a.abs(), b, a), grad, g)
        if self.how == "min":
            return tree.map(lambda a, b: torch.where(b.abs() < a.abs(), b, a), grad, g)
        return tree.where(better, g, grad)

    def _loss(self, values: Tensor, count: Tensor, norms: Tensor) -> Tensor:
        none = torch.full_like(values[0], INF)
        if self.how == "mean":
            total = torch.where(values < INF, values, torch.zeros_like(values)).sum()
            return torch.where(count > 0, total / count.clamp_min(1), none)
        if self.how == "max":
            return torch.where(count > 0, torch.where(values < INF, values, -none).amax(), none)
        if self.how == "min-norm":
            return values.gather(0, norms.argmin(0, keepdim=True))[0]
        return values.amin()

    def value(self, params: Tree) -> Tensor:
        return self.survey(params, gradients=self.how == "min-norm").loss

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        seen = self.survey(params, gradients=True)
        return seen.loss, seen.grad

    def hvp(self, params: Tree, v: Tree) -> Tree:
        if self.how != "mean":
            return super().hvp(params, v)
        products = [self.inner.hvp(point, v) for point in self.points(params)]
        return tree.scale(1 / len(products), functools.reduce(tree.add, products))


def _draws(key: Tensor, like: Tree, n: int, distribution: str) -> Tree:
    """n draws in each leaf: (n, *shape)."""
    kind = "normal" if distribution == "sphere" else distribution
    leaves, spec = tree.flatten(like)
    draws = [
        random.sample(random.fold_in(key, i).to(x.device), (n, *x.shape), kind, x.dtype) for i, x in enumerate(leaves)
    ]
    if distribution == "sphere":
        lengths = safe_sqrt(sum(((z * z).reshape(n, -1).sum(1) for z in draws), torch.zeros(())))
        draws = [tree.cast(z / lengths.to(z.device).reshape(n, *([1] * (z.ndim - 1))), z) for z in draws]
    return tree.unflatten(spec, draws)


class GradientSamplingState(NamedTuple):
    """State of GradientSampling."""

    key: Tensor  # (2,)       int64, the key of this step's draws
    scale: Tensor  # ()       what σ is multiplied by in this step
    growth: Tensor  # ()      what it will be multiplied by before the next one
    renew: Tensor  # ()       bool: whether new points are drawn, and the inner optimizer starts afresh, before the next
    known: Tree  # ()         loss at x0, or loss and gradient, as far as sigma_strategy or termination made them known
    children: dict[str, Any]  # state of each child


class GradientSampling(ObjectiveMap):
    r"""Show an objective gathered from random points nearby: Gaussian homotopy, and gradient sampling.

    $$ \hat f(θ) = \mathrm{aggregate}_i\ f(θ + σ ξ_i),\quad
       ∇\hat f(θ) = \mathrm{aggregate}_i\ ∇f(θ + σ ξ_i),\quad i = 1 … n $$

    The points around a step's parameters are the same at every evaluation of the step, wherever it is. Samples that
    are not finite are left out; if all are, loss and gradient are inf.

    Args:
        modules: an optimizer for the gathered objective, which nobody else will see; None lets the modules after this
            one see it.
        sigma: σ, at least 0.
        n: how many points, at least 1.
        aggregate: "mean"; "max" or "min": the largest or smallest loss, and of each element of the gradients that of
            the largest or smallest absolute value; "min-norm" or "min-value": loss and gradient of the point that has
            the shortest gradient or the least loss.
        distribution: of ξ: "normal" (or "gaussian"), "uniform" on (-1, 1), "rademacher" ±1, or "sphere", where ξ of
            all parameters together has length 1.
        include_x0: let the first point be θ itself.
        fixed: keep the ξ from step to step, until `termination`; otherwise each step draws anew.
        pre_generate: draw all points of a step at once and hold them; otherwise each is drawn, the same again,
            whenever it is needed, which is slower and saves memory.
        termination: a module whose `should_terminate` ends a stage: before the next step σ is multiplied by `decay`,
            and new ξ are drawn. It sees the gathered objective.
        decay: positive.
        reset_on_termination: let a new stage begin with a fresh state of `modules`, or without these of all other
            modules of the chain.
        sigma_strategy: adapt σ: "value" multiplies it, before the next step, by `sigma_nplus` if at least the part
            `sigma_target` of the perturbed points has a lower loss than θ, else by `sigma_nminus`; "grad-norm" looks
            for shorter gradients.
        sigma_target: in [0, 1].
        sigma_nplus: positive.
        sigma_nminus: positive.
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for a number outside its range, an unknown aggregate, distribution or strategy.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.GradientSampling(sigma=0.5, n=3, distribution="rademacher", seed=2), tz.m.LR(1.0))
    >>> p = torch.tensor([0.25])
    >>> opt(p, opt.init(p), lambda x: x.abs().sum())[0]  # one of three points sees the other side
    tensor([-0.0833])

    Reference: Burke, Lewis & Overton 2005, https://doi.org/10.1137/030601296 (the sampling; here gradients are
    gathered by a formula rather than by the shortest vector of their hull); Mobahi & Fisher 2015,
    https://doi.org/10.1609/aaai.v29i1.9356; Iwakiri, Wang, Ito & Takeda 2022, https://arxiv.org/abs/2203.05717
    """

    modules: Module | None = child(default=None)
    sigma: Hyper = nonnegative(1.0)
    n: int = static(100, low=1, integer=True)
    aggregate: str = static("mean", choices=AGGREGATES)
    distribution: str = static("gaussian", choices=random.DISTRIBUTIONS)
    include_x0: bool = static(default=True)
    fixed: bool = static(default=True)
    pre_generate: bool = static(default=True)
    termination: Module | None = child(default=None)
    decay: Hyper = positive(2 / 3)
    reset_on_termination: bool = static(default=True)
    sigma_strategy: str | None = static(None, choices=("value", "grad-norm"))
    sigma_target: Hyper = within(0, 1, default=0.2, closed_high=True)
    sigma_nplus: Hyper = positive(4 / 3)
    sigma_nminus: Hyper = positive(2 / 3)
    seed: Hyper = integer(0, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    @property
    def _knows(self) -> int:
        """What is known at x0 after an update: 0 nothing, 1 the loss, 2 the gradient too."""
        by_gradients = self.sigma_strategy is not None and self.aggregate == "min-norm"
        if self.termination is not None or self.sigma_strategy == "grad-norm" or by_gradients:
            return 2
        return int(self.sigma_strategy == "value")

    def init(self, params: Tree) -> GradientSamplingState:
        key = random.key(self.seed, tree.reference(params).device)
        one = tree.scalar(params, 1.0)
        known = ((), one, (one, params))[self._knows]
        children = {name: module.init(params) for name, module in self.children().items()}
        return GradientSamplingState(key, one, one, as_bool(False, params), known, children)

    def child_state(self, state: GradientSamplingState, name: str) -> Any:
        return state.children[name]

    def reset_for_online(self, state: GradientSamplingState) -> GradientSamplingState:
        kids = self.children()
        return state._replace(children={k: m.reset_for_online(state.children[k]) for k, m in kids.items()})

    def restarts_others(self, state: GradientSamplingState) -> Tensor | None:
        asks = self.modules is None and self.termination is not None and self.reset_on_termination
        return state.renew if asks else None

    def evaluations(self, state: GradientSamplingState) -> Any:
        return super().evaluations(state) + (self.n - self.include_x0 if self._knows else 0)

    def rewrite(self, state: GradientSamplingState, var: Var, inner: Objective) -> Sampled:
        x0, n = var.params, self.n - self.include_x0

        def spread(noise: Tree) -> Tree:
            return tree.zipmap(lambda z, sigma: tree.cast(state.scale * sigma * z, z), noise, self.sigma)

        if not self.pre_generate:
            return Sampled(
                inner,
                lambda i: spread(random.sample_tree(random.fold_in(state.key, i), x0, self.distribution)),
                n, self.include_x0, self.aggregate,
            )  # fmt: skip
        all_of = spread(_draws(state.key, x0, n, self.distribution))
        return Sampled(inner, lambda i: tree.map(lambda z: z[i], all_of), n, self.include_x0, self.aggregate)

    def _begin(self, state: GradientSamplingState, params: Tree) -> GradientSamplingState:
        """What the last step decided about this one."""
        key = random.split(state.key)[0]
        children = dict(state.children)
        if self.fixed:
            key = torch.where(state.renew, key, state.key)
        if self.modules is not None and self.termination is not None and self.reset_on_termination:
            children["modules"] = afresh(state.renew, self.modules, children["modules"], params)
        return state._replace(key=key, scale=state.scale * state.growth, children=children)

    def _see(self, state: GradientSamplingState, var: Var) -> Var:
        known = dict(zip(("loss", "grad"), (state.known,) if self._knows == 1 else state.known, strict=False))
        return var.replace(objective=self.rewrite(state, var, var.need_objective(self)), **known)

    def _absorb(self, state: GradientSamplingState, var: Var) -> tuple[GradientSamplingState, Var]:
        """Everything but the inner optimizer: the state, and what later modules see."""
        state = self._begin(state, var.params)
        if not self._knows:
            return state, self._see(state, var)
        sampled = self.rewrite(state, var, var.need_objective(self))
        seen = sampled.survey(var.params, gradients=self._knows == 2)
        growth, renew = torch.ones_like(state.growth), state.renew
        if self.sigma_strategy is not None:
            growth = self._success(sampled, seen, var, growth)
        known = (seen.loss, seen.grad) if self._knows == 2 else seen.loss
        state = state._replace(known=tree.cast_like(known, state.known))
        out = self._see(state, var)
        if self.termination is not None:
            own = self.termination.update(state.children["termination"], out)
            flag = self.termination.apply(own, out.replace(should_terminate=False)).should_terminate
            renew = as_bool(flag, var.params)
            (decay,) = single(self, "decay")
            growth = growth * torch.where(renew, decay * torch.ones_like(growth), torch.ones_like(growth))
            state = state._replace(children={**state.children, "termination": own})
        return state._replace(growth=tree.cast(growth, state.growth), renew=renew), out

    def _success(self, sampled: Sampled, seen: Survey, var: Var, one: Tensor) -> Tensor:
        """What σ is multiplied by: whether enough of the perturbed points are better than θ."""
        by_value = self.sigma_strategy == "value"
        scores = seen.values if by_value else seen.norms
        if self.include_x0:
            here, others = scores[0], scores[1:]
        else:
            here, others = var.loss if by_value else tree.norm(var.grad), scores
        share = (others < here).sum().to(torch.float64) / max(len(others), 1)
        target, more, less = single(self, "sigma_target", "sigma_nplus", "sigma_nminus")
        return torch.where(share >= target, more * one, less * one)

    def update(self, state: GradientSamplingState, var: Var) -> GradientSamplingState:
        state, out = self._absorb(state, var)
        if self.modules is None:
            return state
        own = self.modules.update(state.children["modules"], out)
        return state._replace(children={**state.children, "modules": own})

    def apply(self, state: GradientSamplingState, var: Var) -> Var:
        out = self._see(state, var)
        if self.modules is None:
            return out
        after = self.modules.apply(state.children["modules"], out)
        return publish(var, [after]).replace(update=after.update)

    def step(self, state: GradientSamplingState, var: Var) -> tuple[GradientSamplingState, Var]:
        state, out = self._absorb(state, var)
        if self.modules is None:
            return state, out
        own, after = self.modules.step(state.children["modules"], out)
        state = state._replace(children={**state.children, "modules": own})
        return state, publish(var, [after]).replace(update=after.update)


GaussianHomotopy = GradientSampling
