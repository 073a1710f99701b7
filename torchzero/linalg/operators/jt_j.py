"""JtJ: the Gauss–Newton model of a sum of squares."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator, as_vector, solve_dense


class JtJ(Operator):
    r"""The product of a Jacobian with itself.

    $$ B = J^TJ,\quad (B + D)^{-1} = D^{-1} - D^{-1}J^T(I + JD^{-1}J^T)^{-1}JD^{-1} $$

    A shifted system is solved with the second formula when there are fewer residuals than parameters, directly when
    not. Without a shift, and with fewer residuals than parameters, `solve` is the pseudo-inverse.

    Args:
        J: (m, n) the derivative of m residuals with respect to n parameters.

    >>> JtJ(torch.tensor([[2.0, 0.0]])).solve_shifted(torch.ones(2), 1.0)
    tensor([0.2000, 1.0000])
    """

    J: Tensor  # (m, n)

    @property
    def _wide(self) -> bool:
        return self.J.shape[-2] < self.J.shape[-1]

    def matvec(self, x: Tensor) -> Tensor:
        return self.J.mT @ (self.J @ x)

    def solve(self, x: Tensor) -> Tensor:
        J = self.J
        if not self._wide:
            return solve_dense(J.mT @ J, x)
        gram = J @ J.mT
        return J.mT @ solve_dense(gram, solve_dense(gram, J @ x))

    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        J, shift = self.J, as_vector(shift, x)
        if not self._wide:
            return solve_dense(J.mT @ J + torch.diag(shift), x)
        JD = J / shift  # (m, n)
        eye = torch.eye(J.shape[-2], dtype=x.dtype, device=x.device)
        return x / shift - JD.mT @ solve_dense(eye + JD @ J.mT, JD @ x)

    def diagonal(self) -> Tensor:
        return (self.J * self.J).sum(-2)

    def to_dense(self) -> Tensor:
        return self.J.mT @ self.J
