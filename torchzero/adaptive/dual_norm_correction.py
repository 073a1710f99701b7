"""DualNormCorrection: give back to an orthogonalized update the size that the gradient has along it."""

from typing import Any

from torch import Tensor

from torchzero.adaptive.base import as_matrices, is_matrix
from torchzero.core.hyper import static
from torchzero.core.transform import At, TensorwiseTransform


class DualNormCorrection(TensorwiseTransform):
    r"""Multiply the update of matrices by its inner product with the gradient.

    $$ d = ⟨g, u⟩\, u $$

    for each matrix of a stack; what is no matrix with both sides longer than one is left alone. After Orthogonalize
    the factor is the nuclear norm of the gradient, which makes the step that of steepest descent in the spectral norm.

    Args:
        channel_first: the matrices are dimensions 0 and 1, the others are the stack; else the last two.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.Chain(tz.m.Orthogonalize(method="eigh"), tz.m.DualNormCorrection()), torch.zeros(2, 2)
    >>> opt(x, opt.init(x), grad=torch.tensor([[0.0, 3.0], [-2.0, 0.0]]))[0]
    tensor([[ 0., -5.],
            [ 5.,  0.]])

    Reference: Bernstein & Newhouse 2024, proposition 5, https://arxiv.org/abs/2409.20325
    """

    locality = "tensor"
    needs = frozenset({"grad"})

    channel_first: bool = static(True)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        if not is_matrix(u, self.channel_first) or at.grad is None:
            return u
        x, g = as_matrices(u, self.channel_first), as_matrices(at.grad, self.channel_first)
        return as_matrices((x * g).sum((-2, -1), keepdim=True) * x, self.channel_first)
