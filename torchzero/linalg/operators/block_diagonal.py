"""BlockDiagonal: one operator for each piece of a vector."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator, structure


class BlockDiagonal(Operator):
    """Operators along the diagonal, and zeros elsewhere.

    Args:
        blocks: operators B₁, B₂, ...
        sizes: n₁, n₂, ...: how many elements of the vector belong to each.

    >>> from torchzero.linalg.operators import Dense, Diagonal
    >>> B = BlockDiagonal((Dense(torch.tensor([[2.0, 1.0], [1.0, 2.0]])), Diagonal(torch.tensor([4.0]))), (2, 1))
    >>> B.matvec(torch.ones(3))
    tensor([3., 3., 4.])
    """

    blocks: tuple[Any, ...]  # operators of n₁, n₂, ... numbers
    sizes: tuple[int, ...] = structure()

    def _each(self, fn: Callable[..., Tensor], x: Tensor, *more: Tensor) -> Tensor:
        columns = zip(*(y.split(self.sizes) for y in (x, *more)), strict=True)
        parts = [fn(block, *pieces) for block, pieces in zip(self.blocks, columns, strict=True)]
        return torch.cat(parts) if parts else x

    def matvec(self, x: Tensor) -> Tensor:
        return self._each(lambda block, x: block.matvec(x), x)

    def solve(self, x: Tensor) -> Tensor:
        return self._each(lambda block, x: block.solve(x), x)

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        if isinstance(shift, Tensor) and shift.ndim:
            return self._each(lambda block, x, own: block.solve_shifted(x, own), x, shift)
        return self._each(lambda block, x: block.solve_shifted(x, shift), x)

    def diagonal(self) -> Tensor:
        return torch.cat([block.diagonal() for block in self.blocks])

    def to_dense(self) -> Tensor:
        return torch.block_diag(*(block.to_dense() for block in self.blocks))
