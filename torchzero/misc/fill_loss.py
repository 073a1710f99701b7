"""FillLoss: the loss in every element."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, number, static
from torchzero.core.transform import At, TensorwiseTransform


class FillLoss(TensorwiseTransform):
    r"""Set every element of the update to a multiple of the loss.

    $$ d = α f $$

    Args:
        alpha: α.
        backward: accepted for older code; has no effect, the loss is evaluated once for all modules.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.FillLoss(alpha=0.5)
    >>> p = torch.tensor([2.0, 0.0])
    >>> opt(p, opt.init(p), lambda x: x.sum())[0]
    tensor([ 1., -1.])

    Reference: none; an operand for combining modules.
    """

    locality = "elementwise"
    needs = frozenset({"value"})

    alpha: Hyper = number(default=1)
    backward: bool = static(default=True)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return torch.zeros_like(u) + self.alpha * at.loss
