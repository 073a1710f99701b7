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
    return Recomputed.apply(Recipe(fn, wanted), *inputs, *value)


class Recipe:
    """How to compute a value again; no pytree, since torch would look for tensors in it."""

    def __init__(self, fn: Function, wanted: tuple[bool, ...]) -> None:
        self.fn, self.wanted = fn, wanted


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

    Args of apply: the function, and which inputs derivatives are wanted for; the inputs; the value.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(recipe: Recipe, *tensors: Tensor) -> Tensors:
        return tuple(x.clone() for x in tensors[len(recipe.wanted) :])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        recipe, *tensors = inputs
        n = len(recipe.wanted)
        ctx.recipe, ctx.differentiable = recipe, tuple(map(is_differentiable, output))
        ctx.mark_non_differentiable(*(x for x in output if not is_differentiable(x)))
        ctx.save_for_backward(*tensors[:n])
        ctx.save_for_forward(*tensors[:n])

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> tuple[Any, ...]:
        fn, wanted = ctx.recipe.fn, ctx.recipe.wanted
        pullback = _pullback(fn, wanted, len(wanted))
        found = iter(recomputed(pullback, *ctx.saved_tensors, *_those(cotangents, ctx.differentiable)))
        return None, *(next(found) if w else None for w in wanted), *(None for _ in cotangents)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Any, ...]:
        fn, wanted = ctx.recipe.fn, ctx.recipe.wanted
        given = (
            torch.zeros_like(x) if t is None else t
            for x, t, w in zip(ctx.saved_tensors, tangents[1 : len(wanted) + 1], wanted, strict=True)
            if w
        )
        found = iter(recomputed(_pushforward(fn, wanted, len(wanted)), *ctx.saved_tensors, *given))
        return tuple(next(found) if d else None for d in ctx.differentiable)
