"""The polar factor from the smaller Gram matrix."""

import torch
from torch import Tensor

from torchzero.linalg.symmetric_function import symmetric_function


def zeropower_via_eigh(A: Tensor) -> Tensor:
    r"""The polar factor of matrices by an eigendecomposition of the smaller Gram matrix.

    $$ P = (AA^T)^{-1/2} A \quad\text{or}\quad A\,(A^TA)^{-1/2} $$

    Cheaper than a singular value decomposition of a long matrix, and half as many digits. Vanishing eigenvalues are
    left out, so the polar factor of zero is zero. A matrix that is not finite gives NaN.

    Args:
        A: (..., m, n).

    Returns:
        P (..., m, n).

    >>> zeropower_via_eigh(torch.tensor([[0.0, 3.0], [-2.0, 0.0]]))
    tensor([[ 0.,  1.],
            [-1.,  0.]])

    Reference: Higham 2008, Functions of Matrices, chapter 8, https://doi.org/10.1137/1.9780898717778
    """
    wide = A.shape[-2] <= A.shape[-1]
    gram = A @ A.mT if wide else A.mT @ A
    floor = torch.finfo(A.dtype).eps * max(A.shape[-2:]) * gram.detach().diagonal(dim1=-2, dim2=-1).sum(-1)
    floor = floor.unsqueeze(-1)  # (..., 1)

    def cut(x: Tensor, power: float) -> Tensor:
        limit = floor if x.ndim == floor.ndim else floor.unsqueeze(-1)
        kept = x > limit
        return torch.where(kept, torch.where(kept, x, torch.ones_like(x)) ** power, torch.zeros_like(x))

    root = symmetric_function(gram, lambda x: cut(x, -0.5), lambda x: -0.5 * cut(x, -1.5))
    return root @ A if wide else A @ root
