"""Known: what a step evaluated at the point it moved to, for the next step of a deterministic closure."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.var import Var
from torchzero.stateful.closure_objective import ClosureObjective
from torchzero.stateful.parameters import set_gradient


class Known(NamedTuple):
    """Loss and gradient at the parameters, as long as nobody changes these."""

    loss: Tensor  # ()
    grads: list[Tensor]  # one for each parameter
    point: list[Tensor]  # the values of the parameters

    def holds(self, params: list[Tensor]) -> bool:
        """Whether the parameters still have the values at which the closure was evaluated."""
        return all(p.shape == x.shape and torch.equal(p, x) for p, x in zip(params, self.point, strict=False))

    def recall(self, objective: ClosureObjective, params: list[Tensor]) -> Tensor:
        """Leave everything as a call of the closure would have, and return the loss."""
        # copies: the optimizer's state may hold the same tensors, and the user may write into a gradient
        for p, g in zip(params, self.grads, strict=True):
            set_gradient(p, g.clone())
        objective.at_x0 = self.loss
        return self.loss


def known_after(var: Var, params: list[Tensor], moving: list[bool]) -> Known | None:
    """What is known at the point where the step has ended; None unless every parameter moved there."""
    if var.accepted is None or var.skip_update is not False or not all(moving):
        return None
    loss, grad = var.accepted
    return Known(loss, tree.leaves(grad), [p.detach().clone() for p in params])
