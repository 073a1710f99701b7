"""SAM: descend by the gradient at the worst point nearby."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, positive, static, within
from torchzero.core.objective import Objective
from torchzero.core.safe import safe_pow
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.objective_maps.base import Moved, ObjectiveMap, shift
from torchzero.step_size.base import single


def _at_least(x: Tensor, low: Any) -> Tensor:
    return x.clamp_min(low) if isinstance(low, int | float) else torch.maximum(x, low.to(x.dtype))


def ascent(grad: Tree, size: Tree, rho: Hyper, p: Hyper, eps: Hyper) -> Tree:
    """The perturbation e that raises <g, e> most where the p-norm of e / size is at most ρ, over all leaves."""
    inverse = 1 / p  # 0 for p = inf
    q = 1 / (1 - inverse)
    scaled = tree.map(lambda g, s: (g * s).abs(), grad, size)
    bottom = _at_least(safe_pow(tree.total(tree.map(lambda x: safe_pow(x, q), scaled)), inverse), eps)
    return tree.zipmap(
        lambda g, s, x, r: tree.cast(r * s * g.sign() * safe_pow(x, q - 1) / bottom, g), grad, size, scaled, rho
    )


def sharp(inner: Objective, rho: Hyper, p: Hyper, eps: Hyper, unit: Callable[[Tensor], Tensor]) -> Objective:
    """`inner` at the worst point nearby, distances measured in `unit(parameter)`."""

    def worst(params: Tree) -> Tree:
        _, grad = inner.value_and_grad(params)
        return shift(params, ascent(grad, tree.map(unit, params), rho, p, eps))

    return Moved(inner, worst)


class SAM(ObjectiveMap):
    r"""Sharpness-aware minimisation: later modules see value and gradient at the worst point nearby, to first order.

    $$ g = ∇f(θ),\quad e = ρ \frac{\mathrm{sign}(g) |g|^{q-1}}{\max\{(\sum |g|^q)^{1/p}, ε\}},\quad
       \frac1p + \frac1q = 1,\qquad \hat f(θ) = f(θ + e),\ ∇\hat f(θ) = ∇f(θ + e) $$

    For p = 2 the perturbation is $ρ g/‖g‖$. The norm is over all parameters together, as in the paper. Every value or
    gradient costs two evaluations.

    Args:
        rho: ρ, the p-norm of the perturbation, at least 0.
        p: the norm, in (1, inf]; inf moves every element by ρ.
        eps: the least that is divided by, positive.
        asam: measure the perturbation in units of the parameters, as `ASAM` does.

    Raises:
        ValueError: for a number outside its range, or different `p` or `eps` for different parameters.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.SAM(rho=1.0), tz.m.LR(0.25))
    >>> p = torch.tensor([3.0, 4.0])
    >>> opt(p, opt.init(p), lambda x: (x**2).sum())[0]  # p - (p + p/5)/2
    tensor([1.2000, 1.6000])

    Reference: Foret, Kleiner, Mobahi & Neyshabur 2021, algorithm 1 and equation 2, https://arxiv.org/abs/2010.01412
    """

    rho: Hyper = nonnegative(0.05)
    p: Hyper = within(1, float("inf"), default=2, closed_low=False, closed_high=True)
    eps: Hyper = positive(1e-10)
    asam: bool = static(default=False)

    def rewrite(self, state: Any, var: Var, inner: Objective) -> Objective:
        p, eps = single(self, "p", "eps")
        return sharp(inner, self.rho, p, eps, torch.abs if self.asam else torch.ones_like)
