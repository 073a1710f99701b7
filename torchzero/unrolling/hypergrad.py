"""hypergrad: how the outcome of an optimization depends on all that went into it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chainable, maybe_chain
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.unrolling.derivatives import derivatives, is_differentiable
from torchzero.unrolling.hyperparameters import as_tensors
from torchzero.unrolling.unroll import Segment, unroll


class Hypergradient(NamedTuple):
    """An outer loss and its derivatives."""

    value: Tensor  # ()   the outer loss
    opt: Any  # the module, with derivatives for hyperparameters; zero for seeds and counts
    params: Tree  # derivatives with respect to the initial parameters
    theta: Tree  # derivatives with respect to theta; () without one


def hypergrad(
    opt: Chainable,
    f: Callable[..., Tensor] | Objective,
    params: Tree,
    steps: int,
    outer: Callable[..., Tensor],
    *,
    data: Tree | None = None,
    theta: Tree | None = None,
    state: Any = None,
    segment: Segment = "auto",
    truncate: int | None = None,
    stop_state: bool = False,
) -> Hypergradient:
    """The loss after some steps of an optimizer, and its derivatives with respect to everything before them.

    One reverse pass gives them all: with respect to every numeric hyperparameter, to the initial parameters and to
    `theta`. The memory is that of `unroll`. Can itself be vmapped and differentiated.

    Args:
        opt: a module or a sequence of modules, its hyperparameters Python numbers, tensors, schedules, or trees.
        f: the inner loss, as in `unroll`.
        params: where to start.
        steps: how many.
        outer: the outer loss, 0-d, of (params), or of (params, theta) if there is a theta, where params are those to
            evaluate the model at: the last ones, or the average of a chain that keeps one.
        data: a tree of tensors (steps, ...), a batch for each step.
        theta: a tree of what else the losses depend on.
        state: as in `unroll`.
        segment: as in `unroll`.
        truncate: as in `unroll`.
        stop_state: as in `unroll`.

    Raises:
        ValueError: as `unroll`, and if the outer loss is not 0-d.

    >>> import torchzero as tz
    >>> found = tz.hypergrad(tz.m.LR(0.25), lambda x: x**2, torch.tensor(1.0), 4, outer=lambda x: x)
    >>> found.value, found.opt.lr, found.params
    (tensor(0.0625), tensor(-1., dtype=torch.float64), tensor(0.0625))
    """
    opt = maybe_chain(opt)
    lifted = as_tensors(opt, tree.reference(params).device)
    leaves, spec = tree.flatten((lifted, params, () if theta is None else theta))
    places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and is_differentiable(x)]

    def loss(*some: Tensor) -> Tensor:
        whole = list(leaves)
        for i, x in zip(places, some, strict=True):
            whole[i] = x
        opt, start, given = tree.unflatten(spec, whole)
        given = None if theta is None else given
        end = unroll(
            opt, f, start, steps, data=data, theta=given, state=state, segment=segment, truncate=truncate,
            stop_state=stop_state,
        )  # fmt: skip
        at = opt.eval_params(end.state, end.params)
        value = outer(at) if given is None else outer(at, given)
        if not isinstance(value, Tensor) or value.ndim:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"hypergrad(outer=...): must return a loss, a 0-d tensor; got {got}")
        return value

    value, pull = torch.func.vjp(loss, *(leaves[i] for i in places))  # pyright: ignore[reportAssignmentType]
    nested = any(derivatives(value))  # without derivatives of this one, no graph of it is needed
    grads = pull(torch.ones_like(value), retain_graph=nested, create_graph=nested)
    found: list[Any] = [torch.zeros_like(x) if isinstance(x, Tensor) else torch.zeros(()) for x in leaves]
    for i, grad in zip(places, grads, strict=True):
        found[i] = grad
    return Hypergradient(value, *tree.unflatten(spec, found))
