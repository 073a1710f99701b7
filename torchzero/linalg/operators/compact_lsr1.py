"""CompactLSR1: the matrix of limited-memory SR1 without ever forming it."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator, as_vector, solve_dense


def sr1_factors(SS: Tensor, SY: Tensor, YY: Tensor, count: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    r"""The symmetric rank-one terms that turn σI into a matrix with the secants Bs = y.

    $$ B = σI + \sum_k \frac{w_kw_k^T}{d_k},\quad w_k = y_k - B_{k-1}s_k,\quad d_k = w_k^Ts_k $$

    as w = T(Y - σS), from the inner products of the pairs alone: this is elimination in the matrix of wᵀs. A term with
    |d| below twice the smallest normal number, or what rounding makes of zero, is left out: its row of T is 0, d = 1.

    Args:
        SS: (m, m) SSᵀ, the last `count` rows in use.
        SY: (m, m) SYᵀ.
        YY: (m, m) YYᵀ.
        count: ().
        scale: () σ.

    Returns:
        T (m, m) and d (m,).
    """
    m, form = len(SS), torch.finfo(SS.dtype)
    valid = torch.arange(m, device=SS.device) >= m - count
    noise = (16 * form.eps * (SS.diagonal() * YY.diagonal()).sqrt()).clamp_min(2 * form.tiny)
    rest = SY.tril() + SY.tril(-1).mT - scale * SS
    T, d = torch.eye(m, dtype=SS.dtype, device=SS.device), []
    for k in range(m):
        pivot = rest[k, k]
        use = valid[k] & (pivot.abs() >= noise[k])
        d.append(torch.where(use, pivot, torch.ones_like(pivot)))
        below = torch.where(use & (torch.arange(m, device=SS.device) > k), rest[:, k] / d[k], 0.0).unsqueeze(-1)
        rest, T = rest - below * rest[k], T - below * T[k]
        T = torch.where(~use & (torch.arange(m, device=SS.device) == k).unsqueeze(-1), 0.0, T)
    return T, torch.stack(d)


class CompactLSR1(Operator):
    r"""What SR1 makes of σI and the last few pairs (s, y).

    $$ B = σI + W^T\mathrm{diag}(d)^{-1}W,\quad W = T(Y - σS),\quad
       (B + D)^{-1} = A^{-1} - A^{-1}W^T(\mathrm{diag}(d) + WA^{-1}W^T)^{-1}WA^{-1},\quad A = σI + D $$

    `solve` uses the terms of the inverse, which are those of the pairs (y, s) and 1/σ. Made by `from_pairs`.

    Args:
        S: (m, n) steps, the newest last.
        Y: (m, n) differences of gradients.
        SS: (m, m) SSᵀ.
        SY: (m, m) SYᵀ.
        YY: (m, m) YYᵀ.
        count: () how many rows at the end are in use.
        scale: () σ.

    >>> pair = torch.tensor([[1.0, 0.0]]), torch.tensor([[-2.0, 0.0]])
    >>> CompactLSR1.from_pairs(*pair, torch.tensor(1), torch.tensor(1.0)).to_dense()
    tensor([[-2.,  0.],
            [ 0.,  1.]])

    Reference: Byrd, Nocedal & Schnabel 1994, section 5, https://doi.org/10.1007/BF01582063
    """

    S: Tensor  # (m, n)
    Y: Tensor  # (m, n)
    SS: Tensor  # (m, m)
    SY: Tensor  # (m, m)
    YY: Tensor  # (m, m)
    count: Tensor  # ()
    scale: Tensor  # ()

    @classmethod
    def from_pairs(cls, S: Tensor, Y: Tensor, count: Tensor, scale: Tensor) -> "CompactLSR1":
        """The operator of the last `count` rows.

        Args:
            S: (m, n) steps, the newest last.
            Y: (m, n) differences of gradients.
            count: () how many rows at the end are in use.
            scale: () σ.
        """
        return cls(S, Y, S @ S.mT, S @ Y.mT, Y @ Y.mT, count, scale)

    def _factors(self) -> tuple[Tensor, Tensor]:
        return sr1_factors(self.SS, self.SY, self.YY, self.count, self.scale)

    def terms(self) -> tuple[Tensor, Tensor]:
        """W (m, n) and d (m,)."""
        T, d = self._factors()
        return T @ (self.Y - self.scale * self.S), d

    def matvec(self, x: Tensor) -> Tensor:
        T, d = self._factors()
        a = T.mT @ (T @ (self.Y @ x - self.scale * (self.S @ x)) / d)
        return self.scale * (x - self.S.mT @ a) + self.Y.mT @ a

    def solve(self, x: Tensor) -> Tensor:
        return CompactLSR1(self.Y, self.S, self.YY, self.SY.mT, self.SS, self.count, 1 / self.scale).matvec(x)

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        W, d = self.terms()
        a = as_vector(self.scale + shift, x)
        WA = W / a
        return x / a - WA.mT @ solve_dense(torch.diag(d) + WA @ W.mT, WA @ x)

    def diagonal(self) -> Tensor:
        W, d = self.terms()
        return self.scale + (W * W / d.unsqueeze(-1)).sum(-2)

    def to_dense(self) -> Tensor:
        W, d = self.terms()
        eye = torch.eye(W.shape[-1], dtype=W.dtype, device=W.device)
        return self.scale * eye + W.mT @ (W / d.unsqueeze(-1))
