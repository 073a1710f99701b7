"""GramSchimdt: what of the direction is orthogonal to another."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import child
from torchzero.core.safe import safe_div
from torchzero.ops.base import BinaryOperationBase


class GramSchimdt(BinaryOperationBase):
    r"""Take away from each tensor its component along an operand; the name is spelled as it has always been.

    $$ d = u - \frac{⟨B(u), u⟩}{⟨B(u), B(u)⟩}\,B(u) $$

    Inner products are those of each tensor by itself. Where B is 0 the direction stays as it is.

    Args:
        other: B, a module, or a number for the tensor with that number everywhere.

    >>> import torch, torchzero as tz
    >>> module = tz.m.GramSchimdt(tz.m.Params())
    >>> var = tz.Var(torch.tensor([0.0, 2.0]), grad=torch.tensor([3.0, 4.0]))
    >>> module.step(module.init(var.params), var)[1].update
    tensor([3., 0.])

    Reference: Gram 1883; Schmidt 1907, https://doi.org/10.1007/BF01449770
    """

    locality = "tensor"

    other: Any = child(operand=True)

    def transform(self, u: Tensor, other: Any) -> Tensor:
        b = torch.zeros_like(u) + other
        return u - safe_div((b * u).sum(), (b * b).sum()) * b
