"""DenseInverse: a matrix known by its inverse."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator, as_vector, solve_dense


class DenseInverse(Operator):
    r"""The inverse of a matrix H, symmetric or not.

    $$ B = H^{-1},\quad (B + D)^{-1} = (I + HD)^{-1}H $$

    so a singular H, whose B has infinite curvature, can still be shifted.

    Args:
        H: (n, n).

    >>> DenseInverse(torch.diag(torch.tensor([2.0, 4.0]))).solve(torch.ones(2))
    tensor([2., 4.])
    """

    H: Tensor  # (n, n)

    def matvec(self, x: Tensor) -> Tensor:
        return solve_dense(self.H, x)

    def solve(self, x: Tensor) -> Tensor:
        return self.H @ x

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        eye = torch.eye(x.numel(), dtype=x.dtype, device=x.device)
        return solve_dense(eye + self.H * as_vector(shift, x), self.H @ x)

    def diagonal(self) -> Tensor:
        return self.to_dense().diagonal()

    def to_dense(self) -> Tensor:
        return torch.linalg.inv_ex(self.H)[0]
