"""Homotopies: the loss bent by an increasing function; one row for each function."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, number, static
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.objective_maps.base import ByProducts, ObjectiveMap
from torchzero.step_size.base import single

_EPS = 1e-12


class Bent(ByProducts):
    """φ(f), with gradient φ'(f) ∇f and Hessian φ'(f) ∇²f + φ''(f) ∇f ∇fᵀ."""

    def __init__(self, inner: Objective, by: "Homotopy") -> None:
        super().__init__(inner)
        self.by = by

    def value(self, params: Tree) -> Tensor:
        return self.by.bend(self.inner.value(params))

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        f, grad = self.inner.value_and_grad(params)
        return self.by.bend(f), tree.scale(self.by.slope(f), grad)

    def hvp(self, params: Tree, v: Tree) -> Tree:
        return self.linearize(params)[1](v)

    def linearize(self, params: Tree) -> tuple[Tree, Callable[[Tree], Tree]]:
        f = self.inner.value(params)
        grad, product = self.inner.linearize(params)
        slope, curvature = self.by.slope(f), torch.func.grad(self.by.slope)(f)

        def bent(v: Tree) -> Tree:
            along = curvature * tree.dot(grad, v)
            return tree.map(lambda h, g: tree.cast(slope * h + along * g, h), product(v), grad)

        return tree.scale(slope, grad), bent


class Homotopy(ObjectiveMap):
    """A function φ of the loss, given by `bend` φ and `slope` φ'."""

    def bend(self, f: Tensor) -> Tensor:
        """φ(f)."""
        raise TypeError(f"{type(self).__name__} must implement bend(f)")

    def slope(self, f: Tensor) -> Tensor:
        """φ'(f), differentiable."""
        raise TypeError(f"{type(self).__name__} must implement slope(f)")

    def rewrite(self, state: Any, var: Var, inner: Objective) -> Objective:
        return Bent(inner, self)


class SquareHomotopy(Homotopy):
    r"""Minimise the square of the loss, with the sign of the loss.

    $$ φ(f) = \mathrm{sign}(f) f^2,\quad ∇φ(f) = 2 |f| ∇f $$

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.SquareHomotopy(), torch.tensor(2.0)
    >>> opt.step((), tz.Var(p, objective=lambda x: x**2))[1].update  # 2·4 times 4
    tensor(32.)

    Reference: elementary, the chain rule.
    """

    def bend(self, f: Tensor) -> Tensor:
        return f.sign() * f * f

    def slope(self, f: Tensor) -> Tensor:
        return 2 * f.abs()


class SqrtHomotopy(Homotopy):
    r"""Minimise the square root of the loss, which must be positive.

    $$ φ(f) = \sqrt{f + 10^{-12}},\quad ∇φ(f) = \frac{∇f}{2φ(f)} $$

    A loss below $-10^{-12}$ gives NaN.

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.SqrtHomotopy(), torch.tensor(2.0)
    >>> opt.step((), tz.Var(p, objective=lambda x: x**2))[1].update  # √x² = |x|
    tensor(1.)

    Reference: elementary, the chain rule.
    """

    def bend(self, f: Tensor) -> Tensor:
        return (f + _EPS).sqrt()

    def slope(self, f: Tensor) -> Tensor:
        return 0.5 / (f + _EPS).sqrt()


class LogHomotopy(Homotopy):
    r"""Minimise the logarithm of the loss, which must be positive.

    $$ φ(f) = \log(f + 10^{-12}),\quad ∇φ(f) = \frac{∇f}{f + 10^{-12}} $$

    A loss below $-10^{-12}$ gives NaN.

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.LogHomotopy(), torch.tensor(2.0)
    >>> opt.step((), tz.Var(p, objective=lambda x: x**2))[1].update  # 2/x
    tensor(1.)

    Reference: elementary, the chain rule.
    """

    def bend(self, f: Tensor) -> Tensor:
        return (f + _EPS).log()

    def slope(self, f: Tensor) -> Tensor:
        return 1 / (f + _EPS)


class ExpHomotopy(Homotopy):
    r"""Minimise the exponential of the loss.

    $$ φ(f) = e^f,\quad ∇φ(f) = e^f ∇f $$

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.ExpHomotopy(), torch.tensor(0.0)
    >>> opt.step((), tz.Var(p, objective=lambda x: 3 * x))[1].update
    tensor(3.)

    Reference: elementary, the chain rule.
    """

    def bend(self, f: Tensor) -> Tensor:
        return f.exp()

    def slope(self, f: Tensor) -> Tensor:
        return f.exp()


class FixedLossHomotopy(Homotopy):
    r"""Show a loss that is always the same, and the gradient in proportion to the loss.

    $$ φ(f) = c,\quad \text{with the gradient}\ c\,\frac{∇f}{f}\ \text{of}\ c \log f $$

    It is c f divided by a copy of f that is taken for a constant, for modules whose step depends on the size of the
    loss, such as PolyakStepSize. A line search finds no decrease in it. A loss of at most 0 is divided by the smallest
    normal number.

    Args:
        value: c, any number.

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.FixedLossHomotopy(value=3.0), torch.tensor(2.0)
    >>> var = opt.step((), tz.Var(p, objective=lambda x: x**2))[1]
    >>> var.update, var.loss  # 3·4/4
    (tensor(3.), tensor(3.))

    Reference: elementary, the derivative of the logarithm.
    """

    value: Hyper = number(1)

    def bend(self, f: Tensor) -> Tensor:
        (value,) = single(self, "value")
        return torch.zeros_like(f) + value

    def slope(self, f: Tensor) -> Tensor:
        (value,) = single(self, "value")
        return value / f.clamp_min(torch.finfo(f.dtype).tiny)


class LambdaHomotopy(Homotopy):
    r"""Minimise a function of the loss.

    $$ \hat f = φ(f),\quad ∇\hat f = φ'(f) ∇f $$

    Args:
        fn: φ, a function of a 0-d tensor that torch can differentiate.

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.LambdaHomotopy(torch.tanh), torch.tensor(0.0)
    >>> opt.step((), tz.Var(p, objective=lambda x: 3 * x))[1].update
    tensor(3.)

    Reference: elementary, the chain rule.
    """

    fn: Callable[[Tensor], Tensor] = static()

    def bend(self, f: Tensor) -> Tensor:
        return self.fn(f)

    def slope(self, f: Tensor) -> Tensor:
        return torch.func.grad(self.fn)(f)
