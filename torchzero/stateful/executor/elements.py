"""What happens to every element: the modules on tensors, after what happens once a step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.module import Module, ScheduledState
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.core.var import Var


class Times(TensorwiseTransform):
    """Multiply the direction by a number that was measured before."""

    locality = "elementwise"

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return at.scalars * u


class Head(NamedTuple):
    """A module at this step, with everything that does not depend on the elements."""

    link: Module  # its schedules replaced by their values
    direct: bool  # whether it is a function of one tensor, to be called without detours
    scalars: Any  # what `scalars` returned, or the number that was measured
    k: Tensor | None  # the new count of the schedules; None without schedules
    t: Tensor | None  # the new count of a state that has one

    def shown(self, state: Any) -> Any:
        """The part of a state that the elements see: without k, and with the new t."""
        own = state if self.k is None else state.own
        return own if self.t is None else own._replace(t=self.t)


def is_direct(link: Module) -> bool:
    """Whether a module is a function of one tensor, to be called without detours."""
    return isinstance(link, TensorwiseTransform) and not link.children()


def head(link: Module, direct: bool, state: Any) -> Head:
    """The part of a step that is done once."""
    k = None
    if isinstance(state, ScheduledState):
        link, state, k = link._at(state.k), state.own, state.k + 1
    if not direct or "t" not in getattr(state, "_fields", ()):
        return Head(link, direct, None, k, None)
    t = state.t + 1
    return Head(link, direct, link.scalars(t.to(torch.float64)), k, t)  # pyright: ignore[reportAttributeAccessIssue]


class Context(NamedTuple):
    """What every element sees alike."""

    loss: Any
    step: Any
    storage: Any


def elements(
    heads: Sequence[Head],
    states: Sequence[Any],
    param: Tensor,
    grad: Tensor | None,
    u: Tensor,
    context: Context,
) -> tuple[list[Any], Tensor]:
    """The new states and direction for the elements given, from what is shown of the states and the direction u.

    The gradient is None where no module needs it.
    """
    made = []
    loss = context.loss
    for (link, direct, scalars, _, _), state in zip(heads, states, strict=True):
        if direct:
            at = At(param, grad if "grad" in link.needs else None, loss if "value" in link.needs else None, scalars)
            state, u = link.step_tensor(state, u, at)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            var = Var(param, grad=grad, loss=loss, update=u, step=context.step, storage=context.storage)
            state, var = link.step(state, var)
            u = var.update
        made.append(state)
    return made, u
