"""DivByLoss: steps in inverse proportion to the loss."""

from typing import Any

from torch import Tensor

from torchzero.core.hyper import Hyper, number, positive, static
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.misc.base import at_least


class DivByLoss(TensorwiseTransform):
    r"""Divide the update by the loss.

    $$ d = \frac{u}{\max(α f, m)} $$

    Args:
        alpha: α.
        min_value: the least factor, positive.
        backward: accepted for older code; has no effect, the loss is evaluated once for all modules.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.DivByLoss()
    >>> p = torch.tensor([2.0])
    >>> opt(p, opt.init(p), lambda x: x.sum())[0]
    tensor([1.5000])

    Reference: the gradient of log f, for α = 1.
    """

    locality = "elementwise"
    needs = frozenset({"value"})

    alpha: Hyper = number(default=1)
    min_value: Hyper = positive(default=1e-16)
    backward: bool = static(default=True)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return u / at_least(self.alpha * at.loss, self.min_value)
