"""Nyström approximation: a few eigenpairs of a positive matrix from its product with a sketch."""

from collections.abc import Callable

import torch
from torch import Tensor

from torchzero.core.safe import safe_norm
from torchzero.linalg.safe_eigh import repair, safe_eigh
from torchzero.linalg.safe_qr import safe_qr


def nystrom(sketch: Tensor, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""The Nyström approximation of a positive semidefinite A from Ω and AΩ.

    $$ A ≈ AΩ\,(Ω^TAΩ)^{-1}(AΩ)^T = Q\,\mathrm{diag}(L)\,Q^T $$

    made stable by a shift: with $ν = ε‖AΩ‖_F$ and $Y = AΩ + νΩ$, the Cholesky factor $C^TC = Ω^TY$, and
    $YC^{-1} = QΣV^T$, the eigenvalues are $L = \max(Σ^2 - ν, 0)$. Where $Ω^TY$ is not positive definite, A is not
    either, and the approximation does not exist.

    Args:
        sketch: Ω, (n, k) with k ≤ n.
        image: AΩ, (n, k).

    Returns:
        L (k,) ascending, Q (n, k) orthonormal, and whether it exists, () bool.

    >>> A = torch.diag(torch.tensor([3.0, 2.0, 0.0]))
    >>> L, Q, exists = nystrom(torch.eye(3)[:, :2], A[:, :2])
    >>> L, exists
    (tensor([2.0000, 3.0000]), tensor(True))

    Reference: Frangella, Tropp & Udell 2023, algorithm 2.1, https://arxiv.org/abs/2110.02820
    """
    eps = torch.finfo(image.dtype).eps
    nu = eps * safe_norm(image)
    Y = image + nu * sketch
    core = sketch.mT @ Y
    core, bad = repair((core + core.mT) / 2)
    C, info = torch.linalg.cholesky_ex(core)
    exists = (info == 0) & ~bad.squeeze(-1).squeeze(-1) & torch.isfinite(image).all()
    eye = torch.eye(len(core), dtype=core.dtype, device=core.device)
    C = torch.where(exists, C, eye)
    B = torch.linalg.solve_triangular(C.mT, torch.where(exists, Y, torch.zeros_like(Y)), upper=True, left=False)
    Q = safe_qr(B)
    R = Q.mT @ B
    values, vectors = safe_eigh(R @ R.mT)
    return (values - nu).clamp_min(0), Q @ vectors, exists


def nystrom_preconditioner(L: Tensor, Q: Tensor, reg: Tensor | float) -> Callable[[Tensor], Tensor]:
    r"""The inverse of the Nyström preconditioner of A + ρI, as a function of a vector.

    $$ P^{-1} = (λ_{\min} + ρ)\,Q(\mathrm{diag}(L) + ρI)^{-1}Q^T + (I - QQ^T) $$

    Args:
        L: (k,) eigenvalues.
        Q: (n, k) eigenvectors; columns of zeros are without effect.
        reg: ρ > 0.

    >>> P = nystrom_preconditioner(torch.tensor([1.0]), torch.tensor([[1.0], [0.0]]), 1.0)
    >>> P(torch.ones(2))
    tensor([1., 1.])

    Reference: Frangella, Tropp & Udell 2023, section 5, https://arxiv.org/abs/2110.02820
    """
    weight = (L.min() + reg) / (L + reg)

    def apply(v: Tensor) -> Tensor:
        c = v @ Q  # Q.mT would be a second name for the storage of Q
        return v + Q @ (weight * c - c)

    return apply
