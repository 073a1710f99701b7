"""Arithmetic of what several modules make of the direction: one row for each formula.

In every row $A(u)$, $B(u)$, ... are the operands: modules or sequences of modules, each run on the incoming direction,
or numbers or 0-d tensors taken as they are. At least one must be a module.
"""

from typing import Any

from torch import Tensor

from torchzero.core.hyper import Hyper, child, number, static
from torchzero.ops.base import MultiOperationBase, clip, power


class SubModules(MultiOperationBase):
    r"""The difference of two modules.

    $$ d = A(u) - α B(u) $$

    Args:
        input: A, a module or a number.
        other: B, a module or a number.
        alpha: α, any number.

    Raises:
        ValueError: when both operands are numbers.

    >>> import torch, torchzero as tz
    >>> module = tz.m.SubModules(tz.m.Abs(), tz.m.Sign(), alpha=2.0)
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-3.0, 3.0])))[1].update
    tensor([5., 1.])

    Reference: elementary, as torch.sub.
    """

    input: Any = child(operand=True)
    other: Any = child(operand=True)
    alpha: Hyper = number(1)

    def transform(self, a: Any, b: Any) -> Tensor:
        return a - self.alpha * b


class DivModules(MultiOperationBase):
    r"""The quotient of two modules, as IEEE arithmetic has it: x/0 is infinite and 0/0 is NaN.

    $$ d = \frac{A(u)}{B(u)} $$

    Args:
        input: A, a module or a number.
        other: B, a module or a number.
        other_first: kept for old code; operands do not see each other, so that their order changes nothing.

    Raises:
        ValueError: when both operands are numbers.

    >>> import torch, torchzero as tz
    >>> module = tz.m.DivModules(tz.m.Sign(), tz.m.Abs())
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 2.0])))[1].update
    tensor([-0.2500,  0.5000])

    Reference: elementary, as torch.div.
    """

    input: Any = child(operand=True)
    other: Any = child(operand=True)
    other_first: bool = static(False)

    def transform(self, a: Any, b: Any) -> Tensor:
        return a / b


class PowModules(MultiOperationBase):
    r"""One module to the power of another; NaN for a negative base and a fractional exponent.

    $$ d = A(u)^{E(u)} $$

    Where the base is 0 and the exponent below 1 the derivative is taken to be 0.

    Args:
        input: A, a module or a number.
        exponent: E, a module or a number.

    Raises:
        ValueError: when both operands are numbers.

    >>> import torch, torchzero as tz
    >>> module = tz.m.PowModules(tz.m.Abs(), 0.5)
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 9.0])))[1].update
    tensor([2., 3.])

    Reference: elementary, as torch.pow.
    """

    input: Any = child(operand=True)
    exponent: Any = child(operand=True)

    def transform(self, a: Any, e: Any) -> Tensor:
        return power(a, e)


class LerpModules(MultiOperationBase):
    r"""Part of the way from one module to another.

    $$ d = A(u) + w\,(E(u) - A(u)) $$

    Args:
        input: A, a module or a number.
        end: E, a module or a number.
        weight: w, any number; 0 is A, 1 is E.

    Raises:
        ValueError: when both operands are numbers.

    >>> import torch, torchzero as tz
    >>> module = tz.m.LerpModules(tz.m.Abs(), tz.m.Sign(), 0.5)
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 2.0])))[1].update
    tensor([1.5000, 1.5000])

    Reference: elementary, as torch.lerp.
    """

    input: Any = child(operand=True)
    end: Any = child(operand=True)
    weight: Hyper = number()

    def transform(self, a: Any, end: Any) -> Tensor:
        return a + self.weight * (end - a)


class ClipModules(MultiOperationBase):
    r"""One module kept between two others; where they cross, the upper one holds.

    $$ d = \min(\max(A(u), l(u)), h(u)) $$

    Args:
        input: A, a module or a number.
        min: l, a module, a number, or None for no lower bound.
        max: h, a module, a number, or None for no upper bound.

    Raises:
        ValueError: when no operand is a module.

    >>> import torch, torchzero as tz
    >>> module = tz.m.ClipModules(tz.m.Negate(), min=tz.m.Sign(), max=3.0)
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 2.0])))[1].update
    tensor([3., 1.])

    Reference: elementary, as torch.clamp.
    """

    input: Any = child(operand=True)
    min: Any = child(None, operand=True)
    max: Any = child(None, operand=True)

    def transform(self, a: Any, low: Any, high: Any) -> Tensor:
        return clip(a, low, high)
