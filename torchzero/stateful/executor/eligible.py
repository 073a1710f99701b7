"""Which modules may be evaluated in another layout, and for which parameters."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from torchzero.core.module import Module
from torchzero.core.transform import TensorwiseTransform, Transform
from torchzero.core.tree import Leaves
from torchzero.ops.base import OperationBase

PLAIN = frozenset({Tensor, nn.Parameter})  # types that are no subclasses with a say of their own
_READS = frozenset({"params", "grad", "value"})
_PLAIN = {
    "update": (Transform.update,),
    "apply": (Transform.apply, OperationBase.apply),
    "step": (Module.step, TensorwiseTransform.step, OperationBase.step),
}
_PLAIN_WITH_CHILDREN = {**_PLAIN, "update_nested": (Transform.update_nested,)}


def is_elementwise(link: Module) -> bool:
    """Whether tensors may be split and merged: by declaration, for a plain function of a tree."""
    return is_function(link) and all(m.locality == "elementwise" for m in link.walk())


def is_local(link: Module) -> bool:
    """Whether tensors may be stacked: by declaration, for a plain function of a tree."""
    return is_function(link) and all(m.locality in ("elementwise", "tensor") for m in link.walk())


def is_function(link: Module) -> bool:
    """Whether a module maps a direction to a direction and does nothing else.

    One with an `update` or `apply` of its own may look at or set more of a Var.
    """
    return all(
        isinstance(m, Transform)
        and m.needs <= _READS
        and all(
            getattr(type(m), name) in allowed
            for name, allowed in (_PLAIN_WITH_CHILDREN if m.children() else _PLAIN).items()
        )
        for m in link.walk()
    )


def has_plain_settings(link: Module) -> bool:
    """Whether every setting is one value, or one for each parameter."""
    return all(
        not isinstance(value, list | tuple | dict) or isinstance(value, Leaves)
        for m in link.walk()
        for value in m.hypers().values()
    )


def is_plain(p: Tensor) -> bool:
    """Whether no subclass has a say in what happens to a tensor."""
    return type(p) in PLAIN and p.layout == torch.strided


def is_dense(x: Tensor) -> bool:
    """Whether the elements fill a piece of memory without gaps or overlaps, in any order."""
    expected = 1
    for stride, size in sorted((s, n) for s, n in zip(x.stride(), x.shape, strict=True) if n > 1):
        if stride != expected:
            return False
        expected *= size
    return True


def are_apart(tensors: list[Tensor]) -> bool:
    """Whether each lies in a range of memory of its own."""
    ranges = []
    for x in tensors:
        if x.numel():
            last = sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
            begin = x.data_ptr()
            ranges.append((str(x.device), begin, begin + (last + 1) * x.element_size()))
    ranges.sort()
    return all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(ranges))
