"""What the modules for matrices share: which dimensions of a tensor are a matrix, and products along a dimension."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


def is_matrix(x: Tensor, channel_first: bool = True) -> bool:
    """Whether `x` is a stack of matrices with both sides longer than one."""
    return x.ndim >= 2 and min(matrix_sides(x, channel_first)) > 1


def matrix_sides(x: Tensor, channel_first: bool = True) -> tuple[int, int]:
    """(outputs, inputs): the first two dimensions, or the last two."""
    return (x.shape[0], x.shape[1]) if channel_first else (x.shape[-2], x.shape[-1])


def as_matrices(x: Tensor, channel_first: bool = True) -> Tensor:
    """`x` as (..., inputs, outputs) if the channels come first, as it is if they come last; its own inverse."""
    return x.permute(*reversed(range(x.ndim))) if channel_first else x


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """The dtype for matrices that are decomposed: float32 or wider."""
    return torch.promote_types(dtype, torch.float32)


class Plan(NamedTuple):
    """How a tensor is seen by a preconditioner with a factor for each dimension."""

    order: tuple[int, ...]  # permutation of the dimensions
    shape: tuple[int, ...]  # the shape after permuting and merging
    dims: tuple[int, ...]  # the dimensions of `shape` that have a factor

    def view(self, x: Tensor) -> Tensor:
        """`x` in the merged shape."""
        return x.permute(self.order).reshape(self.shape)

    def unview(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        """The way back to `shape`."""
        inverse = sorted(range(len(self.order)), key=self.order.__getitem__)
        return x.reshape([shape[i] for i in self.order]).permute(inverse)


def plan(shape: tuple[int, ...], merge_small: bool, max_dim: int, precondition_1d: bool) -> Plan:
    """Merge the smallest dimensions while their product is at most `max_dim`; factors for lengths 2 to `max_dim`."""
    order, merged = tuple(range(len(shape))), shape
    if merge_small and len(shape) > 1:
        by_size = tuple(sorted(order, key=lambda i: shape[i]))
        sizes = [shape[i] for i in by_size]
        k = sum(math.prod(sizes[: i + 1]) <= max_dim for i in range(len(sizes)))
        if k > 1:
            order, merged = by_size, (math.prod(sizes[:k]), *sizes[k:])
    wanted = len(shape) > 1 or precondition_1d
    return Plan(order, merged, tuple(i for i, n in enumerate(merged) if wanted and 1 < n <= max_dim))


def gram(x: Tensor, dim: int) -> Tensor:
    """The products of all slices along `dim`: (n, n)."""
    n = x.shape[dim]
    rows = x.reshape(-1, n).mT if dim == x.ndim - 1 else x.movedim(dim, 0).reshape(n, -1)  # (n, all the others)
    return rows @ rows.mT


def mode_product(x: Tensor, matrices: Sequence[Tensor], dims: Sequence[int]) -> Tensor:
    """Multiply `x` along each of `dims` by its matrix: the entries along that dimension, as a row, times the matrix."""
    for matrix, dim in zip(matrices, dims, strict=True):
        if dim == x.ndim - 1:
            x = x @ matrix
        else:
            x = (matrix.mT @ x.flatten(dim + 1)).reshape(x.shape)
    return x
