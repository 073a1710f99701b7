"""What the operations share: operands are run on the direction, and a formula puts their results together."""

import dataclasses
import functools
import operator
from typing import Any, ClassVar

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import children
from torchzero.core.module import Module
from torchzero.core.safe import differentiated
from torchzero.core.transform import At, Nested, TensorwiseTransform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


def power(base: Any, exponent: Any) -> Any:
    """Base ** exponent; where the base is 0 and the exponent below 1, the derivative is 0 instead of infinite."""
    if not isinstance(base, Tensor) or not differentiated(base):
        return base**exponent
    singular = (base == 0) & (exponent < 1)
    regular = torch.where(singular, torch.ones_like(base), base) ** exponent
    return torch.where(singular, (base**exponent).detach(), regular)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two tensors or numbers."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.maximum(a, b)
    if isinstance(a, Tensor):
        return a.clamp(min=b)
    return b.clamp(min=a) if isinstance(b, Tensor) else max(a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of two tensors or numbers."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.minimum(a, b)
    if isinstance(a, Tensor):
        return a.clamp(max=b)
    return b.clamp(max=a) if isinstance(b, Tensor) else min(a, b)


def clip(x: Any, low: Any, high: Any) -> Any:
    """min(max(x, low), high); a bound may be None."""
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


class UnaryOperationBase(TensorwiseTransform):
    r"""An elementwise function of the direction.

    $$ d = f(u) $$

    A subclass sets `function`.

    >>> import torch, torchzero as tz
    >>> from torchzero.ops import UnaryOperationBase
    >>> class Tanh(UnaryOperationBase):
    ...     "d = tanh(u)"
    ...     function = staticmethod(torch.tanh)
    >>> Tanh().step((), tz.Var(torch.zeros(1), grad=torch.ones(1)))[1].update
    tensor([0.7616])
    """

    locality = "elementwise"

    function: ClassVar[Any]  # Tensor -> Tensor

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return self.function(u)


class OperationBase(TensorwiseTransform):
    """What every operation with operands does; start from one of the three classes below instead.

    Operands are the fields declared with `child` or `children`. Each operand that is a module is run on the incoming
    direction; none sees what another made of it, but the loss and the gradient that one evaluates are known to all.
    Numbers and 0-d tensors are operands as they are. Of an operand's result, the direction is used and its wish to
    terminate is heard.

    >>> import torchzero as tz
    >>> tz.m.Clip(-1.0, tz.m.Abs()).operands()
    {'min': -1.0, 'max': Abs()}
    """

    locality = "elementwise"

    def transform(self, *args: Any, **kwargs: Any) -> Any:
        """The formula, of one tensor, number or None for each operand."""
        raise TypeError(f"{type(self).__name__} must implement transform")

    def operands(self) -> dict[str, Any]:
        """Every operand by name, modules and numbers alike; those of a tuple are called name[i]."""
        found: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            kind, value = f.metadata.get("kind"), getattr(self, f.name)
            if kind == "child":
                found[f.name] = value
            elif kind == "children":
                found.update({f"{f.name}[{i}]": v for i, v in enumerate(value)})
        return found

    def transform_tensor(self, u: Tensor, *operands: Any) -> Tensor:
        """The formula for one tensor."""
        raise TypeError(f"{type(self).__name__} must implement transform")

    def transform_tree(self, u: Tree, *operands: Any) -> Tree:
        """The formula for all tensors: one tensor after the other, unless a class needs them together."""
        us, spec = tree.flatten(u)
        columns = [[x] * len(us) if x is None else tree.spread(x, u) for x in operands]
        rows = list(zip(*columns, strict=True)) if columns else [()] * len(us)
        leafwise = zip(self._per_leaf(u, len(us)), us, rows, strict=False)
        return tree.unflatten(spec, [me.transform_tensor(x, *row) for me, x, row in leafwise])

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return self.transform_tensor(u, *self.operands().values())

    def apply(self, state: Any, var: Var) -> Var:
        kids = self.children()
        if not kids:
            return super().apply(state, var)
        return self._combine(var, {name: kid.apply(state.children[name], var) for name, kid in kids.items()})

    def step(self, state: Any, var: Var) -> tuple[Any, Var]:
        kids = self.children()
        if not kids:
            return super().step(state, var)
        ran = {name: kid.step(state.children[name], var) for name, kid in kids.items()}
        states, outs = ({name: pair[i] for name, pair in ran.items()} for i in (0, 1))
        return Nested(state.own, states), self._combine(var, outs)

    def _combine(self, var: Var, outs: dict[str, Var]) -> Var:
        u = var.update
        operands = [outs[name].update if name in outs else value for name, value in self.operands().items()]
        end = functools.reduce(operator.or_, (out.should_terminate for out in outs.values()), var.should_terminate)
        return var.replace(update=tree.cast_like(self.transform_tree(u, *operands), u), should_terminate=end)


class BinaryOperationBase(OperationBase):
    r"""A function of the direction and of the directions that operands make of it.

    $$ d = f(u, A_1(u), A_2(u), \dots) $$

    A subclass declares its operands with `child(operand=True)` and gives `transform(u, *operands)`, a function of one
    tensor of the direction and of what each operand, in the order of the fields, has there: a tensor, a number, or
    None for an operand left out.

    >>> import torch, torchzero as tz
    >>> from torchzero.core.hyper import child
    >>> from torchzero.ops import BinaryOperationBase
    >>> class Hypot(BinaryOperationBase):
    ...     "d = √(u² + B(u)²)"
    ...     other: object = child(operand=True)
    ...     def transform(self, u, other):
    ...         return (u**2 + other**2).sqrt()
    >>> Hypot(4.0).step((), tz.Var(torch.zeros(1), grad=torch.tensor([3.0])))[1].update
    tensor([5.])
    """

    def transform_tensor(self, u: Tensor, *operands: Any) -> Tensor:
        return self.transform(u, *operands)


class MultiOperationBase(OperationBase):
    r"""A function of the directions that operands make of the incoming one, which itself is no operand.

    $$ d = f(A_1(u), A_2(u), \dots) $$

    A subclass declares its operands with `child(operand=True)` and gives `transform(*operands)`, as for
    `BinaryOperationBase`.

    Raises:
        ValueError: when no operand is a module.

    >>> import torch, torchzero as tz
    >>> from torchzero.core.hyper import child
    >>> from torchzero.ops import MultiOperationBase
    >>> class Middle(MultiOperationBase):
    ...     "d = (A(u) + B(u)) / 2"
    ...     a: object = child(operand=True)
    ...     b: object = child(operand=True)
    ...     def transform(self, a, b):
    ...         return (a + b) / 2
    >>> middle = Middle(tz.m.LR(2.0), 1.0)
    >>> middle.step(middle.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([3.0])))[1].update
    tensor([3.5000])
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._need_a_module()

    def _need_a_module(self) -> None:
        if not any(isinstance(x, Module) for x in self.operands().values()):
            raise ValueError(
                f"{type(self).__name__}({', '.join(map(repr, self.operands().values()))}): at least one operand must "
                "be a module; for a constant direction use Fill"
            )

    def transform_tensor(self, u: Tensor, *operands: Any) -> Tensor:
        return self.transform(*operands)


class ReduceOperationBase(MultiOperationBase):
    r"""A function of any number of operands.

    $$ d = f(A_1(u), \dots, A_n(u)) $$

    A subclass gives `transform(*inputs)`, as for `MultiOperationBase`. Numbers and modules may be mixed in any order.
    The class argument `init=False` lets type checkers see that the constructor is inherited.

    Args:
        inputs: modules, sequences of modules, numbers or 0-d tensors.

    Raises:
        ValueError: when no operand is a module.

    >>> import torch, torchzero as tz
    >>> from torchzero.ops import ReduceOperationBase
    >>> class Range(ReduceOperationBase, init=False):
    ...     "d = max A(u) - min A(u)"
    ...     def transform(self, *inputs):
    ...         return torch.stack(inputs).amax(0) - torch.stack(inputs).amin(0)
    >>> module = Range(tz.m.LR(1.0), tz.m.LR(3.0))
    >>> module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([2.0])))[1].update
    tensor([4.])
    """

    inputs: tuple[Any, ...] = children(operand=True)

    def __init__(self, *inputs: Any) -> None:
        self._write("inputs", inputs)
        self._validate()
        self._need_a_module()
