"""QR with a unique result and a derivative that is finite where columns vanish."""

import torch
from torch import Tensor

from torchzero.core.safe import differentiated
from torchzero.linalg.safe_eigh import repair


def safe_qr(A: Tensor) -> Tensor:
    r"""The orthonormal factor of A = QR, signs chosen such that the diagonal of R is not negative.

    $$ X = dA\,R^{-1},\quad Ω = \mathrm{tril}(Q^TX, -1),\quad dQ = Q(Ω - Ω^T) + X - QQ^TX $$

    In the derivative, zeros on the diagonal of R count as ones. It is the first derivative only: a second
    differentiation sees a constant. A matrix that is not finite gives NaN.

    Args:
        A: (..., m, n) with m ≥ n.

    Returns:
        Q (..., m, n).

    >>> safe_qr(torch.tensor([[-2.0, 0.0], [0.0, 3.0]]))
    tensor([[-1.,  0.],
            [ 0.,  1.]])

    Reference: Walter, Lehmann & Lamour 2012, On evaluating higher-order derivatives of the QR decomposition,
    https://doi.org/10.1080/10556788.2011.610454
    """
    fixed, bad = repair(A.detach())
    # what torch.linalg.qr does, but R is seldom needed
    reflections, tau = torch.geqrf(fixed)
    Q = torch.linalg.householder_product(reflections, tau)
    diagonal = reflections.diagonal(dim1=-2, dim2=-1)  # (..., n), of R
    sign = torch.where(diagonal < 0, -1.0, 1.0).to(A.dtype)
    Q = (Q * sign.unsqueeze(-2)).masked_fill(bad, float("nan"))
    if not differentiated(A):
        return Q
    size = diagonal.abs()
    floor = torch.finfo(A.dtype).eps * max(A.shape[-2:]) * size.amax(-1, keepdim=True)
    R = sign.unsqueeze(-1) * reflections[..., : A.shape[-1], :].triu() + torch.diag_embed((size <= floor).to(A.dtype))
    X = torch.linalg.solve_triangular(R, A - A.detach(), upper=True, left=False)
    inside = Q.mT @ X
    lower = inside.tril(-1)
    return Q + (Q @ (lower - lower.mT - inside) + X)
