"""WeightDropout: evaluate with some of the weights at zero."""

from collections.abc import Callable

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper, integer, within
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.objective_maps.base import KeyState, Mapped, RandomMap


class Masked(Mapped):
    """f(m ⊙ θ), with its own gradient m ⊙ ∇f(m ⊙ θ)."""

    def __init__(self, inner: Objective, mask: Tree) -> None:
        super().__init__(inner)
        self.mask = mask

    def _masked(self, x: Tree) -> Tree:
        return tree.mul(x, self.mask)

    def value(self, params: Tree) -> Tensor:
        return self.inner.value(self._masked(params))

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        value, grad = self.inner.value_and_grad(self._masked(params))
        return value, self._masked(grad)

    def residuals(self, params: Tree) -> Tensor:
        return self.inner.residuals(self._masked(params))

    def jacobian(self, params: Tree) -> tuple[Tensor, Tensor]:
        r, rows = self.inner.jacobian(self._masked(params))
        return r, rows * tree.ravel(self.mask)[0]

    def hvp(self, params: Tree, v: Tree) -> Tree:
        return self._masked(self.inner.hvp(self._masked(params), self._masked(v)))

    def linearize(self, params: Tree) -> tuple[Tree, Callable[[Tree], Tree]]:
        grad, product = self.inner.linearize(self._masked(params))
        return self._masked(grad), lambda v: self._masked(product(self._masked(v)))

    def hessian(self, params: Tree) -> Tensor:
        mask = tree.ravel(self.mask)[0]
        return mask[:, None] * self.inner.hessian(self._masked(params)) * mask


class WeightDropout(RandomMap):
    r"""Show later modules the objective with random parameters at zero: DropConnect.

    $$ \hat f(θ) = f(m ⊙ θ),\quad ∇\hat f(θ) = m ⊙ ∇f(m ⊙ θ),\quad m \sim \mathrm{Bernoulli}(1 - p) $$

    The mask is drawn anew at every step, and is the same at every evaluation of a step. Nothing is multiplied by
    1/(1-p), and parameters that are dropped get a zero gradient, as in the paper.

    Args:
        p: the probability that an element is dropped, in [0, 1].
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for p outside [0, 1].
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.WeightDropout(0.5, seed=0), torch.ones(4)
    >>> opt.step(opt.init(p), tz.Var(p, objective=lambda x: (x**2).sum()))[1].update.unique()
    tensor([0., 2.])

    Reference: Wan, Zeiler, Zhang, Le Cun & Fergus 2013, https://proceedings.mlr.press/v28/wan13.html
    """

    p: Hyper = within(0, 1, default=0.5, closed_high=True)
    seed: Hyper = integer(0, default=None)

    def rewrite(self, state: KeyState, var: Var, inner: Objective) -> Objective:
        leaves, spec = tree.flatten(var.params)
        kept = []
        for i, (x, p) in enumerate(zip(leaves, tree.spread(self.p, var.params), strict=True)):
            drop = random.bernoulli(random.fold_in(state.key, i).to(x.device), p, x.shape)
            kept.append(torch.where(drop, torch.zeros_like(x), torch.ones_like(x)))
        return Masked(inner, tree.unflatten(spec, kept))
