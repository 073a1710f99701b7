"""UpdateSign: the size of the gradient, the sign of the update."""

from typing import Any

from torch import Tensor

from torchzero.core.transform import At, TensorwiseTransform


class UpdateSign(TensorwiseTransform):
    r"""Keep the sign of every element of the update, and take the size of the gradient.

    $$ d = |∇f|\,\mathrm{sign}(u) $$

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.LR(torch.tensor(0.5)), tz.m.UpdateSign())
    >>> opt(torch.zeros(2), opt.init(torch.zeros(2)), grad=torch.tensor([-3.0, 4.0]))[0]
    tensor([ 3., -4.])

    Reference: the converse of Grams: Cao, Li & Song 2024, https://arxiv.org/abs/2412.17107
    """

    locality = "elementwise"
    needs = frozenset({"grad"})

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return at.grad.abs() * u.sign()  # pyright: ignore[reportOptionalMemberAccess]
