"""UpdateToNone: forget the direction."""

from typing import Any

from torchzero.core.module import Module
from torchzero.core.var import Var


class UpdateToNone(Module):
    r"""Forget the direction, so that the next module starts from the gradient.

    $$ d = ∇f(θ) $$

    >>> import torch, torchzero as tz
    >>> chain = tz.Chain(tz.m.Sign(), tz.m.UpdateToNone())
    >>> chain.step(chain.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([3.0])))[1].update
    tensor([3.])

    Reference: elementary.
    """

    locality = "elementwise"
    needs = frozenset({"grad"})

    def apply(self, state: Any, var: Var) -> Var:
        return var.replace(update=None)
