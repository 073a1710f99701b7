"""Control flow that means the same eagerly, under nested vmap, under grad, and compiled."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree

_functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]


def is_batched(x: Any) -> bool:
    """Whether some vmap level around us batches `x`."""
    while isinstance(x, Tensor) and _functorch.is_functorch_wrapped_tensor(x):
        if _functorch.is_batchedtensor(x):
            return True
        x = _functorch.get_unwrapped(x)
    return False


def concrete(flag: Tensor | bool) -> bool | None:
    """The flag as a Python bool where one exists; None when it is batched or being traced."""
    if isinstance(flag, bool):
        return flag
    if torch.compiler.is_compiling() or is_batched(flag):
        return None
    return bool(torch.func.debug_unwrap(flag, recurse=True))


def at_most(count: Tensor, limit: int) -> int:
    """The count as a Python number where one exists; where it is batched or traced, `limit`, which it never exceeds."""
    if torch.compiler.is_compiling() or is_batched(count):
        return limit
    return int(torch.func.debug_unwrap(count, recurse=True))


class _Lanes(threading.local):
    """Which lanes of a batch the loops and branches around us are run for; all of them where there is no mask."""

    def __init__(self) -> None:
        self.masks: list[Tensor] = []


_lanes = _Lanes()


@contextmanager
def _only(mask: Tensor) -> Iterator[None]:
    """What is run here counts for the lanes in the mask alone: loops inside need not wait for the others."""
    _lanes.masks.append(mask)
    try:
        yield
    finally:
        _lanes.masks.pop()


def cond(flag: Tensor | bool, then: Callable[..., Any], otherwise: Callable[..., Any], *operands: Any) -> Any:
    """`then(*operands)` where `flag` holds, else `otherwise(*operands)`; both return the same structure.

    A flag with one value runs one branch. A batched or traced flag runs both and selects, so an unselected branch
    must be finite if derivatives are wanted.
    """
    decided = concrete(flag)
    if decided is not None:
        return (then if decided else otherwise)(*operands)
    if isinstance(flag, bool) or torch.compiler.is_compiling():
        return tree.where(flag, then(*operands), otherwise(*operands))
    with _only(flag):
        yes = then(*operands)
    with _only(~flag):
        no = otherwise(*operands)
    return tree.where(flag, yes, no)


def while_loop(
    keep_going: Callable[[Any], Tensor], body: Callable[[Any], Any], carry: Any, max_steps: int | None = None
) -> Any:
    """Repeat `carry = body(carry)` while `keep_going(carry)`, at most `max_steps` times.

    Under vmap every lane runs until none is active, finished lanes are frozen, and the loop ends with the last of
    them. A lane that a loop around this one has finished, or that takes the other branch of a `cond`, is not active.
    Differentiable in reverse and forward mode: the steps taken are unrolled. Under `torch.compile` it becomes torch's
    own while_loop, which is not differentiable, and whose functions may close over tensors, but not over several that
    share storage: see `tree.own`.

    >>> import torchzero as tz
    >>> halve = lambda x: tz.while_loop(lambda x: x > 1, lambda x: x / 2, x, max_steps=100)
    >>> torch.vmap(halve)(torch.tensor([1.0, 6.0, 40.0]))
    tensor([1.0000, 0.7500, 0.6250])
    """
    if torch.compiler.is_compiling():
        return _compiled_loop(keep_going, body, carry, max_steps)
    steps = 0
    while max_steps is None or steps < max_steps:
        active = keep_going(carry)
        batched = is_batched(active)
        if batched:
            active = functools.reduce(torch.logical_and, _lanes.masks, active)
        if not torch.func.debug_unwrap(active, recurse=True).any():
            break
        if batched:
            with _only(active):
                new = body(carry)
            carry = tree.where(active, new, carry)
        else:
            carry = body(carry)
        steps += 1
    return carry


def _compiled_loop(
    keep_going: Callable[[Any], Tensor], body: Callable[[Any], Any], carry: Any, max_steps: int | None
) -> Any:
    from torch._higher_order_ops.while_loop import while_loop as torch_while_loop

    leaves, spec = tree.flatten(carry)
    limit = torch.iinfo(torch.int64).max if max_steps is None else max_steps

    def cond_fn(k: Tensor, *values: Tensor) -> Tensor:
        return (k < limit) & keep_going(tree.unflatten(spec, values))

    def body_fn(k: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        new = tree.leaves(body(tree.unflatten(spec, values)))
        return (k + 1, *map(_rows, new))

    out = torch_while_loop(cond_fn, body_fn, (torch.zeros((), dtype=torch.int64), *map(_rows, leaves)))
    return tree.unflatten(spec, out[1:])


def _rows(x: Tensor) -> Tensor:
    """A copy in the order of rows: what a loop carries must keep its strides."""
    return x.clone(memory_format=torch.contiguous_format)
