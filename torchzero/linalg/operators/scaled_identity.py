"""ScaledIdentity: the same curvature everywhere."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator, structure


class ScaledIdentity(Operator):
    """A multiple of the identity.

    Args:
        scale: () the number.
        size: n.

    >>> ScaledIdentity(torch.tensor(4.0), 2).to_dense()
    tensor([[4., 0.],
            [0., 4.]])
    """

    scale: Tensor  # ()
    size: int = structure()  # n

    def matvec(self, x: Tensor) -> Tensor:
        return self.scale * x

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        return x / (self.scale + shift)

    def diagonal(self) -> Tensor:
        return self.scale.unsqueeze(-1).expand(self.size)

    def to_dense(self) -> Tensor:
        return torch.diag(self.diagonal())
