"""Arithmetic of the direction with a number, or with what another module makes of it: one row for each formula.

In every row $B(u)$ is the operand: a module or a sequence of modules, run on the incoming direction, or a number or 0-d
tensor taken as it is.
"""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, child, number, static
from torchzero.ops.base import BinaryOperationBase, clip, maximum, minimum, power


class Add(BinaryOperationBase):
    r"""Add an operand.

    $$ d = u + α B(u) $$

    Args:
        other: B, a module or a number.
        alpha: α, any number.

    >>> import torch, torchzero as tz
    >>> tz.m.Add(0.5, alpha=2.0).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-1.0, 3.0])))[1].update
    tensor([0., 4.])

    Reference: elementary, as torch.add.
    """

    other: Any = child(operand=True)
    alpha: Hyper = number(1)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return u + self.alpha * other


class Sub(BinaryOperationBase):
    r"""Subtract an operand.

    $$ d = u - α B(u) $$

    Args:
        other: B, a module or a number.
        alpha: α, any number.

    >>> import torch, torchzero as tz
    >>> tz.m.Sub(0.5, alpha=2.0).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-1.0, 3.0])))[1].update
    tensor([-2.,  2.])

    Reference: elementary, as torch.sub.
    """

    other: Any = child(operand=True)
    alpha: Hyper = number(1)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return u - self.alpha * other


class RSub(BinaryOperationBase):
    r"""Subtract the direction from an operand.

    $$ d = B(u) - u $$

    Args:
        other: B, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.RSub(1.0).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-1.0, 3.0])))[1].update
    tensor([ 2., -2.])

    Reference: elementary, as torch.rsub.
    """

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return other - u


class Mul(BinaryOperationBase):
    r"""Multiply by an operand.

    $$ d = u\,B(u) $$

    Args:
        other: B, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.Mul(tz.m.Abs()).init(torch.zeros(2)).children
    {'other': ()}
    >>> tz.m.Mul(0.5).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-1.0, 3.0])))[1].update
    tensor([-0.5000,  1.5000])

    Reference: elementary, as torch.mul.
    """

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return u * other


class Div(BinaryOperationBase):
    r"""Divide by an operand, as IEEE arithmetic does: u/0 is infinite and 0/0 is NaN.

    $$ d = \frac{u}{B(u)} $$

    Args:
        other: B, a module or a number.

    >>> import torch, torchzero as tz
    >>> rmsprop = tz.m.Div([tz.m.SqrtEMASquared(0.99), tz.m.Add(1e-8)])
    >>> rmsprop.step(rmsprop.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([3.0])))[1].update
    tensor([10.])

    Reference: elementary, as torch.div.
    """

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return u / other


class RDiv(BinaryOperationBase):
    r"""Divide an operand by the direction, as IEEE arithmetic does: infinite or NaN where u is 0.

    $$ d = \frac{B(u)}{u} $$

    Args:
        other: B, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.RDiv(1.0).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 4.0])))[1].update
    tensor([-0.5000,  0.2500])

    Reference: elementary, as torch.div.
    """

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return other / u


class Pow(BinaryOperationBase):
    r"""Raise to the power of an operand; NaN for a negative base and a fractional exponent.

    $$ d = u^{E(u)} $$

    Where u is 0 and the exponent below 1 the derivative is taken to be 0.

    Args:
        exponent: E, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.Pow(2).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-1.0, 3.0])))[1].update
    tensor([1., 9.])

    Reference: elementary, as torch.pow.
    """

    exponent: Any = child(operand=True)

    def transform(self, u: Tensor, exponent: Any) -> Tensor:
        return power(u, exponent)


class RPow(BinaryOperationBase):
    r"""Raise an operand to the power of the direction.

    $$ d = B(u)^u $$

    Args:
        other: B, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.RPow(2.0).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-1.0, 3.0])))[1].update
    tensor([0.5000, 8.0000])

    Reference: elementary, as torch.pow.
    """

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return power(other, u)


class Lerp(BinaryOperationBase):
    r"""Go part of the way to an operand.

    $$ d = u + w\,(E(u) - u) $$

    Args:
        end: E, a module or a number.
        weight: w, any number; 0 stays at u, 1 arrives at E.

    >>> import torch, torchzero as tz
    >>> tz.m.Lerp(tz.m.Sign(), 0.5).init(torch.zeros(2)).children
    {'end': ()}
    >>> tz.m.Lerp(1.0, 0.25).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-3.0, 5.0])))[1].update
    tensor([-2.,  4.])

    Reference: elementary, as torch.lerp.
    """

    end: Any = child(operand=True)
    weight: Hyper = number()

    def transform(self, u: Tensor, end: Any) -> Tensor:
        return u + self.weight * (end - u)


class CopySign(BinaryOperationBase):
    r"""The magnitude of the direction with the sign of an operand.

    $$ d = |u|\,\mathrm{sign}(B(u)) $$

    The sign of 0 is 0, so that the result is 0 where the operand is (torch.copysign reads the sign bit instead).

    Args:
        other: B, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.CopySign(-1.0).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([-2., -3.])

    Reference: elementary; sign grafting, Agarwal et al. 2020, https://arxiv.org/abs/2002.11803
    """

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return u.abs() * _sign(other, u)


class RCopySign(BinaryOperationBase):
    r"""The magnitude of an operand with the sign of the direction.

    $$ d = |B(u)|\,\mathrm{sign}(u) $$

    The sign of 0 is 0, so that the result is 0 where u is (torch.copysign reads the sign bit instead).

    Args:
        other: B, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.RCopySign(5.0).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([-5.,  5.])

    Reference: elementary; sign grafting, Agarwal et al. 2020, https://arxiv.org/abs/2002.11803
    """

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return abs(other) * u.sign()


class Maximum(BinaryOperationBase):
    r"""The larger of the direction and an operand.

    $$ d = \max(u, B(u)) $$

    Args:
        other: B, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.Maximum(0.0).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([0., 3.])

    Reference: elementary, as torch.maximum.
    """

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return maximum(u, other)


class Minimum(BinaryOperationBase):
    r"""The smaller of the direction and an operand.

    $$ d = \min(u, B(u)) $$

    Args:
        other: B, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.Minimum(0.0).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([-2.,  0.])

    Reference: elementary, as torch.minimum.
    """

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        return minimum(u, other)


class Clip(BinaryOperationBase):
    r"""Keep each element between two operands; where they cross, the upper one holds.

    $$ d = \min(\max(u, l(u)), h(u)) $$

    Args:
        min: l, a module, a number, or None for no lower bound.
        max: h, a module, a number, or None for no upper bound.

    >>> import torch, torchzero as tz
    >>> tz.m.Clip(-1.0, 2.0).step((), tz.Var(torch.zeros(3), grad=torch.tensor([-2.0, 0.5, 3.0])))[1].update
    tensor([-1.0000,  0.5000,  2.0000])

    Reference: elementary, as torch.clamp.
    """

    min: Any = child(None, operand=True)
    max: Any = child(None, operand=True)

    def transform(self, u: Tensor, low: Any, high: Any) -> Tensor:
        return clip(u, low, high)


class MirroredClip(BinaryOperationBase):
    r"""Keep each element between minus and plus an operand; where that is negative, its own value holds.

    $$ d = \min(\max(u, -v(u)), v(u)) $$

    Args:
        value: v, a module or a number.

    >>> import torch, torchzero as tz
    >>> tz.m.MirroredClip(1.0).step((), tz.Var(torch.zeros(3), grad=torch.tensor([-2.0, 0.5, 3.0])))[1].update
    tensor([-1.0000,  0.5000,  1.0000])

    Reference: elementary, as torch.clamp.
    """

    value: Any = child(operand=True)

    def transform(self, u: Tensor, value: Any) -> Tensor:
        return clip(u, -value, value)


class Threshold(BinaryOperationBase):
    r"""Keep the elements on one side of a threshold, and put a value in place of the others.

    $$ d = \begin{cases} u & u > t(u) \\ v(u) & \text{else} \end{cases} $$

    and with u < t when `update_above` is False.

    Args:
        threshold: t, a module or a number.
        value: v, a module or a number.
        update_above: keep what lies above the threshold; else what lies below it.

    >>> import torch, torchzero as tz
    >>> module = tz.m.Threshold(1.0, 0.0, update_above=True)
    >>> module.step((), tz.Var(torch.zeros(3), grad=torch.tensor([-2.0, 0.5, 3.0])))[1].update
    tensor([0., 0., 3.])

    Reference: elementary, as torch.nn.Threshold.
    """

    threshold: Any = child(operand=True)
    value: Any = child(operand=True)
    update_above: bool = static(choices=(True, False))

    def transform(self, u: Tensor, threshold: Any, value: Any) -> Tensor:
        return torch.where(u > threshold if self.update_above else u < threshold, u, value)


class AddMagnitude(BinaryOperationBase):
    r"""Add to the magnitude and keep the sign.

    $$ d = u + V\,\mathrm{sign}(u), \qquad d = u + |V(u)|\,\mathrm{sign}(u) $$

    the first for a number V, the second for a module.

    Args:
        value: V, a module or a number; a negative number takes away from the magnitude.
        add_to_zero: with a number V, give elements that are 0 the sign +1; otherwise, and with a module, 0 stays 0.

    >>> import torch, torchzero as tz
    >>> tz.m.AddMagnitude(1.0).step((), tz.Var(torch.zeros(3), grad=torch.tensor([-2.0, 0.0, 3.0])))[1].update
    tensor([-3.,  1.,  4.])

    Reference: elementary.
    """

    value: Any = child(operand=True)
    add_to_zero: bool = static(True)

    def transform(self, u: Tensor, value: Any) -> Tensor:
        sign = u.sign()
        if "value" in self.children():
            return u + value.abs() * sign
        return u + value * (torch.where(u == 0, 1, sign) if self.add_to_zero else sign)


def _sign(x: Any, like: Tensor) -> Tensor:
    return x.sign() if isinstance(x, Tensor) else torch.sign(torch.full_like(like, x))
