"""Functions of symmetric matrices."""

from collections.abc import Callable

import torch
from torch import Tensor

from torchzero.core.safe import differentiated
from torchzero.linalg.safe_eigh import close, repair


def symmetric_function(A: Tensor, f: Callable[[Tensor], Tensor], df: Callable[[Tensor], Tensor]) -> Tensor:
    r"""A function of the eigenvalues, with its exact derivative also where eigenvalues coincide.

    $$ f(A) = Q\,f(λ)\,Q^T,\quad df(A) = Q\,(F ∘ Q^T dA\,Q)\,Q^T,\quad
       F_{ij} = \frac{f(λ_i)-f(λ_j)}{λ_i-λ_j}\ \text{or}\ f'(λ_i)\ \text{where}\ λ_i=λ_j $$

    With respect to A this is the first derivative only: a second differentiation sees a constant F. What `f` depends
    on besides λ is differentiated as usual. A matrix that is not finite gives NaN.

    Args:
        A: (..., n, n), symmetric; the lower triangle is read.
        f: elementwise function of the eigenvalues (..., n).
        df: its derivative.

    Returns:
        f(A), (..., n, n).

    >>> symmetric_function(torch.diag(torch.tensor([4.0, 9.0])), torch.sqrt, lambda x: 0.5 / x.sqrt())
    tensor([[2., 0.],
            [0., 3.]])

    Reference: Daleckii & Krein 1965; Higham 2008, Functions of Matrices, theorem 3.11,
    https://doi.org/10.1137/1.9780898717778
    """
    fixed, bad = repair(A.detach())
    eigenvalues, Q = torch.linalg.eigh(fixed)
    values = f(eigenvalues)
    out = ((Q * values.unsqueeze(-2)) @ Q.mT).masked_fill(bad, float("nan"))
    if not differentiated(A):
        return out
    row, column = eigenvalues.unsqueeze(-1), eigenvalues.unsqueeze(-2)
    values = values.detach()
    # Below this distance the derivative between the two is more exact than their divided difference.
    same = close(row, column, torch.finfo(A.dtype).eps ** (1 / 3))
    gap = torch.where(same, torch.ones_like(row - column), row - column)
    divided = (values.unsqueeze(-1) - values.unsqueeze(-2)) / gap
    weight = torch.where(same, df((row + column) / 2).detach(), divided).nan_to_num()
    return out + Q @ (weight * (Q.mT @ (A - A.detach()) @ Q)) @ Q.mT
