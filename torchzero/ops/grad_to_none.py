"""GradToNone: forget the gradient."""

from typing import Any

from torchzero.core.module import Module
from torchzero.core.var import Var


class GradToNone(Module):
    r"""Forget the gradient at x0, so that the next module that asks for it has it evaluated again.

    $$ d = u $$

    A direction that some module has made stays; one that is still the gradient is the gradient evaluated again.

    Raises:
        RuntimeError: in a step, when the gradient is asked for and there is no objective.

    >>> import torch, torchzero as tz
    >>> var = tz.Var(torch.tensor([3.0]), objective=lambda x: (x**2).sum(), grad=torch.tensor([1.0]))
    >>> tz.m.GradToNone().step((), var)[1].update
    tensor([6.])

    Reference: elementary.
    """

    needs = frozenset({"objective"})

    def apply(self, state: Any, var: Var) -> Var:
        var.need_objective(self)
        return var.replace(grad=None)
