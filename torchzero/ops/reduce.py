r"""Sums, means, products and extrema of any number of modules: one row for each formula.

In every row $A_1(u), \dots, A_n(u)$ are the operands: modules or sequences of modules, each run on the incoming
direction, or numbers or 0-d tensors taken as they are, in any order. At least one must be a module.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import ANY, check_hyper, children, is_scalar
from torchzero.ops.base import ReduceOperationBase, maximum, minimum


class Sum(ReduceOperationBase, init=False):
    r"""The sum of what modules make of the direction.

    $$ d = \sum_{i=1}^n A_i(u) $$

    Args:
        inputs: modules or numbers.

    Raises:
        ValueError: when no operand is a module.

    >>> import torch, torchzero as tz
    >>> module = tz.m.Sum(1, tz.m.Abs(), tz.m.Sign())
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 2.0])))[1].update
    tensor([4., 4.])

    Reference: elementary.
    """

    def transform(self, *inputs: Any) -> Tensor:
        return functools.reduce(operator.add, inputs)


class Mean(ReduceOperationBase, init=False):
    r"""The mean of what modules make of the direction; numbers count as operands.

    $$ d = \frac1n \sum_{i=1}^n A_i(u) $$

    Args:
        inputs: modules or numbers.

    Raises:
        ValueError: when no operand is a module.

    >>> import torch, torchzero as tz
    >>> module = tz.m.Mean(tz.m.Abs(), tz.m.Sign())
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 2.0])))[1].update
    tensor([1.5000, 1.5000])

    Reference: elementary.
    """

    def transform(self, *inputs: Any) -> Tensor:
        return functools.reduce(operator.add, inputs) / len(inputs)


class Prod(ReduceOperationBase, init=False):
    r"""The product of what modules make of the direction.

    $$ d = \prod_{i=1}^n A_i(u) $$

    Args:
        inputs: modules or numbers.

    Raises:
        ValueError: when no operand is a module.

    >>> import torch, torchzero as tz
    >>> module = tz.m.Prod(10, tz.m.Abs(), tz.m.Sign())
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 2.0])))[1].update
    tensor([-40.,  20.])

    Reference: elementary.
    """

    def transform(self, *inputs: Any) -> Tensor:
        return functools.reduce(operator.mul, inputs)


class Median(ReduceOperationBase, init=False):
    r"""The median of what modules make of the direction, element by element.

    Of an even number of operands it is the lower one of the middle two.

    $$ d = \mathrm{median}(A_1(u), \dots, A_n(u)) $$

    Args:
        inputs: modules or numbers.

    Raises:
        ValueError: when no operand is a module.

    >>> import torch, torchzero as tz
    >>> module = tz.m.Median(tz.m.Identity(), tz.m.Sign(), 0)
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 0.5])))[1].update
    tensor([-1.0000,  0.5000])

    Reference: elementary, as torch.median.
    """

    def transform(self, *inputs: Any) -> Tensor:
        like = next(x for x in inputs if isinstance(x, Tensor))
        tensors = [torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in inputs]
        return torch.stack(torch.broadcast_tensors(*tensors)).median(0).values


class MaximumModules(ReduceOperationBase, init=False):
    r"""The largest, element by element, of what modules make of the direction.

    $$ d = \max(A_1(u), \dots, A_n(u)) $$

    Args:
        inputs: modules or numbers.

    Raises:
        ValueError: when no operand is a module.

    >>> import torch, torchzero as tz
    >>> module = tz.m.MaximumModules(0, tz.m.Identity(), tz.m.Sign())
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 0.5])))[1].update
    tensor([0., 1.])

    Reference: elementary, as torch.maximum.
    """

    def transform(self, *inputs: Any) -> Tensor:
        return functools.reduce(maximum, inputs)


class MinimumModules(ReduceOperationBase, init=False):
    r"""The smallest, element by element, of what modules make of the direction.

    $$ d = \min(A_1(u), \dots, A_n(u)) $$

    Args:
        inputs: modules or numbers.

    Raises:
        ValueError: when no operand is a module.

    >>> import torch, torchzero as tz
    >>> module = tz.m.MinimumModules(0, tz.m.Identity(), tz.m.Sign())
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 0.5])))[1].update
    tensor([-4.,  0.])

    Reference: elementary, as torch.minimum.
    """

    def transform(self, *inputs: Any) -> Tensor:
        return functools.reduce(minimum, inputs)


class WeightedOperationBase(ReduceOperationBase):
    """What the weighted sums share: a weight for each operand."""

    weights: tuple[Any, ...] = children(operand=True)

    def __init__(self, *inputs: Any, weights: Sequence[Any]) -> None:
        owner = type(self).__name__
        for i, weight in enumerate(weights):
            if not is_scalar(weight):
                raise TypeError(f"{owner}(weights[{i}]={weight!r}): must be a number or a 0-d tensor")
            check_hyper(owner, f"weights[{i}]", weight, ANY, False)
        if len(weights) != len(inputs):
            n = len(inputs)
            raise ValueError(f"{owner}(weights={weights!r}): {n} operands need {n} weights, got {len(weights)}")
        self._write("weights", tuple(weights))
        super().__init__(*inputs)

    def operands(self) -> dict[str, Any]:
        return {f"inputs[{i}]": x for i, x in enumerate(self.inputs)}

    def weighted_sum(self, inputs: Sequence[Any]) -> Any:
        """Σ wᵢ Aᵢ for one tensor."""
        return functools.reduce(operator.add, (w * x for w, x in zip(self.weights, inputs, strict=True)))

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self.inputs))
        return f"{type(self).__name__}({shown}, weights={list(self.weights)!r})"


class WeightedSum(WeightedOperationBase, init=False):
    r"""The sum of what modules make of the direction, each with a weight.

    $$ d = \sum_{i=1}^n w_i A_i(u) $$

    Args:
        inputs: modules or numbers.
        weights: w, a number or 0-d tensor for each operand.

    Raises:
        ValueError: when no operand is a module, or for another number of weights than operands.
        TypeError: for a weight that is no number.

    >>> import torch, torchzero as tz
    >>> module = tz.m.WeightedSum(tz.m.Abs(), tz.m.Sign(), weights=[2.0, 1.0])
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 2.0])))[1].update
    tensor([7., 5.])

    Reference: elementary.
    """

    def transform(self, *inputs: Any) -> Tensor:
        return self.weighted_sum(inputs)


class WeightedMean(WeightedOperationBase, init=False):
    r"""The mean of what modules make of the direction, each with a weight.

    $$ d = \frac1n \sum_{i=1}^n w_i A_i(u) $$

    The sum is divided by the number of operands, not by the sum of the weights: weights that sum to n make it a mean.

    Args:
        inputs: modules or numbers.
        weights: w, a number or 0-d tensor for each operand.

    Raises:
        ValueError: when no operand is a module, or for another number of weights than operands.
        TypeError: for a weight that is no number.

    >>> import torch, torchzero as tz
    >>> module = tz.m.WeightedMean(tz.m.Abs(), tz.m.Sign(), weights=[2.0, 1.0])
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-4.0, 2.0])))[1].update
    tensor([3.5000, 2.5000])

    Reference: elementary.
    """

    def transform(self, *inputs: Any) -> Tensor:
        return self.weighted_sum(inputs) / len(inputs)
