"""One name for the ways to make a matrix orthogonal."""

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor

from torchzero.linalg.msign import msign
from torchzero.linalg.orthogonalize_via_qr import orthogonalize_via_qr
from torchzero.linalg.zeropower_via_eigh import zeropower_via_eigh
from torchzero.linalg.zeropower_via_newtonschulz5 import JORDAN, zeropower_via_newtonschulz5
from torchzero.linalg.zeropower_via_svd import zeropower_via_svd

OrthogonalizeMethod = Literal["newtonschulz", "ns5", "polar_express", "svd", "qr", "eigh"]

METHODS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "newtonschulz": zeropower_via_newtonschulz5,
    "ns5": lambda A: zeropower_via_newtonschulz5(A, JORDAN),
    "polar_express": msign,
    "svd": zeropower_via_svd,
    "qr": orthogonalize_via_qr,
    "eigh": zeropower_via_eigh,
}


def orthogonalize(A: Tensor, method: OrthogonalizeMethod = "newtonschulz") -> Tensor:
    """Matrices with (nearly) all singular values one, close to the given ones.

    Args:
        A: (..., m, n).
        method: "newtonschulz" and "ns5" (five quintic steps, tuned for each step or all the same), "polar_express",
            "svd", "eigh" (the polar factor), or "qr" (not the polar factor).

    Returns:
        (..., m, n).

    >>> import torch
    >>> orthogonalize(torch.tensor([[0.0, 3.0], [-2.0, 0.0]]), "eigh")
    tensor([[ 0.,  1.],
            [-1.,  0.]])
    """
    return METHODS[method](A)
