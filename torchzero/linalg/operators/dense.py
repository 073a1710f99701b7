"""Dense: a matrix that is kept as it is."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator, as_vector, solve_dense


class Dense(Operator):
    """A matrix B, symmetric or not.

    Args:
        B: (n, n).

    >>> Dense(torch.tensor([[2.0, 0.0], [0.0, 4.0]])).solve(torch.ones(2))
    tensor([0.5000, 0.2500])
    """

    B: Tensor  # (n, n)

    def matvec(self, x: Tensor) -> Tensor:
        return self.B @ x

    def solve(self, x: Tensor) -> Tensor:
        return solve_dense(self.B, x)

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        return solve_dense(self.B + torch.diag(as_vector(shift, x)), x)

    def diagonal(self) -> Tensor:
        return self.B.diagonal()

    def to_dense(self) -> Tensor:
        return self.B
