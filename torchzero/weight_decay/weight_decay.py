"""WeightDecay: pull parameters towards zero."""

from typing import Any

from torch import Tensor

from torchzero.core.averages import axpy
from torchzero.core.hyper import Hyper, nonnegative, positive
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.weight_decay.base import decay


class WeightDecay(TensorwiseTransform):
    r"""Add the gradient of an $L_p$ penalty to the update.

    $$ d = u + λ\,\mathrm{sign}(θ)\,|θ|^{p-1} $$

    Where it stands decides what it is: before the optimizer it is a penalty, after it it is decoupled, and after LR
    it is not scaled by the learning rate either.

    Args:
        weight_decay: λ ≥ 0.
        ord: p > 0; 2 gives $u + λθ$, 1 the sign.

    Raises:
        ValueError: for a negative λ or p ≤ 0.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.WeightDecay(0.5)
    >>> opt(torch.tensor([4.0]), opt.init(torch.tensor([4.0])), grad=torch.tensor([0.0]))[0]
    tensor([2.])

    Reference: Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101
    """

    locality = "elementwise"
    conservative = True
    needs = frozenset({"params"})

    weight_decay: Hyper = nonnegative(1e-2)
    ord: Hyper = positive(2)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return axpy(self.weight_decay, decay(at.param, self.ord), u)
