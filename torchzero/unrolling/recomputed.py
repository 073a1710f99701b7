"""recomputed: a function that keeps nothing but its arguments for its derivatives."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchzero.unrolling.derivatives import alive, derivatives, is_differentiable

Tensors = tuple[Tensor, ...]
Function = Callable[..., Tensors]  # tensors -> tensors


def recomputed(fn: Function, *inputs: Tensor, keep: list[bool] | None = None) -> Tensors:
    """`fn(*inputs)`; where reverse derivatives are taken, it is evaluated again for each instead of remembered.

    The value is that of constant copies of the inputs, so that nothing is recorded, and a small node carries the
    derivatives, themselves `recomputed`: they nest in any order, at any level of torch.func. If the value is not
    constant then, `fn` closes over something that is differentiated, of which the node would know nothing: such a
    function is evaluated plainly, and `keep` is told.
    """
    inputs = tuple(map(alive, inputs))
    found = derivatives(*inputs)
    if not found.reverse or found.dual:
        return fn(*inputs)
    value = fn(*(x.detach() for x in inputs))
    if any(derivatives(*value)):
        if keep is not None:
            keep.append(True)
        return fn(*inputs)
    wanted = tuple(is_differentiable(x) and any(derivatives(x)) for x in inputs)
    return Recomputed.apply(fn, wanted, *inputs, *value)


def _pullback(fn: Function, wanted: tuple[bool, ...], n: int) -> Function:
    """(inputs, cotangents of the differentiable outputs) -> the cotangents of the wanted inputs."""

    def pullback(*tensors: Tensor) -> Tensors:
        inputs, cotangents = tensors[:n], tensors[n:]
        # without derivatives of this derivative, no graph of it is needed
        nested = any(derivatives(*tensors))
        _, vjp = torch.func.vjp(_of_wanted(fn, wanted, inputs), *_those(inputs, wanted))  # pyright: ignore[reportAssignmentType]
        return vjp(cotangents, retain_graph=nested, create_graph=nested)

    return pullback


def _pushforward(fn: Function, wanted: tuple[bool, ...], n: int) -> Function:
    """(inputs, tangents of the wanted inputs) -> the tangents of the differentiable outputs."""

    def pushforward(*tensors: Tensor) -> Tensors:
        inputs, tangents = tensors[:n], tensors[n:]
        return torch.func.jvp(_of_wanted(fn, wanted, inputs), _those(inputs, wanted), tangents)[1]

    return pushforward


def _of_wanted(fn: Function, wanted: tuple[bool, ...], inputs: Tensors) -> Function:
    """The differentiable outputs as a function of the wanted inputs."""

    def of_wanted(*some: Tensor) -> Tensors:
        given = iter(some)
        out = fn(*(next(given) if w else x for x, w in zip(inputs, wanted, strict=True)))
        return tuple(x for x in out if is_differentiable(x))

    return of_wanted


def _those(tensors: Tensors, wanted: tuple[bool, ...]) -> Tensors:
    return tuple(x for x, w in zip(tensors, wanted, strict=True) if w)


class Recomputed(torch.autograd.Function):
    """A value, as a function of the inputs that it was computed from.

    Args of apply: the function; which inputs derivatives are wanted for; the inputs; the value.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(fn: Function, wanted: tuple[bool, ...], *tensors: Tensor) -> Tensors:
        return tuple(x.clone() for x in tensors[len(wanted) :])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        ctx.fn, ctx.wanted = inputs[:2]
        n = len(ctx.wanted)
        ctx.differentiable = tuple(map(is_differentiable, output))
        ctx.mark_non_differentiable(*(x for x in output if not is_differentiable(x)))
        ctx.save_for_backward(*inputs[2 : n + 2])
        ctx.save_for_forward(*inputs[2 : n + 2])

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
        wanted, n = ctx.wanted, len(ctx.wanted)
        found = iter(
            recomputed(_pullback(ctx.fn, wanted, n), *ctx.saved_tensors, *_those(cotangents, ctx.differentiable))
        )
        return None, None, *(next(found) if w else None for w in wanted), *(None for _ in cotangents)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Any, ...]:
        wanted, n = ctx.wanted, len(ctx.wanted)
        given = (
            torch.zeros_like(x) if t is None else t
            for x, t, w in zip(ctx.saved_tensors, tangents[2 : n + 2], wanted, strict=True)
            if w
        )
        found = iter(recomputed(_pushforward(ctx.fn, wanted, n), *ctx.saved_tensors, *given))
        return tuple(next(found) if d else None for d in ctx.differentiable)
