"""PerturbWeights: evaluate with noise on the weights."""

from typing import Any

from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper, integer, nonnegative, static
from torchzero.core.metrics import check_ord, metric
from torchzero.core.objective import Objective
from torchzero.core.var import Var
from torchzero.objective_maps.base import KeyState, Moved, RandomMap, shift


class PerturbWeights(RandomMap):
    r"""Show later modules the objective at randomly perturbed parameters.

    $$ \hat f(θ) = f(θ + α\,s\,ξ),\quad ∇\hat f(θ) = ∇f(θ + α\,s\,ξ),\quad
       s = \mathrm{metric}(θ_0)\ \text{of each tensor, or}\ 1 $$

    The perturbation is drawn anew at every step, from the parameters θ₀ that the step begins with, and is the same at
    every evaluation of a step.

    Args:
        alpha: α, at least 0: the standard deviation of normal noise, the bound of uniform noise, the size of every
            element of rademacher noise, the length of noise on a sphere, in units of s.
        relative: measure the noise in the size of each tensor; otherwise s = 1.
        distribution: of ξ: "normal" (or "gaussian"), "uniform" on (-1, 1), "rademacher" ±1, or "sphere", where ξ of
            each tensor has length 1.
        metric: the size of a tensor: the order of a norm, or "mad" (mean absolute value), "std", "var", "sum", "l1",
            "l2", "linf", ...
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for a negative α, an unknown distribution or metric.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.PerturbWeights(0.5, distribution="rademacher", seed=0), torch.full((8,), 2.0)
    >>> opt.step(opt.init(p), tz.Var(p, objective=lambda x: (x**2).sum()))[1].update.unique()  # 2 (2 ± 1)
    tensor([2., 6.])

    Reference: cf. Wen, Vicol, Ba, Tran & Grosse 2018, section 2, https://arxiv.org/abs/1803.04386
    """

    alpha: Hyper = nonnegative(0.1)
    relative: bool = static(default=True)
    distribution: str = static(default="normal", choices=random.DISTRIBUTIONS)
    metric: Any = static(default="mad")
    seed: Hyper = integer(0, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("PerturbWeights", "metric", self.metric)

    def rewrite(self, state: KeyState, var: Var, inner: Objective) -> Objective:
        leaves, spec = tree.flatten(var.params)
        noise = tree.unflatten(spec, [self._draw(state.key, i, x) for i, x in enumerate(leaves)])
        e = tree.scale(self.alpha, noise)
        return Moved(inner, lambda params: shift(params, e))

    def _draw(self, key: Tensor, i: int, x: Tensor) -> Tensor:
        draw = random.sample(random.fold_in(key, i).to(x.device), x.shape, self.distribution, x.dtype)
        return tree.cast(draw * metric(x, self.metric), x) if self.relative and x.numel() else draw
