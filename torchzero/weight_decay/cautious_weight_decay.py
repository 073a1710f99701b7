"""CautiousWeightDecay: weight decay that never opposes the update."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, nonnegative, positive
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.weight_decay.base import decay


class CautiousWeightDecay(TensorwiseTransform):
    r"""Add the gradient of an $L_p$ penalty where it has the sign of the update.

    $$ d = u + λ\,\mathrm{sign}(θ)\,|θ|^{p-1}\,1[uθ > 0] $$

    It stands after the optimizer whose update it looks at.

    Args:
        weight_decay: λ ≥ 0.
        ord: p > 0; 2 gives $u + λθ$, 1 the sign.

    Raises:
        ValueError: for a negative λ or p ≤ 0.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.CautiousWeightDecay(0.5), torch.tensor([4.0, 4.0])
    >>> opt(p, opt.init(p), grad=torch.tensor([1.0, -1.0]))[0]
    tensor([1., 5.])

    Reference: Chen et al. 2025, algorithm 1, https://arxiv.org/abs/2510.12402
    """

    locality = "elementwise"
    needs = frozenset({"params"})

    weight_decay: Hyper = nonnegative(1e-2)
    ord: Hyper = positive(2)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return torch.where(u * at.param > 0, u + self.weight_decay * decay(at.param, self.ord), u)
