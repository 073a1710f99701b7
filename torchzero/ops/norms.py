"""Modules that graft, multiply by, or divide by the norm of a direction: of each tensor, or of all together."""

from typing import Any

import torch

from torchzero.core import tree
from torchzero.core.hyper import Hyper, child, nonnegative, static
from torchzero.core.metrics import check_ord, metric, tree_metric
from torchzero.core.module import Locality
from torchzero.core.safe import safe_div
from torchzero.core.tree import Tree
from torchzero.ops.base import BinaryOperationBase, MultiOperationBase


def measure(x: Tree, ord: float | str, tensorwise: bool) -> Tree:
    """How large each tensor of `x` is, or (the same number for each) all of it: a tree of 0-d tensors."""
    if tensorwise:
        return tree.map(lambda leaf: metric(leaf, ord), x)
    whole = tree_metric(x, ord)
    return tree.map(lambda _: whole, x)


class GraftInputToOutput(BinaryOperationBase):
    r"""The direction with the norm that a module gives it.

    $$ d = u\,\frac{\|M(u)\|}{\max(\|u\|, ε)} $$

    Args:
        magnitude: M, a module or a sequence of modules.
        tensorwise: norms of each tensor; else of all tensors together.
        ord: order of the norm, at least 0, or "mad" (mean absolute value), "std", "var", "sum", "l0" to "l4", "linf".
        eps: smallest number divided by, at least 0. At 0 a direction of norm 0 stays 0.

    Raises:
        ValueError: for a negative eps, or a negative or unknown ord.

    >>> import torch, torchzero as tz
    >>> module = tz.m.GraftInputToOutput(tz.m.Sign(), ord=1)
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([3.0, 1.0])))[1].update
    tensor([1.5000, 0.5000])

    Reference: Agarwal, Anil, Hazan, Koren & Zhang 2020, https://arxiv.org/abs/2002.11803
    """

    magnitude: Any = child()
    tensorwise: bool = static(True)
    ord: float | str = static(2)
    eps: Hyper = nonnegative(1e-6)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("GraftInputToOutput", "ord", self.ord)

    @property
    def locality(self) -> Locality:
        """How far an output element sees."""
        return "tensor" if self.tensorwise else "global"

    def transform_tree(self, u: Tree, *operands: Tree) -> Tree:
        (magnitude,) = operands
        return _graft(u, magnitude, self.ord, self.tensorwise, self.eps)


class GraftOutputToInput(BinaryOperationBase):
    r"""What a module makes of the direction, with the norm of the direction.

    $$ d = D(u)\,\frac{\|u\|}{\max(\|D(u)\|, ε)} $$

    Args:
        direction: D, a module or a sequence of modules.
        tensorwise: norms of each tensor; else of all tensors together.
        ord: order of the norm, at least 0, or "mad" (mean absolute value), "std", "var", "sum", "l0" to "l4", "linf".
        eps: smallest number divided by, at least 0. At 0 a direction of norm 0 stays 0.

    Raises:
        ValueError: for a negative eps, or a negative or unknown ord.

    >>> import torch, torchzero as tz
    >>> module = tz.m.GraftOutputToInput(tz.m.Sign(), ord=1)
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([3.0, 1.0])))[1].update
    tensor([2., 2.])

    Reference: Agarwal, Anil, Hazan, Koren & Zhang 2020, https://arxiv.org/abs/2002.11803
    """

    direction: Any = child()
    tensorwise: bool = static(True)
    ord: float | str = static(2)
    eps: Hyper = nonnegative(1e-6)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("GraftOutputToInput", "ord", self.ord)

    @property
    def locality(self) -> Locality:
        """How far an output element sees."""
        return "tensor" if self.tensorwise else "global"

    def transform_tree(self, u: Tree, *operands: Tree) -> Tree:
        (direction,) = operands
        return _graft(direction, u, self.ord, self.tensorwise, self.eps)


class MultiplyByModuleNorm(MultiOperationBase):
    r"""What one module makes of the direction, times the norm of what another makes of it.

    $$ d = A(u)\,\|N(u)\| $$

    Args:
        input: A, a module, a sequence of modules, or a number.
        norm: N, a module or a sequence of modules.
        tensorwise: norms of each tensor; else of all tensors together.
        ord: order of the norm, at least 0, or "mad" (mean absolute value), "std", "var", "sum", "l0" to "l4", "linf".

    Raises:
        ValueError: for a negative or unknown ord.

    >>> import torch, torchzero as tz
    >>> module = tz.m.MultiplyByModuleNorm(tz.m.Sign(), tz.m.Identity())
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-3.0, 4.0])))[1].update
    tensor([-5.,  5.])

    Reference: elementary; norm descent, e.g. Bernstein & Newhouse 2024, https://arxiv.org/abs/2409.20325
    """

    input: Any = child(operand=True)
    norm: Any = child()
    tensorwise: bool = static(True)
    ord: float | str = static(2)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("MultiplyByModuleNorm", "ord", self.ord)

    @property
    def locality(self) -> Locality:
        """How far an output element sees."""
        return "tensor" if self.tensorwise else "global"

    def transform_tree(self, u: Tree, *operands: Any) -> Tree:
        a, n = operands
        norms = measure(n, self.ord, self.tensorwise)
        return tree.zipmap(lambda x, a, n: torch.zeros_like(x) + a * n, u, a, norms)


class DivideByModuleNorm(MultiOperationBase):
    r"""What one module makes of the direction, divided by the norm of what another makes of it.

    $$ d = \frac{A(u)}{\|N(u)\|} $$

    0 where the norm is 0.

    Args:
        input: A, a module, a sequence of modules, or a number.
        norm: N, a module or a sequence of modules.
        tensorwise: norms of each tensor; else of all tensors together.
        ord: order of the norm, at least 0, or "mad" (mean absolute value), "std", "var", "sum", "l0" to "l4", "linf".

    Raises:
        ValueError: for a negative or unknown ord.

    >>> import torch, torchzero as tz
    >>> module = tz.m.DivideByModuleNorm(tz.m.Identity(), tz.m.Identity())
    >>> module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([-3.0, 4.0])))[1].update
    tensor([-0.6000,  0.8000])

    Reference: elementary; normalised gradients, Hazan, Levy & Shalev-Shwartz 2015, https://arxiv.org/abs/1507.02030
    """

    input: Any = child(operand=True)
    norm: Any = child()
    tensorwise: bool = static(True)
    ord: float | str = static(2)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("DivideByModuleNorm", "ord", self.ord)

    @property
    def locality(self) -> Locality:
        """How far an output element sees."""
        return "tensor" if self.tensorwise else "global"

    def transform_tree(self, u: Tree, *operands: Any) -> Tree:
        a, n = operands
        norms = measure(n, self.ord, self.tensorwise)
        return tree.zipmap(lambda x, a, n: safe_div(torch.zeros_like(x) + a, n), u, a, norms)


def _graft(direction: Tree, magnitude: Tree, ord: float | str, tensorwise: bool, eps: Hyper) -> Tree:
    have, want = measure(direction, ord, tensorwise), measure(magnitude, ord, tensorwise)
    return tree.zipmap(lambda d, n, m, e: d * safe_div(m, n.clamp(min=e)), direction, have, want, eps)
