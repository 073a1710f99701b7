"""Orthogonalize: replace matrices by their polar factors, a step of the same length in every direction."""

import math
from typing import Any

from torch import Tensor

from torchzero.adaptive.base import as_matrices, at_least_single, is_matrix
from torchzero.core.hyper import static
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.linalg.orthogonalize_matrices import METHODS, OrthogonalizeMethod, orthogonalize

_DECOMPOSING = ("svd", "qr", "eigh")  # not available in half precision


class Orthogonalize(TensorwiseTransform):
    r"""Replace the update of matrices by its polar factor.

    $$ u = UΣV^T,\quad d = UV^T $$

    A tensor with more than two dimensions is a stack of matrices, and what is no matrix with both sides longer than
    one is left alone. Computed in the dtype of the update: the published Newton–Schulz code works in bfloat16, of
    which this result differs by a percent or so.

    Args:
        adjust_lr: multiply by 0.2·√max(m, n), which gives the entries the size that they have in Adam.
        dual_norm_correction: multiply by ⟨u, d⟩, for each matrix of a stack: the nuclear norm of u.
        method: "newtonschulz" (five quintic steps, tuned one by one), "ns5" (five times Jordan's polynomial),
            "polar_express" (ten steps, converges), "svd", "eigh" (exact), or "qr" (an orthogonal factor that is not
            the polar factor, with signs such that ⟨u, d⟩ ≥ 0).
        channel_first: the matrices are dimensions 0 and 1, the others are the stack; else the last two.

    Raises:
        ValueError: for an unknown method.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.Orthogonalize(method="eigh"), torch.zeros(2, 2)
    >>> opt(x, opt.init(x), grad=torch.tensor([[0.0, 3.0], [-2.0, 0.0]]))[0]
    tensor([[ 0., -1.],
            [ 1.,  0.]])

    Reference: Tuddenham et al. 2022, https://arxiv.org/abs/2202.07052; Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon/; Amsel et al. 2025, https://arxiv.org/abs/2505.16932; Liu et al. 2025,
    section 2.2, https://arxiv.org/abs/2502.16982
    """

    locality = "tensor"

    adjust_lr: bool = static(False)
    dual_norm_correction: bool = static(False)
    method: OrthogonalizeMethod = static("newtonschulz", choices=tuple(METHODS))
    channel_first: bool = static(True)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        if not is_matrix(u, self.channel_first):
            return u
        x = as_matrices(u, self.channel_first)  # (..., m, n)
        x = x.to(at_least_single(x.dtype)) if self.method in _DECOMPOSING else x
        d = orthogonalize(x, self.method)
        if self.dual_norm_correction:
            d = (x * d).sum((-2, -1), keepdim=True) * d
        if self.adjust_lr:
            d = 0.2 * math.sqrt(max(d.shape[-2:])) * d
        return as_matrices(d, self.channel_first)


ZeropowerViaNewtonSchulz = Orthogonalize  # the name until 0.2
