"""What happens to every element: the modules on flat tensors, after what happens once a step."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.module import Module, ScheduledState
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.core.var import Var


class Head(NamedTuple):
    """A module at this step, with everything that does not depend on the elements."""

    link: Module  # its schedules replaced by their values
    direct: bool  # whether it is a function of one tensor, to be called without detours
    state: Any  # its state, without what counts the schedules; the count t is that after this step
    scalars: Any  # what `scalars` returned
    k: Tensor | None  # the new count of the schedules


def is_direct(link: Module) -> bool:
    """Whether a module is a function of one tensor, to be called without detours."""
    return isinstance(link, TensorwiseTransform) and not link.children()


def head(link: Module, direct: bool, state: Any) -> Head:
    """The part of a step that is done once."""
    k = None
    if isinstance(state, ScheduledState):
        link, state, k = link._at(state.k), state.own, state.k + 1
    if not direct or "t" not in getattr(state, "_fields", ()):
        return Head(link, direct, state, None, k)
    t = state.t + 1
    return Head(link, direct, state._replace(t=t), link.scalars(t.to(torch.float64)), k)  # pyright: ignore[reportAttributeAccessIssue]


def elements(
    heads: list[Head], states: list[Any], param: Tensor, grad: Tensor, u: Tensor, loss: Any, step: Any, storage: Any
) -> tuple[list[Any], Tensor]:
    """The new states and direction for the elements given, from the direction u; `states` are parts of the heads'."""
    made = []
    for (link, direct, _, scalars, _), state in zip(heads, states, strict=True):
        if direct:
            at = At(param, grad if "grad" in link.needs else None, loss if "value" in link.needs else None, scalars)
            state, u = link.step_tensor(state, u, at)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            var = Var(param, grad=grad, loss=loss, update=u, step=step, storage=storage)
            state, var = link.step(state, var)
            u = var.update
        made.append(state)
    return made, u
