"""What the decays share: the gradient of an Lp penalty."""

from torch import Tensor

from torchzero.core.hyper import Hyper
from torchzero.core.safe import safe_pow


def decay(param: Tensor, ord: Hyper) -> Tensor:
    """sign(θ)|θ|^(p-1)."""
    if isinstance(ord, int | float):
        if ord == 2:
            return param
        if ord == 1:
            return param.sign()
    return param.sign() * safe_pow(param.abs(), ord - 1)
