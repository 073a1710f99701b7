"""SumOfSquares: residuals minimised by their sum of squares."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class Squared(Objective):
    """Twice an objective: ‖r‖² where it is ½‖r‖²."""

    def __init__(self, inner: Objective) -> None:
        self.inner = inner

    def value(self, params: Tree) -> Tensor:
        return 2 * self.inner.value(params)

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        value, grad = self.inner.value_and_grad(params)
        return 2 * value, tree.scale(2, grad)

    def hvp(self, params: Tree, v: Tree) -> Tree:
        return tree.scale(2, self.inner.hvp(params, v))

    def linearize(self, params: Tree) -> tuple[Tree, Callable[[Tree], Tree]]:
        grad, product = self.inner.linearize(params)
        return tree.scale(2, grad), lambda v: tree.scale(2, product(v))

    def hessian(self, params: Tree) -> Tensor:
        return 2 * self.inner.hessian(params)

    def residuals(self, params: Tree) -> Tensor:
        return 2**0.5 * self.inner.residuals(params)

    def jacobian(self, params: Tree) -> tuple[Tensor, Tensor]:
        r, J = self.inner.jacobian(params)
        return 2**0.5 * r, 2**0.5 * J


class SumOfSquares(Module):
    r"""Let later modules minimise the sum of squares of the residuals that the objective returns.

    $$ f(θ) = ‖r(θ)‖^2,\quad ∇f = 2J^Tr $$

    Without it a vector of residuals counts as ½‖r‖², so this is a factor of two in loss, gradient and Hessian: what one
    gets by squaring and summing by hand. A loss that is one number already is doubled as well.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.Chain(tz.m.SumOfSquares(), tz.m.LR(0.25)), torch.tensor([3.0, 1.0])
    >>> opt(x, opt.init(x), lambda x: x - 1.0)[0]
    tensor([2., 1.])

    Reference: Nocedal & Wright 2006, Numerical optimization, chapter 10, https://doi.org/10.1007/978-0-387-40065-5
    """

    locality = "elementwise"
    needs = frozenset({"objective"})
    rewrites_objective = True

    def apply(self, state: Any, var: Var) -> Var:
        return var.replace(objective=Squared(var.need_objective(self)))
