"""Objective: what may be evaluated at any point."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.tree import Tree


class Objective:
    """A pure function of the parameters and its derivatives.

    Modules that rewrite the objective (smoothing, homotopy, sharpness) return another one of these.
    """

    def value(self, params: Tree) -> Tensor:
        """The loss at `params`: 0-d."""
        raise TypeError(f"{type(self).__name__} must implement value(params)")

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        """The loss and its gradient, which has the structure of `params`."""
        raise TypeError(f"{type(self).__name__} cannot evaluate gradients")

    def residuals(self, params: Tree) -> Tensor:
        """What the objective returns before it is made one number: (m,), for a 0-d loss (1,)."""
        raise TypeError(f"{type(self).__name__} cannot evaluate residuals")

    def jacobian(self, params: Tree) -> tuple[Tensor, Tensor]:
        """The residuals (m,) and their Jacobian (m, n) over all elements of `params`, ravelled in leaf order."""
        raise TypeError(f"{type(self).__name__} cannot evaluate Jacobians")

    def hvp(self, params: Tree, v: Tree) -> Tree:
        """The Hessian at `params` times `v`."""
        raise TypeError(f"{type(self).__name__} cannot evaluate Hessian-vector products")

    def linearize(self, params: Tree) -> tuple[Tree, Callable[[Tree], Tree]]:
        """The gradient at `params`, and the Hessian there as a function of a vector; one forward pass serves all."""
        _, grad = self.value_and_grad(params)
        return grad, lambda v: self.hvp(params, v)

    def hessian(self, params: Tree) -> Tensor:
        """The Hessian over all elements of `params`, ravelled in leaf order: (n, n)."""
        raise TypeError(f"{type(self).__name__} cannot evaluate Hessians")


class FunctionObjective(Objective):
    """An objective given as a function; derivatives by torch.func, so it nests under vmap, grad and compile.

    A function that returns a vector r of residuals is minimised as least squares: its value is ½‖r‖².

    Args:
        fn: params -> loss, a 0-d tensor, or residuals, a tensor of any other shape.

    >>> f = FunctionObjective(lambda x: (x**2).sum())
    >>> f.hvp(torch.ones(2), torch.tensor([1.0, 0.0]))
    tensor([2., 0.])
    """

    def __init__(self, fn: Callable[[Any], Tensor]) -> None:
        if not callable(fn):
            raise TypeError(f"FunctionObjective(fn={fn!r}): must be a function of the parameters")
        self.fn = fn

    def value(self, params: Tree) -> Tensor:
        return one_number(self.fn(params))

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        grad, value = torch.func.grad_and_value(self.value)(params)
        return value, tree.own(grad)  # the gradients of sums are views of one number

    def residuals(self, params: Tree) -> Tensor:
        return self.fn(params).reshape(-1)

    def jacobian(self, params: Tree) -> tuple[Tensor, Tensor]:
        vector, unravel = tree.ravel(params)
        r, pullback = torch.func.vjp(lambda x: self.residuals(unravel(x)), vector)  # pyright: ignore[reportAssignmentType]
        m, n = r.numel(), vector.numel()
        if m <= n:
            rows = torch.eye(m, dtype=r.dtype, device=r.device)
            return r, torch.func.vmap(lambda row: pullback(row)[0])(rows)
        # The pullback is linear, so its own pullback is v -> Jv: n products instead of m. Forward mode would do
        # the same, but compiles neither vmapped nor differentiated.
        _, push = torch.func.vjp(lambda u: pullback(u)[0], torch.zeros_like(r))  # pyright: ignore[reportAssignmentType]
        columns = torch.eye(n, dtype=vector.dtype, device=vector.device)
        return r, torch.func.vmap(lambda v: push(v)[0], out_dims=1)(columns)

    def hvp(self, params: Tree, v: Tree) -> Tree:
        return self.linearize(params)[1](v)

    def linearize(self, params: Tree) -> tuple[Tree, Callable[[Tree], Tree]]:
        grad, pullback = torch.func.vjp(torch.func.grad(self.value), params)  # pyright: ignore[reportAssignmentType]
        return tree.own(grad), lambda v: tree.own(pullback(v)[0])

    def hessian(self, params: Tree) -> Tensor:
        vector, unravel = tree.ravel(params)
        return torch.func.jacrev(torch.func.grad(lambda x: self.value(unravel(x))))(vector)


def one_number(out: Tensor) -> Tensor:
    """A loss as it is, residuals r as ½‖r‖²."""
    if not isinstance(out, Tensor):
        raise TypeError(
            f"objective: must return a tensor, a 0-d loss or a vector of residuals, computed from the parameters; got "
            f"{type(out).__name__}"
        )
    return out if out.ndim == 0 else 0.5 * (out * out).sum()


def as_objective(objective: Any) -> Objective | None:
    """An Objective as it is; a function as a FunctionObjective; None as None."""
    if objective is None or isinstance(objective, Objective):
        return objective
    return FunctionObjective(objective)
