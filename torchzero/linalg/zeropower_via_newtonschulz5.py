"""Orthogonalisation by a few odd quintic polynomials: nothing but matrix products."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchzero.core.control import is_batched
from torchzero.core.safe import differentiated, safe_norm

Quintic = tuple[float, float, float]  # a, b, c of aX + bXXᵀX + c(XXᵀ)²X

# Jordan et al. 2024: one polynomial, with the largest slope at zero.
JORDAN: tuple[Quintic, ...] = ((3.4445, -4.7750, 2.0315),) * 5

# One polynomial for each step, fitted together (modded-nanogpt, 2025).
TUNED: tuple[Quintic, ...] = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)


def _addmm(X: Tensor, A: Tensor, B: Tensor, beta: float, alpha: float) -> Tensor:
    """βX + αAB, added up while the product is written, and rounded once."""
    if X.ndim == 2:
        return torch.addmm(X, A, B, beta=beta, alpha=alpha)
    X3, A3, B3 = (x.reshape(X.shape[:-2].numel(), *x.shape[-2:]) for x in (X, A, B))
    return torch.baddbmm(X3, A3, B3, beta=beta, alpha=alpha).reshape(X.shape)


def iterate(X: Tensor, coeffs: Sequence[Quintic]) -> Tensor:
    """Apply the polynomials one after the other to the singular values of X (..., m, n)."""
    if not differentiated(X) and is_batched(X):
        return _Iterate.apply(X, coeffs)
    wide = X.shape[-2] <= X.shape[-1]
    for a, b, c in coeffs:
        gram = X @ X.mT if wide else X.mT @ X  # the smaller of the two Gram matrices
        P = _addmm(gram, gram, gram, b, c)
        X = _addmm(X, P, X, a, 1.0) if wide else _addmm(X, X, P, a, 1.0)
    return X


class _Iterate(torch.autograd.Function):
    """The same for a batch: torch.vmap by itself takes addmm apart into products and sums, and rounds in between."""

    @staticmethod
    def forward(X: Tensor, coeffs: Sequence[Quintic]) -> Tensor:
        return iterate(X, coeffs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Nothing to keep: this is for what is not differentiated."""

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
        X, coeffs = args
        return iterate(X.movedim(in_dims[0], 0), coeffs), 0


def zeropower_via_newtonschulz5(G: Tensor, coeffs: Sequence[Quintic] = TUNED, eps: float = 1e-7) -> Tensor:
    r"""Bring all singular values of matrices near one by quintic Newton–Schulz steps.

    $$ X_0 = G/\max(\|G\|_F, ε),\quad X_{k+1} = a_k X_k + b_k (X_kX_k^T)X_k + c_k (X_kX_k^T)^2X_k $$

    The steps do not converge: singular values end up between about 0.7 and 1.2, which is enough for an optimizer.
    Computed in the dtype of `G`; the published code always works in bfloat16, which would make results depend on
    how matrices are batched.

    Args:
        G: (..., m, n).
        coeffs: (a, b, c) for each step.
        eps: smallest norm that is divided by.

    Returns:
        (..., m, n).

    >>> import torch
    >>> zeropower_via_newtonschulz5(torch.eye(2)).diagonal()
    tensor([1.0256, 1.0256])

    Reference: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/
    """
    return iterate(G / safe_norm(G, 2, (-2, -1), keepdim=True).clamp_min(eps), coeffs)
