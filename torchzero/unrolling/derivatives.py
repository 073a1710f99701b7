"""Which derivatives are being taken through a tensor."""

import contextlib
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._functorch.pyfunctorch import retrieve_current_functorch_interpreter
from torch.autograd import forward_ad

_functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]


class Derivatives(NamedTuple):
    """Which derivatives are being taken through a tensor, by any transformation around us."""

    reverse: bool = False  # by backward, torch.func.grad, vjp, jacrev
    forward: bool = False  # by torch.func.jvp, jacfwd
    dual: bool = False  # by forward_ad itself, within which torch.func.jvp cannot be called

    def __or__(self, other: tuple[Any, ...]) -> "Derivatives":
        return Derivatives(*(a or b for a, b in zip(self, other, strict=True)))


def derivatives(*tensors: Tensor) -> Derivatives:
    """Look at the tensors at every level of torch.func and below; what a level wraps as a constant has none there."""
    found = Derivatives()
    for x in tensors:
        found |= _of(x)
    return found


def _of(x: Tensor) -> Derivatives:
    found = Derivatives()
    with contextlib.ExitStack() as below:
        while True:
            x = alive(x)
            wrapped = _functorch.is_functorch_wrapped_tensor(x)
            level = _functorch.maybe_get_level(x) if wrapped else 0
            while (top := _functorch.peek_interpreter_stack()) is not None and top.level() > level:
                below.enter_context(retrieve_current_functorch_interpreter().lower())
            if not _functorch.is_batchedtensor(x):
                tangent = forward_ad._current_level >= 0 and forward_ad.unpack_dual(x).tangent is not None
                found |= Derivatives(x.requires_grad, wrapped and tangent, not wrapped and tangent)
            if not wrapped:
                return found
            x = _functorch.get_unwrapped(x)


def alive(x: Tensor) -> Tensor:
    """Without the wrappers of transformations that are over, which a tensor remembered for a derivative may have."""
    return _functorch.unwrap_if_dead(x)


def is_differentiable(x: Tensor) -> bool:
    """Whether the dtype has derivatives."""
    return x.is_floating_point() or x.is_complex()
