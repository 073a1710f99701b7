"""GradSign: the size of the update, the sign of the gradient."""

from typing import Any

from torch import Tensor

from torchzero.core.transform import At, TensorwiseTransform


class GradSign(TensorwiseTransform):
    r"""Keep the size of every element of the update, and take the sign of the gradient.

    $$ d = |u|\,\mathrm{sign}(∇f) $$

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.LR(torch.tensor(0.5)), tz.m.GradSign())
    >>> opt(torch.zeros(2), opt.init(torch.zeros(2)), grad=torch.tensor([-3.0, 4.0]))[0]
    tensor([ 1.5000, -2.0000])

    Reference: Grams: Cao, Li & Song 2024, https://arxiv.org/abs/2412.17107
    """

    locality = "elementwise"
    needs = frozenset({"grad"})

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return u.abs() * at.grad.sign()  # pyright: ignore[reportOptionalMemberAccess]
