"""Gradients by differences along random directions: one row for each choice of directions and formula."""

import math
from typing import Any

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper, integer, number, positive, static
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.grad_approximation.base import (
    STENCILS,
    Estimate,
    GradApproximator,
    batches,
    differences,
    outside,
    touches_centre,
    values,
)
from torchzero.ops.random_directions import RandomState, current, start
from torchzero.step_size.base import single


def unit_variance(key: Tensor, params: Tree, distribution: str) -> Tree:
    """A draw like `params` with mean 0 and variance 1 of each element, uncorrelated: E zzᵀ = I."""
    z = random.sample_tree(key, params, distribution)
    if distribution == "uniform":
        return tree.scale(math.sqrt(3), z)
    return tree.scale(math.sqrt(tree.count(params)), z) if distribution == "sphere" else z


def fingerprint(params: Tree) -> Tensor:
    """A number that tells a point from others, whatever the order of summation: () int64."""
    total = torch.zeros((), dtype=torch.int64, device=tree.reference(params).device)
    for x in tree.leaves(params):
        bits = x.detach().reshape(-1).to(torch.float64).view(torch.int64)
        odd = 2 * torch.arange(x.numel(), device=x.device) + 1
        total = total * 31 + (bits * odd).sum().to(total.device)
    return total ^ (total >> 32)


class RandomGradApproximator(GradApproximator):
    """What estimates along random directions share: drawing them, in batches, and averaging."""

    n_samples: int = static(1, low=1, integer=True)
    distribution: str = static("gaussian", choices=random.DISTRIBUTIONS)
    pre_generate: bool = static(default=True)
    seed: Hyper = integer(0, None)

    one_by_one = False  # whether no two directions are held at once

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init_own(self, params: Tree) -> RandomState:
        return start(self.seed, params)

    def advance(self, own: RandomState) -> RandomState:
        return own._replace(t=own.t + 1)

    def slopes(
        self, objective: Objective, params: Tree, z: Tree, loss: Tensor | None
    ) -> tuple[Tensor, Any, Tensor | None]:
        """For every lane of `z` what it is multiplied by: (c,); the sum of the values; the loss, if it is known now."""
        raise TypeError(f"{type(self).__name__} must implement slopes(objective, params, z, loss)")

    def rescaled(self, grad: Tree) -> Tree:
        """The sum of slopes and directions in units of the gradient."""
        return grad

    def approximate(self, own: RandomState, objective: Objective, params: Tree, loss: Tensor | None) -> Estimate:
        key, like = current(own), tree.map(torch.Tensor.detach, params)
        if not self.pre_generate:
            key = random.fold_in(key, fingerprint(params))
        total: Any = None
        seen: Any = 0.0
        size = tree.count(params)
        if not size:
            return tree.zeros_like(params), loss, None
        ranges = [(i, i + 1) for i in range(self.n_samples)] if self.one_by_one else batches(self.n_samples, size)
        for low, high in ranges:
            indices = torch.arange(low, high, device=key.device)
            z = torch.func.vmap(lambda i: unit_variance(random.fold_in(key, i), like, self.distribution))(indices)
            slopes, values, loss = self.slopes(objective, params, z, loss)
            part = tree.map(lambda x: weighted(slopes, x), z)  # noqa: B023  (called at once)
            total = part if total is None else tree.add(total, part)
            seen = seen + values
        grad = self.rescaled(tree.map(lambda x: x / self.n_samples, total))
        probed = self.probes(params)
        return tree.cast_like(grad, params), loss, seen / probed if probed else None


def weighted(slopes: Tensor, z: Tensor) -> Tensor:
    """Σ slopesₖ zₖ over the lanes of `z` (c, ...), in at least single precision."""
    wide = torch.promote_types(torch.promote_types(z.dtype, slopes.dtype), torch.float32)
    return torch.tensordot(slopes.to(wide), z.to(wide), 1)


class RandomizedFDM(RandomGradApproximator):
    r"""The gradient by finite differences along random directions.

    $$ g = \frac{1}{m} \sum_{s=1}^m z_s\, \frac{1}{h} \sum_k w_k\, f(θ + o_k h z_s),\quad
       \mathrm{E}\,z = 0,\ \mathrm{E}\,zz^T = I $$

    With h → 0 this is $\frac{1}{m} \sum z_s z_s^T ∇f$, which is the gradient on average, whatever the distribution.
    The formulas and their weights stand with `FDM`; n there is m here.

    Args:
        h: the step, positive, in units of the parameters; given for each parameter, the steps differ and the
            expectation does not.
        n_samples: m, at least 1.
        formula: "forward", "backward", "central", "forward3", "backward3", "central4", "forward4" or "forward5".
        distribution: of z: "normal" (or "gaussian"), "rademacher", "uniform" or "sphere", scaled to variance 1 of each
            element.
        pre_generate: the same directions at all points that are evaluated in one step, so that a line search sees one
            function; else new ones at every point.
        return_approx_loss: where the formula does not evaluate θ itself, take the mean of the losses around it for the
            loss and save an evaluation.
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.
        target: "closure" gives all modules after this one an objective with estimated gradients, at whatever points;
            "grad" fills in the gradient at the step's point, and "update" the direction alone.

    Raises:
        ValueError: for a number outside its range, or an unknown formula, distribution or target.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.RandomizedFDM(n_samples=2000, seed=0), tz.m.LR(1.0))
    >>> p = torch.tensor([2.0, -1.0], dtype=torch.float64)
    >>> g = p - opt(p, opt.init(p), lambda x: (x**2).sum())[0]
    >>> (g - 2 * p).abs().max() < 0.2
    tensor(True)

    Reference: Nesterov & Spokoiny 2017, https://doi.org/10.1007/s10208-015-9296-2; Spall 1992; generalized stencils:
    Pachalyl, Bhatnagar & Prashanth 2025.
    """

    h: Hyper = positive(1e-3)
    formula: str = static("central", choices=tuple(STENCILS))

    def __init__(
        self,
        h: Hyper = 1e-3,
        n_samples: int = 1,
        formula: str = "central",
        distribution: str = "rademacher",
        pre_generate: bool = True,
        return_approx_loss: bool = False,
        seed: Hyper = None,
        target: str = "closure",
    ) -> None:
        self._set(
            h=h,
            n_samples=n_samples,
            formula=formula,
            distribution=distribution,
            pre_generate=pre_generate,
            return_approx_loss=return_approx_loss,
            seed=seed,
            target=target,
        )

    def probes(self, params: Tree) -> int:
        return outside(self.formula) * self.n_samples

    def slopes(
        self, objective: Objective, params: Tree, z: Tree, loss: Tensor | None
    ) -> tuple[Tensor, Any, Tensor | None]:
        if loss is None and touches_centre(self.formula):
            loss = objective.value(params)
        slopes, total = differences(objective, params, z, self.h, self.formula, loss)
        return slopes, total, loss

    def rescaled(self, grad: Tree) -> Tree:
        return tree.zipmap(lambda g, h: g / h, grad, self.h)


class SPSA(RandomizedFDM, init=False):
    r"""Simultaneous perturbation stochastic approximation: central differences along random signs.

    $$ g = \frac{1}{m} \sum_{s=1}^m z_s\, \frac{f(θ + h z_s) - f(θ - h z_s)}{2h},\quad z_{s,i} = ±1 $$

    Args:
        h: the step, positive, in units of the parameters.
        n_samples: m, at least 1.
        formula: as for RandomizedFDM, of which this is the same with the same defaults.
        distribution: of z, as for RandomizedFDM.
        pre_generate: the same directions at all points of a step; else new ones at every point.
        return_approx_loss: take the mean of the losses around θ for the loss.
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.
        target: "closure", "grad" or "update", as for RandomizedFDM.

    Raises:
        ValueError: for a number outside its range, or an unknown formula, distribution or target.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.SPSA(seed=0), tz.m.LR(1.0))
    >>> p = torch.tensor([3.0], dtype=torch.float64)
    >>> opt(p, opt.init(p), lambda x: (x**2).sum())[0].round(decimals=6)
    tensor([-3.], dtype=torch.float64)

    Reference: Spall 1992, https://doi.org/10.1109/9.119632
    """


class RDSA(RandomizedFDM, init=False):
    r"""Random directions stochastic approximation: central differences along normal directions.

    $$ g = \frac{1}{m} \sum_{s=1}^m z_s\, \frac{f(θ + h z_s) - f(θ - h z_s)}{2h},\quad z_s \sim N(0, I) $$

    Args:
        h: the step, positive, in units of the parameters.
        n_samples: m, at least 1.
        formula: as for RandomizedFDM.
        distribution: of z, as for RandomizedFDM.
        pre_generate: the same directions at all points of a step; else new ones at every point.
        return_approx_loss: take the mean of the losses around θ for the loss.
        target: "closure", "grad" or "update", as for RandomizedFDM.
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.

    Raises:
        ValueError: for a number outside its range, or an unknown formula, distribution or target.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.RDSA(n_samples=4000, seed=0), tz.m.LR(1.0))
    >>> p = torch.tensor([3.0], dtype=torch.float64)
    >>> (opt(p, opt.init(p), lambda x: (x**2).sum())[0] + 3).abs() < 0.5
    tensor([True])

    Reference: Kushner & Clark 1978; Chen 2021, https://arxiv.org/abs/2107.12771
    """

    def __init__(
        self,
        h: Hyper = 1e-3,
        n_samples: int = 1,
        formula: str = "central2",
        distribution: str = "gaussian",
        pre_generate: bool = True,
        return_approx_loss: bool = False,
        target: str = "closure",
        seed: Hyper = None,
    ) -> None:
        super().__init__(h, n_samples, formula, distribution, pre_generate, return_approx_loss, seed, target)


class GaussianSmoothing(RandomizedFDM, init=False):
    r"""The gradient of the objective blurred by a Gaussian, by forward differences along many directions.

    $$ g = \frac{1}{m} \sum_{s=1}^m z_s\, \frac{f(θ + h z_s) - f(θ)}{h},\quad z_s \sim N(0, I),\quad
       \mathrm{E}\,g = ∇\, \mathrm{E}_z f(θ + hz) $$

    Args:
        h: the width of the Gaussian, positive, in units of the parameters.
        n_samples: m, at least 1.
        formula: as for RandomizedFDM.
        distribution: of z, as for RandomizedFDM.
        pre_generate: the same directions at all points of a step; else new ones at every point.
        return_approx_loss: take the mean of the losses around θ for the loss.
        target: "closure", "grad" or "update", as for RandomizedFDM.
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.

    Raises:
        ValueError: for a number outside its range, or an unknown formula, distribution or target.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.GaussianSmoothing(h=2.0, n_samples=2000, seed=0), tz.m.LR(0.5))
    >>> p = torch.tensor([1.0], dtype=torch.float64)
    >>> ripples = lambda x: (x**2 + 0.2 * torch.cos(50 * x)).sum()
    >>> opt(p, opt.init(p), ripples)[0].abs() < 0.2
    tensor([True])

    Reference: Nesterov & Spokoiny 2017, https://doi.org/10.1007/s10208-015-9296-2
    """

    def __init__(
        self,
        h: Hyper = 1e-2,
        n_samples: int = 100,
        formula: str = "forward2",
        distribution: str = "gaussian",
        pre_generate: bool = True,
        return_approx_loss: bool = False,
        target: str = "closure",
        seed: Hyper = None,
    ) -> None:
        super().__init__(h, n_samples, formula, distribution, pre_generate, return_approx_loss, seed, target)


class MeZO(RandomizedFDM, init=False):
    r"""Memory-efficient zeroth-order gradients: no direction is kept, each is drawn again where it is needed.

    $$ g = \frac{1}{m} \sum_{s=1}^m z_s\, \frac{f(θ + h z_s) - f(θ - h z_s)}{2h},\quad z_s = z(\mathrm{key}, s) $$

    The state is a key of two numbers, as it is for all modules of this family, and there is never more than one
    direction in memory. The directions are the same at all points of a step.

    Args:
        h: the step, positive, in units of the parameters.
        n_samples: m, at least 1.
        formula: as for RandomizedFDM.
        distribution: of z, as for RandomizedFDM.
        return_approx_loss: take the mean of the losses around θ for the loss.
        target: "closure", "grad" or "update", as for RandomizedFDM.
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.

    Raises:
        ValueError: for a number outside its range, or an unknown formula, distribution or target.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.MeZO(seed=0), tz.m.LR(1.0))
    >>> p = torch.tensor([3.0], dtype=torch.float64)
    >>> opt(p, opt.init(p), lambda x: (x**2).sum())[0].round(decimals=6)
    tensor([-3.], dtype=torch.float64)

    Reference: Malladi et al. 2023, Fine-tuning language models with just forward passes,
    https://arxiv.org/abs/2305.17333
    """

    one_by_one = True

    def __init__(
        self,
        h: Hyper = 1e-3,
        n_samples: int = 1,
        formula: str = "central2",
        distribution: str = "rademacher",
        return_approx_loss: bool = False,
        target: str = "closure",
        seed: Hyper = None,
    ) -> None:
        super().__init__(h, n_samples, formula, distribution, True, return_approx_loss, seed, target)


class SPSA1(RandomGradApproximator):
    r"""SPSA with a single value for each direction.

    $$ g = \frac{1}{m} \sum_{s=1}^m z_s\, \frac{f(θ + h z_s) + ε}{h},\quad z_{s,i} = ±1 $$

    The gradient on average, as with two values, but with a variance that grows as $f^2/h^2$.

    Args:
        h: the step, positive, in units of the parameters.
        n_samples: m, at least 1.
        eps: ε, added to the loss.
        pre_generate: the same directions at all points of a step; else new ones at every point.
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.
        target: "closure", "grad" or "update", as for RandomizedFDM.

    Raises:
        ValueError: for a number outside its range, or an unknown target.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.SPSA1(h=0.5, n_samples=4000, eps=0.0, seed=0), tz.m.LR(1.0))
    >>> p = torch.tensor([1.0], dtype=torch.float64)
    >>> (opt(p, opt.init(p), lambda x: (x**2).sum())[0] + 1).abs() < 0.2
    tensor([True])

    Reference: Spall 1997, A one-measurement form of simultaneous perturbation stochastic approximation,
    https://doi.org/10.1016/S0005-1098(96)00149-5
    """

    h: Hyper = positive(1e-3)
    eps: Hyper = number(1e-8)

    def __init__(
        self,
        h: Hyper = 1e-3,
        n_samples: int = 1,
        eps: Hyper = 1e-8,
        pre_generate: bool = False,
        seed: Hyper = None,
        target: str = "closure",
    ) -> None:
        self._set(
            h=h,
            n_samples=n_samples,
            eps=eps,
            pre_generate=pre_generate,
            seed=seed,
            target=target,
            distribution="rademacher",
            return_approx_loss=False,
        )

    def probes(self, params: Tree) -> int:
        return self.n_samples

    def slopes(
        self, objective: Objective, params: Tree, z: Tree, loss: Tensor | None
    ) -> tuple[Tensor, Any, Tensor | None]:
        f = values(objective, params, z, self.h)
        return f + single(self, "eps")[0], f.sum(), loss

    def rescaled(self, grad: Tree) -> Tree:
        return tree.zipmap(lambda g, h: g / h, grad, self.h)
