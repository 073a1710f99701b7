"""ASAM: sharpness that does not change when layers are rescaled."""

from typing import Any

import torch

from torchzero.core.hyper import Hyper, nonnegative, positive, within
from torchzero.core.objective import Objective
from torchzero.core.var import Var
from torchzero.objective_maps.base import ObjectiveMap
from torchzero.objective_maps.sam import sharp
from torchzero.step_size.base import single


class ASAM(ObjectiveMap):
    r"""Adaptive SAM: the perturbation is measured in units of the parameters.

    $$ g = ∇f(θ),\quad h = |θ| ⊙ g,\quad
       e = ρ\,|θ| ⊙ \frac{\mathrm{sign}(h) |h|^{q-1}}{\max\{(\sum |h|^q)^{1/p}, ε\}},\quad
       \frac1p + \frac1q = 1,\qquad \hat f(θ) = f(θ + e),\ ∇\hat f(θ) = ∇f(θ + e) $$

    For p = 2 the perturbation is $ρ\,θ^2 ⊙ g / ‖θ ⊙ g‖$. The norm is over all parameters together. Nothing is added to
    |θ|, so an element at 0 is not perturbed; the paper adds 0.01 in its experiments. Every value or gradient costs two
    evaluations.

    Args:
        rho: ρ, the p-norm of e / |θ|, at least 0.
        p: the norm, in (1, inf].
        eps: the least that is divided by, positive.

    Raises:
        ValueError: for a number outside its range, or different `p` or `eps` for different parameters.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.ASAM(rho=0.5), tz.m.LR(0.25))
    >>> p = torch.tensor([2.0, 0.0])
    >>> opt(p, opt.init(p), lambda x: (x**2).sum())[0]  # 2 - (2 + 0.5·2)/2
    tensor([0.5000, 0.0000])

    Reference: Kwon, Kim, Park & Choi 2021, section 3, https://arxiv.org/abs/2102.11600
    """

    rho: Hyper = nonnegative(0.5)
    p: Hyper = within(1, float("inf"), default=2, closed_low=False, closed_high=True)
    eps: Hyper = positive(1e-10)

    def rewrite(self, state: Any, var: Var, inner: Objective) -> Objective:
        p, eps = single(self, "p", "eps")
        return sharp(inner, self.rho, p, eps, torch.abs)
