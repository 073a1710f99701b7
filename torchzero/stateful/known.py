"""Known: what a step evaluated at the point it moved to, for the next step of a deterministic closure."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.var import Var
from torchzero.stateful.closure_objective import ClosureObjective
from torchzero.stateful.parameters import gradient, set_gradient
from torchzero.stateful.store import storage, unalias


class Known(NamedTuple):
    """Loss and gradient at the parameters, as long as nobody changes these."""

    loss: Tensor  # ()
    grads: list[Tensor]  # one for each parameter
    point: list[Tensor]  # the values of the parameters

    def holds(self, params: list[Tensor]) -> bool:
        """Whether the parameters still have the values at which the closure was evaluated."""
        if len(params) != len(self.point):
            return False
        alike = all(
            (p.shape, p.dtype, p.device) == (x.shape, x.dtype, x.device)
            for p, x in zip(params, self.point, strict=True)
        )
        return alike and all(map(torch.equal, params, self.point))

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
    # where the step ended where it began these may be the parameters' own gradients, which the user may write into
    own = {storage(g) for p in params if (g := gradient(p)) is not None}
    return Known(loss, unalias(tree.leaves(grad), own), [p.detach().clone() for p in params])
