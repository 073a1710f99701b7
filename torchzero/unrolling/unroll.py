"""unroll: steps of an optimizer as one differentiable value."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chainable, maybe_chain
from torchzero.core.module import Module
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.core.var import Var, apply_update
from torchzero.core.warn import warn
from torchzero.unrolling.parted import part
from torchzero.unrolling.recomputed import recomputed
from torchzero.unrolling.replayed import replayed


class Unrolled(NamedTuple):
    """What a number of steps lead to; every part is differentiable."""

    params: Tree  # after the last step
    state: Any  # of the optimizer, after the last step
    losses: Tensor  # (steps,)  before each step


class _Carry(NamedTuple):
    params: Tree
    state: Any


class _Fixed(NamedTuple):
    opt: Module
    theta: Any


def unroll(
    opt: Chainable,
    f: Callable[..., Tensor] | Objective,
    params: Tree,
    steps: int,
    *,
    data: Tree | None = None,
    theta: Tree | None = None,
    state: Any = None,
    segment: int | Literal["sqrt"] | None = "sqrt",
    truncate: int | None = None,
    stop_state: bool = False,
) -> Unrolled:
    """Several steps of an optimizer, as a function that can be differentiated in bounded memory.

    The same as calling `params, state = opt(params, state, f)` so many times, and differentiable with respect to the
    parameters, the hyperparameters, `data`, `theta` and `state`, by any transformation of torch.func and by backward,
    to any order, forward and reverse. The steps are divided into segments. For reverse derivatives only parameters and
    state at the start of each are remembered, and the steps of a segment are taken again when the derivative reaches
    it: memory grows like steps / segment + segment instead of steps, for one more evaluation of each step. Repeated
    steps draw the same random numbers, those of torch's global generators included.

    Tensors that `f` closes over are differentiated as well, but a segment cannot know them: if one turns out to be
    differentiated, all steps from there on are remembered, with a warning. Give them as `theta`.

    Args:
        opt: a module or a sequence of modules.
        f: the loss, 0-d, or residuals, of (params), (params, batch) with data, (params, theta) with theta,
            (params, batch, theta) with both.
        params: where to start: a tree of tensors.
        steps: how many.
        data: a tree of tensors (steps, ...): step k sees the batch data[k].
        theta: a tree of what else the loss depends on.
        state: the state to continue from; by default `opt.init(params)`.
        segment: how many steps to a segment; by default the root of `steps`. With None every step is remembered.
        truncate: derivatives flow through this many of the last steps only, as if all before had no inputs but
            numbers. Windows of backpropagation through time are calls that continue from a detached state.
        stop_state: derivatives flow from step to step through the parameters only, not through the state.

    Raises:
        ValueError: for numbers below one, data that is not for so many steps, a state of another module, and modules
            that run foreign code.

    >>> import torchzero as tz
    >>> def final(lr):
    ...     return tz.unroll(tz.m.LR(lr), lambda x: x**2, torch.tensor(1.0), steps=4).params
    >>> torch.func.grad(final)(torch.tensor(0.25))  # of (1 - 2 lr)^4
    tensor(-1.)

    References: recomputation: Chen et al. 2016, https://arxiv.org/abs/1604.06174. `truncate`: Shaban et al. 2019,
    https://arxiv.org/abs/1810.10667; windows: Werbos 1990, Backpropagation through time.
    """
    opt = maybe_chain(opt)
    _check(opt, steps, data, segment, truncate)
    if state is None:
        state = opt.init(params)
    elif (why := opt._misfit(state, params)) is not None:
        raise ValueError(f"unroll(state=...): {opt!r}: {why}; continue with the state that an earlier call returned")
    lost = 0 if truncate is None else max(steps - truncate, 0)
    kept = steps - lost
    length = kept if segment is None else math.isqrt(max(kept - 1, 0)) + 1 if segment == "sqrt" else segment
    carry, losses = _Carry(params, state), []
    fixed = _Fixed(opt, () if theta is None else theta)
    runner = _Runner(f, data is not None, theta is not None, stop_state)
    plain = segment is None or torch.compiler.is_compiling()
    for start in range(lost):
        with torch.no_grad():
            now = _detached((fixed, carry, _batches(data, start, start + 1)))
            carry, loss = _detached(runner(*now, 1))
        losses.append(loss)
    for start in range(lost, steps, length):
        end = min(start + length, steps)
        batches = _batches(data, start, end)
        if plain:
            carry, loss = runner(fixed, carry, batches, end - start)
        else:
            carry, loss, plain = _segment(runner, fixed, carry, batches, end - start)
        losses.append(loss)
    return Unrolled(carry.params, carry.state, torch.cat(losses))


class _Runner(NamedTuple):
    """Takes steps."""

    f: Any
    has_data: bool
    has_theta: bool
    stop_state: bool

    def __call__(self, fixed: _Fixed, carry: _Carry, batches: Tree, steps: int) -> tuple[_Carry, Tensor]:
        losses = []
        for k in range(steps):
            batch = tree.map(lambda x, k=k: x[k], batches)
            extra = (*([batch] if self.has_data else []), *([fixed.theta] if self.has_theta else []))
            objective = (lambda p, extra=extra: self.f(p, *extra)) if extra else self.f
            begin = Var(carry.params, objective=objective)
            state, end = fixed.opt.step(carry.state, begin)
            assert begin.objective is not None
            losses.append(begin.loss if begin.has_loss else begin.objective.value(carry.params))
            carry = _Carry(apply_update(end), _detached(state) if self.stop_state else state)
        return carry, torch.stack(losses)


def _segment(
    runner: _Runner, fixed: _Fixed, carry: _Carry, batches: Tree, steps: int
) -> tuple[_Carry, Tensor, bool]:
    """Some steps whose derivatives take them again; and whether it did not work, so that they were remembered."""
    inputs, form = part((fixed, carry, batches))
    form_out: Any = None

    def take(*tensors: Tensor) -> tuple[Tensor, ...]:
        nonlocal form_out
        out, form_out = part(runner(*form.whole(tensors), steps))
        return out

    closes_over: list[bool] = []
    out = recomputed(replayed(take, inputs), *inputs, keep=closes_over)
    if closes_over:
        warn(
            "unroll: the loss closes over a tensor that is differentiated or requires a gradient, so that all steps "
            "are kept in memory; give it as theta, detach it, or say segment=None"
        )
    carry, losses = form_out.whole(out)
    return carry, losses, bool(closes_over)


def _batches(data: Tree | None, start: int, end: int) -> Tree:
    return () if data is None else tree.map(lambda x: x[start:end], data)


def _detached(node: Any) -> Any:
    return tree.map(lambda x: x.detach() if isinstance(x, Tensor) else x, node)


def _check(opt: Module, steps: int, data: Tree | None, segment: Any, truncate: int | None) -> None:
    for name, value in (("steps", steps), ("segment", segment), ("truncate", truncate)):
        optional = {"segment": (None, "sqrt"), "truncate": (None,)}.get(name, ())
        if value not in optional and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            also = "".join(f" or {x!r}" for x in optional)
            raise ValueError(f"unroll({name}={value!r}): must be an integer of at least 1{also}")
    for module in opt.walk():
        if module.host_side:
            raise ValueError(
                f"unroll: {type(module).__name__} runs foreign code, through which no derivative flows; use modules of "
                "this library in its place"
            )
    if data is None:
        return
    for path, x in zip(tree.paths(data), tree.leaves(data), strict=True):
        if not isinstance(x, Tensor) or x.ndim == 0 or len(x) != steps:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"unroll(data=...): {path or 'it'} must be a tensor of shape ({steps}, ...), a batch for each step; "
                f"got {got}"
            )
