"""ForwardGradient: the gradient by derivatives along random directions."""

import functools
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchzero.core import tree
from torchzero.core.hyper import Hyper, positive, static
from torchzero.core.objective import FunctionObjective, Objective
from torchzero.core.tree import Tree
from torchzero.grad_approximation.base import differences, outside, touches_centre
from torchzero.grad_approximation.randomized_fdm import RandomGradApproximator

METHODS = ("autograd", "forward", "central")


@functools.cache
def load_forward_mode() -> None:
    """Have torch load its forward mode, which it does at the first use, with a warning about its own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with forward_ad.dual_level():
            forward_ad.make_dual(torch.zeros(()), torch.zeros(()))


class ForwardGradient(RandomGradApproximator):
    r"""The gradient by exact derivatives along random directions.

    $$ g = \frac{1}{m} \sum_{s=1}^m z_s\, (z_s · ∇f(θ)),\quad \mathrm{E}\,z = 0,\ \mathrm{E}\,zz^T = I $$

    The derivative along z takes one forward pass, without a backward pass and without keeping what that would need. Of
    a closure, which cannot be differentiated forward, the gradient is taken once and multiplied by all directions.

    Args:
        n_samples: m, at least 1.
        distribution: of z: "normal" (or "gaussian"), "rademacher", "uniform" or "sphere", scaled to variance 1 of each
            element.
        pre_generate: the same directions at all points that are evaluated in one step; else new ones at every point.
        jvp_method: "autograd" for exact derivatives; "forward" or "central" for differences of values.
        h: the step of differences, positive, in units of the parameters.
        target: "closure" gives all modules after this one an objective with estimated gradients, at whatever points;
            "grad" fills in the gradient at the step's point, and "update" the direction alone.
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.

    Raises:
        ValueError: for a number outside its range, or an unknown distribution, method or target.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.ForwardGradient(distribution="rademacher", seed=0), tz.m.LR(1.0))
    >>> p = torch.tensor([3.0])
    >>> opt(p, opt.init(p), lambda x: (x**2).sum())[0]
    tensor([-3.])

    Reference: Baydin et al. 2022, Gradients without backpropagation, https://arxiv.org/abs/2202.08587
    """

    jvp_method: str = static("autograd", choices=METHODS)
    h: Hyper = positive(1e-3)

    def __init__(
        self,
        n_samples: int = 1,
        distribution: str = "gaussian",
        pre_generate: bool = True,
        jvp_method: str = "autograd",
        h: Hyper = 1e-3,
        target: str = "closure",
        seed: Hyper = None,
    ) -> None:
        self._set(
            n_samples=n_samples,
            distribution=distribution,
            pre_generate=pre_generate,
            jvp_method=jvp_method,
            h=h,
            target=target,
            seed=seed,
            return_approx_loss=False,
        )

    @property
    def _differences(self) -> bool:
        return self.jvp_method != "autograd"

    def probes(self, params: Tree) -> int:
        return outside(self.jvp_method) * self.n_samples if self._differences else 0

    def slopes(
        self, objective: Objective, params: Tree, z: Tree, loss: Tensor | None
    ) -> tuple[Tensor, Any, Tensor | None]:
        if self._differences:
            if loss is None and touches_centre(self.jvp_method):
                loss = objective.value(params)
            found = differences(objective, params, z, self.h, self.jvp_method, loss)
            return found.slopes, found.total, loss
        if isinstance(objective, FunctionObjective):
            if not torch.compiler.is_compiling() and forward_ad._current_level < 0:
                load_forward_mode()
            along = torch.func.vmap(lambda z: torch.func.jvp(objective.value, (params,), (z,))[:2])
            losses, slopes = along(z)
            return slopes, 0.0, losses[0]
        grad, _ = objective.linearize(params)
        return torch.func.vmap(lambda z: tree.dot(grad, z))(z), 0.0, loss

    def rescaled(self, grad: Tree) -> Tree:
        return tree.zipmap(lambda g, h: g / h, grad, self.h) if self._differences else grad
