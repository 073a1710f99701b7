"""The polar factor, exactly."""

import torch
from torch import Tensor

from torchzero.core.safe import differentiated
from torchzero.linalg.safe_eigh import repair


def zeropower_via_svd(A: Tensor) -> Tensor:
    r"""The polar factor of matrices by a singular value decomposition.

    $$ A = UΣV^T,\quad P = U_+V_+^T,\quad
       dP = U\Bigl(\frac{M_{ij}-M_{ji}}{σ_i+σ_j}\Bigr)V^T + (I-UU^T)\,dA\,VΣ^{-1}V^T + UΣ^{-1}U^T dA\,(I-VV^T),
       \quad M = U^T dA\,V $$

    The + leaves out vanishing singular values, whose vectors are arbitrary: the polar factor of zero is zero. The
    derivative is exact at coinciding singular values too; it is the first derivative only. A matrix that is not
    finite gives NaN.

    Args:
        A: (..., m, n).

    Returns:
        P (..., m, n).

    >>> zeropower_via_svd(torch.tensor([[0.0, 3.0], [-2.0, 0.0]])).round()
    tensor([[ 0.,  1.],
            [-1.,  0.]])

    Reference: Higham 2008, Functions of Matrices, chapter 8, https://doi.org/10.1137/1.9780898717778
    """
    fixed, bad = repair(A.detach())
    U, S, Vh = torch.linalg.svd(fixed, full_matrices=False)
    floor = torch.finfo(A.dtype).eps * max(A.shape[-2:]) * S[..., :1]
    kept = floor < S  # (..., k)
    kept_columns = kept.unsqueeze(-2).to(A.dtype)
    out = ((U * kept_columns) @ Vh).masked_fill(bad, float("nan"))
    if not differentiated(A):
        return out
    change, V = A - A.detach(), Vh.mT
    inverse = (1 / torch.where(kept, S, torch.ones_like(S))).masked_fill(~kept, 0).unsqueeze(-2)
    pair = torch.where(kept, S, torch.zeros_like(S))
    pair = pair.unsqueeze(-1) + pair.unsqueeze(-2)
    inside = U.mT @ change @ V
    turn = torch.where(pair > 0, inside - inside.mT, 0) / torch.where(pair > 0, pair, 1)
    left, right = change @ V, U.mT @ change
    outside = ((left - U @ inside) * inverse) @ Vh + (U * inverse) @ (right - inside @ Vh)
    return out + (U @ turn @ Vh + outside)
