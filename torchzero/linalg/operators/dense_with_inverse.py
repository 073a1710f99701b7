"""DenseWithInverse: a matrix and its inverse, both kept."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator, as_vector, solve_dense


class DenseWithInverse(Operator):
    """A matrix B whose inverse H is known as well.

    Args:
        B: (n, n).
        H: (n, n) its inverse.

    >>> B = torch.diag(torch.tensor([2.0, 4.0]))
    >>> DenseWithInverse(B, torch.linalg.inv(B)).solve(torch.ones(2))
    tensor([0.5000, 0.2500])
    """

    B: Tensor  # (n, n)
    H: Tensor  # (n, n)

    def matvec(self, x: Tensor) -> Tensor:
        return self.B @ x

    def solve(self, x: Tensor) -> Tensor:
        return self.H @ x

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        return solve_dense(self.B + torch.diag(as_vector(shift, x)), x)

    def diagonal(self) -> Tensor:
        return self.B.diagonal()

    def to_dense(self) -> Tensor:
        return self.B
