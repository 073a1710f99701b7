"""CompactLBFGS: the matrix of L-BFGS without ever forming it."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator, solve_dense


class CompactLBFGS(Operator):
    r"""What BFGS makes of σI and the last few pairs (s, y).

    With S and Y the pairs as rows, R the upper triangle of SYᵀ and D its diagonal, L its strict lower triangle,
    γ = 1/σ:

    $$ B = σI - W^TM^{-1}W,\quad W = \begin{pmatrix} σS \\ Y \end{pmatrix},\quad
       M = \begin{pmatrix} σSS^T & L \\ L^T & -D \end{pmatrix} $$

    $$ B^{-1}x = γx + S^Tb - γY^Ta,\quad Ra = Sx,\quad R^Tb = (D + γYY^T)a - γYx $$

    and a shifted system by Woodbury's formula on 2m × 2m. Made by `from_pairs`.

    Args:
        S: (m, n) steps, the newest last.
        Y: (m, n) differences of gradients.
        c: (m,) one over the length of each step, zero where a row is not in use.
        SS: (m, m) SSᵀ of the pairs multiplied by c, as are the next two.
        SY: (m, m) SYᵀ.
        YY: (m, m) YYᵀ.
        scale: () σ.

    >>> pair = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> CompactLBFGS.from_pairs(*pair, torch.tensor(1), torch.tensor(4.0)).to_dense()
    tensor([[2., 0.],
            [0., 4.]])

    Reference: Byrd, Nocedal & Schnabel 1994, theorems 2.2 and 2.3, https://doi.org/10.1007/BF01582063
    """

    S: Tensor  # (m, n)
    Y: Tensor  # (m, n)
    c: Tensor  # (m,)
    SS: Tensor  # (m, m)
    SY: Tensor  # (m, m)
    YY: Tensor  # (m, m)
    scale: Tensor  # ()

    @classmethod
    def from_pairs(cls, S: Tensor, Y: Tensor, count: Tensor, scale: Tensor) -> "CompactLBFGS":
        """The operator of the last `count` rows, each with sᵀy > 0.

        Args:
            S: (m, n) steps, the newest last.
            Y: (m, n) differences of gradients.
            count: () how many rows at the end are in use.
            scale: () σ > 0; the usual choice is yᵀy/sᵀy of the newest pair.
        """
        SS, SY, YY = S @ S.mT, S @ Y.mT, Y @ Y.mT
        m, size = S.shape[-2], SS.diagonal()
        used = (torch.arange(m, device=S.device) >= m - count) & (size > 0)
        c = torch.where(used, torch.where(used, size, 1.0).rsqrt(), 0.0)  # a multiple of a pair says the same of B
        weight = c.unsqueeze(-1) * c
        return cls(S, Y, c, weight * SS, weight * SY, weight * YY, scale)

    def _unused(self) -> Tensor:
        """(m, m) ones on the diagonal where a row is not in use."""
        return torch.diag((self.c == 0).to(self.c.dtype))

    def middle(self) -> Tensor:
        """M: (2m, 2m)."""
        L, D, one = self.SY.tril(-1), torch.diag(self.SY.diagonal()), self._unused()
        return torch.cat([torch.cat([self.scale * self.SS + one, L], -1), torch.cat([L.mT, -D - one], -1)], -2)

    def wide(self) -> Tensor:
        """W: (2m, n)."""
        c = self.c.unsqueeze(-1)
        return torch.cat([(self.scale * c) * self.S, c * self.Y], -2)

    def _to(self, x: Tensor) -> Tensor:
        """Wx: (2m,)."""
        return torch.cat([self.scale * self.c * (self.S @ x), self.c * (self.Y @ x)], -1)

    def _back(self, a: Tensor) -> Tensor:
        """Wᵀa: (n,)."""
        first, second = a.chunk(2, -1)
        return self.S.mT @ (self.scale * self.c * first) + self.Y.mT @ (self.c * second)

    def matvec(self, x: Tensor) -> Tensor:
        return self.scale * x - self._back(solve_dense(self.middle(), self._to(x)))

    def solve(self, x: Tensor) -> Tensor:
        S, Y, c, gamma = self.S, self.Y, self.c, 1 / self.scale
        R = self.SY.triu() + self._unused()
        a = torch.linalg.solve_triangular(R, (c * (S @ x)).unsqueeze(-1), upper=True).squeeze(-1)
        right = self.SY.diagonal() * a + gamma * (self.YY @ a - c * (Y @ x))
        b = torch.linalg.solve_triangular(R.mT.clone(), right.unsqueeze(-1), upper=False).squeeze(-1)
        return gamma * (x - Y.mT @ (c * a)) + S.mT @ (c * b)

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        M = self.middle()
        if isinstance(shift, Tensor) and shift.ndim:
            W, a = self.wide(), self.scale + shift
            WA = W / a
            return x / a + WA.mT @ solve_dense(M - WA @ W.mT, WA @ x)
        a = self.scale + shift
        SY = self.scale * self.SY
        top, bottom = torch.cat([self.scale * self.scale * self.SS, SY], -1), torch.cat([SY.mT, self.YY], -1)
        return (x + self._back(solve_dense(M - torch.cat([top, bottom], -2) / a, self._to(x) / a))) / a

    def diagonal(self) -> Tensor:
        W = self.wide()
        return self.scale - (W * torch.linalg.solve_ex(self.middle(), W)[0]).sum(-2)

    def to_dense(self) -> Tensor:
        W = self.wide()
        eye = torch.eye(W.shape[-1], dtype=W.dtype, device=W.device)
        return self.scale * eye - W.mT @ torch.linalg.solve_ex(self.middle(), W)[0]
