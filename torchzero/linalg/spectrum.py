"""The eigenvalues of an operator, from its low-rank form where it has one."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.linalg.operators import (
    CompactLBFGS,
    CompactLSR1,
    Diagonal,
    LowRankShift,
    Operator,
    ScaledIdentity,
)
from torchzero.linalg.safe_eigh import safe_eigh
from torchzero.linalg.safe_qr import safe_qr


class Spectrum(NamedTuple):
    """A symmetric matrix as Q diag(values) Qᵀ + rest (I - QQᵀ); where Q is square, rest is one of the values."""

    values: Tensor  # (k,)
    Q: Any  # (n, k) orthonormal; () for the identity
    rest: Tensor  # ()   the eigenvalue of everything else

    def coefficients(self, x: Tensor) -> Tensor:
        """Qᵀx: (k,)."""
        return x if isinstance(self.Q, tuple) else self.Q.mT @ x

    def leftover(self, x: Tensor) -> Tensor:
        """(I - QQᵀ)x: (n,), exactly zero where Q is square."""
        Q = self.Q
        if isinstance(Q, tuple) or Q.shape[-1] == Q.shape[-2]:
            return torch.zeros_like(x)
        return x - Q @ (Q.mT @ x)

    def combine(self, c: Tensor) -> Tensor:
        """Qc: (n,)."""
        return c if isinstance(self.Q, tuple) else self.Q @ c


def spectrum(B: Operator) -> Spectrum:
    """The eigenvalues and eigenvectors of the symmetric part of an operator.

    Limited-memory operators are decomposed in the space of their pairs, at a cost linear in n.

    >>> from torchzero.linalg.operators import Dense
    >>> spectrum(Dense(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))).values
    tensor([1., 3.])
    """
    if isinstance(B, Diagonal | ScaledIdentity):
        values = B.diagonal()
        return Spectrum(values + 0.0, (), _any(values))
    if isinstance(B, LowRankShift):
        square = B.Q.shape[-1] == B.Q.shape[-2]
        return Spectrum(B.L + B.delta, B.Q, _any(B.L + B.delta) if square else B.delta)
    if isinstance(B, CompactLBFGS):
        return _low_rank(B.wide(), -torch.linalg.inv_ex(B.middle())[0], B.scale)
    if isinstance(B, CompactLSR1):
        W, d = B.terms()
        return _low_rank(W, torch.diag(1 / d), B.scale)
    A = B.to_dense()
    values, Q = safe_eigh((A + A.mT) / 2)
    return Spectrum(values, Q, _any(values))


def _any(values: Tensor) -> Tensor:
    """One of the values; zero if there is none."""
    return values[-1] + 0.0 if len(values) else values.sum()


def _low_rank(W: Tensor, core: Tensor, scale: Tensor) -> Spectrum:
    """The spectrum of scale I + Wᵀ core W for W (k, n)."""
    if W.shape[-2] >= W.shape[-1]:
        n = W.shape[-1]
        A = W.mT @ core @ W + scale * torch.eye(n, dtype=W.dtype, device=W.device)
        values, Q = safe_eigh((A + A.mT) / 2)
        return Spectrum(values, Q, _any(values))
    Q = safe_qr(W.mT)
    R = Q.mT @ W.mT
    A = R @ core @ R.mT
    values, U = safe_eigh((A + A.mT) / 2)
    return Spectrum(values + scale, Q @ U, scale)
