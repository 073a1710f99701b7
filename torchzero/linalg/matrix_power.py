"""Real powers of symmetric matrices."""

import functools
from typing import Literal

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper
from torchzero.linalg.symmetric_function import symmetric_function

MatrixPowerMethod = Literal["eigh_abs", "eigh", "svd"]
METHODS: tuple[MatrixPowerMethod, ...] = ("eigh_abs", "eigh", "svd")


def _size(x: Tensor, method: MatrixPowerMethod) -> Tensor:
    return (x if method == "eigh" else x.abs()).clamp_min(2 * torch.finfo(x.dtype).tiny)


def _power(x: Tensor, power: Hyper, method: MatrixPowerMethod) -> Tensor:
    y = _size(x, method) ** power
    return x.sign() * y if method == "svd" else y


def _slope(x: Tensor, power: Hyper, method: MatrixPowerMethod) -> Tensor:
    clipped = (x if method == "eigh" else x.abs()) < 2 * torch.finfo(x.dtype).tiny
    y = power * torch.where(clipped, torch.ones_like(x), _size(x, method)) ** (power - 1)
    y = x.sign() * y if method == "eigh_abs" else y
    return y.masked_fill(clipped, 0)


def matrix_power(A: Tensor, power: Hyper, method: MatrixPowerMethod = "eigh_abs") -> Tensor:
    r"""A real power of symmetric matrices.

    $$ A^p = Q\,\mathrm{diag}(g(λ))\,Q^T $$

    with g(λ) = |λ|^p for "eigh_abs", λ^p for "eigh" and sign(λ)|λ|^p for "svd", which is what replacing the singular
    values gives. Bases are clipped from below at twice the smallest normal number.

    Args:
        A: (..., n, n), symmetric.
        power: p, a number or 0-d tensor.
        method: "eigh_abs", "eigh" or "svd"; all the same for a positive definite matrix.

    Returns:
        A^p, (..., n, n); the first derivative is exact also where eigenvalues coincide, see `symmetric_function`.

    >>> matrix_power(torch.diag(torch.tensor([4.0, 16.0])), -0.5)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])

    Reference: Higham 2008, Functions of Matrices, chapter 7, https://doi.org/10.1137/1.9780898717778
    """
    return symmetric_function(
        A,
        functools.partial(_power, power=power, method=method),
        functools.partial(_slope, power=power, method=method),
    )
