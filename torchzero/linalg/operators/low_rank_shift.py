"""LowRankShift: a few known eigenvectors, and one curvature for all other directions."""

import torch
from torch import Tensor

from torchzero.core.safe import safe_div
from torchzero.linalg.operators.base import Operator, as_vector, solve_dense


class LowRankShift(Operator):
    r"""A low-rank matrix plus a multiple of the identity.

    $$ B = Q\,\mathrm{diag}(L)\,Q^T + δI,\quad
       (B + λI)^{-1}x = Q\frac{Q^Tx}{L + δ + λ} + \frac{x - QQ^Tx}{δ + λ} $$

    and for a shift by a vector, Woodbury's formula with a k × k system. With a shift by a number a quotient with
    denominator 0 is 0, so `solve` is the pseudo-inverse where δ = 0.

    Args:
        Q: (n, k) orthonormal columns; columns of zeros stand for directions that are not used.
        L: (k,) eigenvalues less δ.
        delta: () δ.

    >>> Q = torch.tensor([[1.0], [0.0]])
    >>> LowRankShift(Q, torch.tensor([3.0]), torch.tensor(1.0)).to_dense()
    tensor([[4., 0.],
            [0., 1.]])
    """

    Q: Tensor  # (n, k)
    L: Tensor  # (k,)
    delta: Tensor  # ()

    def matvec(self, x: Tensor) -> Tensor:
        return self.Q @ (self.L * (self.Q.mT @ x)) + self.delta * x

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        Q, L = self.Q, self.L
        if isinstance(shift, Tensor) and shift.ndim:
            a = as_vector(self.delta + shift, x)
            QtA = Q.mT / a  # (k, n)
            eye = torch.eye(L.numel(), dtype=x.dtype, device=x.device)
            return x / a - QtA.mT @ solve_dense(eye + L.unsqueeze(-1) * (QtA @ Q), L * (QtA @ x))
        a = self.delta + shift
        c = Q.mT @ x
        return Q @ safe_div(c, L + a) + safe_div(x - Q @ c, as_vector(a, x))

    def diagonal(self) -> Tensor:
        return (self.Q * self.Q) @ self.L + self.delta

    def to_dense(self) -> Tensor:
        eye = torch.eye(self.Q.shape[-2], dtype=self.Q.dtype, device=self.Q.device)
        return (self.Q * self.L) @ self.Q.mT + self.delta * eye
