"""Diagonal: curvature along the coordinates."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator


class Diagonal(Operator):
    """A diagonal matrix.

    Args:
        b: (n,) the diagonal.

    >>> Diagonal(torch.tensor([2.0, 4.0])).solve_shifted(torch.ones(2), 1.0)
    tensor([0.3333, 0.2000])
    """

    b: Tensor  # (n,)

    def matvec(self, x: Tensor) -> Tensor:
        return self.b * x

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        return x / (self.b + shift)

    def diagonal(self) -> Tensor:
        return self.b

    def to_dense(self) -> Tensor:
        return torch.diag(self.b)
