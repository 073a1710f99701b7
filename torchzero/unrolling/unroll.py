"""unroll: steps of an optimizer as one differentiable value."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

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

Segment: TypeAlias = int | Sequence[int] | Literal["auto"] | None


PARTS = 8  # into which steps are divided by default, and those again


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
    segment: Segment = "auto",
    truncate: int | None = None,
    stop_state: bool = False,
) -> Unrolled:
    """Several steps of an optimizer, as a function that can be differentiated in bounded memory.

    The same as calling `params, state = opt(params, state, f)` so many times, and differentiable with respect to the
    parameters, the hyperparameters, `data`, `theta` and `state`, by any transformation of torch.func and by backward,
    to any order, forward and reverse.

    The steps are divided into segments. For reverse derivatives only parameters and state at the start of each are
    remembered, and its steps are taken again when the derivative reaches it, in segments of their own, down to single
    steps: 100 steps are 4 segments of 25, which are 5 of 5. So at most 8 copies of parameters and state are held at
    each level, and each level costs one more evaluation of each step. Repeated steps draw the same random numbers,
    those of torch's global generators included.

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
        segment: how many steps to a segment, or several such lengths, the next for the segments of a segment: with 10
            the ten steps of one segment are remembered together, with (10, 1) each by itself. By default as above.
            With None every step is remembered.
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
    carry, losses = _Carry(params, state), []
    fixed = _Fixed(opt, () if theta is None else theta)
    runner = _Runner(f, data is not None, theta is not None, stop_state)
    for k in range(lost):
        with torch.no_grad():
            now = _detached((fixed, carry, _batches(data, k, k + 1)))
            carry, loss = _detached(runner.steps(*now, 1))
        losses.append(loss)
    lengths = () if torch.compiler.is_compiling() else _lengths(segment, steps - lost)
    carry, loss = runner.segments(fixed, carry, _batches(data, lost, steps), steps - lost, lengths)
    return Unrolled(carry.params, carry.state, torch.cat([*losses, loss]))


def _lengths(segment: Segment, steps: int) -> tuple[int, ...]:
    if segment is None:
        return ()
    if segment == "auto":
        depth = next(d for d in itertools.count(1) if PARTS**d >= steps)
        parts = next(r for r in itertools.count(1) if r**depth >= steps)
        return tuple(parts**d for d in reversed(range(depth)))
    return (segment,) if isinstance(segment, int) else tuple(segment)


class _Runner(NamedTuple):
    """Takes steps."""

    f: Any
    has_data: bool
    has_theta: bool
    stop_state: bool

    def steps(self, fixed: _Fixed, carry: _Carry, batches: Tree, steps: int) -> tuple[_Carry, Tensor]:
        """One after the other."""
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

    def segments(
        self, fixed: _Fixed, carry: _Carry, batches: Tree, steps: int, lengths: tuple[int, ...]
    ) -> tuple[_Carry, Tensor]:
        """In segments of so many steps, each divided into segments of the next length."""
        losses, start = [], 0
        while start < steps:
            end = min(start + lengths[0], steps) if lengths else steps
            some = batches if end - start == steps else _batches(batches, start, end)
            if lengths:
                carry, loss, worked = self.segment(fixed, carry, some, end - start, lengths[1:])
                lengths = lengths if worked else ()
            else:
                carry, loss = self.steps(fixed, carry, some, end - start)
            losses.append(loss)
            start = end
        return carry, torch.cat(losses)

    def segment(
        self, fixed: _Fixed, carry: _Carry, batches: Tree, steps: int, lengths: tuple[int, ...]
    ) -> tuple[_Carry, Tensor, bool]:
        """Steps whose derivatives take them again; and whether it worked, or else they were remembered."""
        inputs, form = part((fixed, carry, batches))
        form_out: Any = None

        def take(*tensors: Tensor) -> tuple[Tensor, ...]:
            nonlocal form_out
            fixed, carry, batches = form.whole(tensors)
            out, form_out = part(self.segments(fixed, carry, batches, steps, lengths))
            return out

        closes_over: list[bool] = []
        out = recomputed(replayed(take, inputs), *inputs, keep=closes_over)
        if closes_over:
            warn(
                "unroll: the loss closes over a tensor that is differentiated or requires a gradient, so that all "
                "steps are kept in memory; give it as theta, detach it, or say segment=None"
            )
        carry, losses = form_out.whole(out)
        return carry, losses, not closes_over


def _batches(data: Tree | None, start: int, end: int) -> Tree:
    return () if data is None else tree.map(lambda x: x[start:end], data)


def _detached(node: Any) -> Any:
    return tree.map(lambda x: x.detach() if isinstance(x, Tensor) else x, node)


def _check(opt: Module, steps: int, data: Tree | None, segment: Segment, truncate: int | None) -> None:
    _demand("steps", [steps], steps, "an integer of at least 1")
    if truncate is not None:
        _demand("truncate", [truncate], truncate, "an integer of at least 1, or None")
    if segment not in (None, "auto"):
        lengths = [segment] if isinstance(segment, int) else list(segment)
        _demand("segment", lengths, segment, "an integer of at least 1, a sequence of these, 'auto' or None")
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


def _demand(name: str, numbers: list[Any], given: Any, demand: str) -> None:
    if not all(isinstance(x, int) and not isinstance(x, bool) and x >= 1 for x in numbers):
        raise ValueError(f"unroll({name}={given!r}): must be {demand}")
