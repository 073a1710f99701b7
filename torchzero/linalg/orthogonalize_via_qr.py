"""An orthonormal basis of the columns, or rows, in order."""

from torch import Tensor

from torchzero.linalg.safe_qr import safe_qr


def orthogonalize_via_qr(A: Tensor) -> Tensor:
    r"""The orthonormal factor of the QR decomposition of tall matrices, and of the transpose of wide ones.

    $$ A = QR \quad\text{or}\quad A^T = QR,\quad R_{ii} ≥ 0 $$

    Not the polar factor: earlier columns are favoured. The signs make $⟨A, Q⟩ = \mathrm{tr} R ≥ 0$, so that a step
    along the result is a step along A.

    Args:
        A: (..., m, n).

    Returns:
        Q or its transpose, (..., m, n).

    >>> import torch
    >>> orthogonalize_via_qr(torch.tensor([[-2.0, 0.0], [0.0, 3.0]]))
    tensor([[-1.,  0.],
            [ 0.,  1.]])

    Reference: Golub & Van Loan 2013, Matrix Computations, section 5.2.
    """
    return safe_qr(A) if A.shape[-2] >= A.shape[-1] else safe_qr(A.mT).mT
