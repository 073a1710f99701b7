"""Symmetric eigendecomposition whose derivative is finite where eigenvalues coincide."""

import torch
from torch import Tensor

from torchzero.core.safe import differentiated


def repair(A: Tensor) -> tuple[Tensor, Tensor]:
    """`A` (..., m, n) with zeros in place of every matrix that is not finite, and which ones were: (..., 1, 1) bool.

    Decompositions raise at NaN; with this the failure can be put into the result instead.
    """
    bad = ~torch.isfinite(A).all(-1, keepdim=True).all(-2, keepdim=True)
    return A.masked_fill(bad, 0), bad


def close(a: Tensor, b: Tensor, rtol: float) -> Tensor:
    """Whether the entries are equal up to `rtol` of their size."""
    return (a - b).abs() <= rtol * (a.abs() + b.abs())


def safe_eigh(A: Tensor) -> tuple[Tensor, Tensor]:
    r"""Eigenvalues and eigenvectors of symmetric matrices.

    $$ A = Q\,\mathrm{diag}(λ)\,Q^T,\quad dλ_i = q_i^T dA\, q_i,\quad
       dq_j = \sum_{i: λ_i ≠ λ_j} \frac{q_i^T dA\, q_j}{λ_j - λ_i} q_i $$

    The derivative leaves out pairs of equal eigenvalues, between which eigenvectors are arbitrary anyway. It is the
    first derivative only: a second differentiation sees a constant. A matrix that is not finite gives NaN
    eigenvalues and Q = I.

    Args:
        A: (..., n, n); the lower triangle is read.

    Returns:
        λ (..., n) ascending, and Q (..., n, n).

    >>> safe_eigh(torch.diag(torch.tensor([2.0, 1.0])))[0]
    tensor([1., 2.])
    >>> torch.func.grad(lambda A: safe_eigh(A)[0].max())(torch.eye(2)).diagonal().sum()
    tensor(1.)

    Reference: Magnus 1985, On differentiating eigenvalues and eigenvectors, https://doi.org/10.1017/S0266466600011129
    """
    fixed, bad = repair(A.detach())
    eigenvalues, Q = torch.linalg.eigh(fixed)
    eigenvalues = eigenvalues.masked_fill(bad.squeeze(-1), float("nan"))
    if not differentiated(A):
        return eigenvalues, Q
    change = Q.mT @ (A - A.detach()) @ Q  # zero, but for its derivative
    row, column = eigenvalues.unsqueeze(-1), eigenvalues.unsqueeze(-2)
    same = close(row, column, 8 * torch.finfo(A.dtype).eps)
    weight = (1 / torch.where(same, torch.ones_like(change), column - row)).masked_fill(same, 0)
    return eigenvalues + change.diagonal(dim1=-2, dim2=-1), Q + Q @ (weight * change)
