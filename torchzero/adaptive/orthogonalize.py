"""Orthogonalize: replace matrices by their polar factors, a step of the same length in every direction."""

import math
from typing import Any

import torch
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
    one is left alone. Computed in the dtype of the update unless told otherwise: the published Newton–Schulz code
    works in bfloat16, of which this result differs by a percent or so. Where processors multiply matrices in bfloat16,
    that is several times faster.

    Args:
        adjust_lr: multiply by 0.2·√max(m, n), which gives the entries the size that they have in Adam.
        dual_norm_correction: multiply by ⟨u, d⟩, for each matrix of a stack: the nuclear norm of u.
        method: "newtonschulz" (five quintic steps, tuned one by one), "ns5" (five times Jordan's polynomial),
            "polar_express" (ten steps, converges), "svd", "eigh" (exact), or "qr" (an orthogonal factor that is not
            the polar factor, with signs such that ⟨u, d⟩ ≥ 0).
        channel_first: the matrices are dimensions 0 and 1, the others are the stack; else the last two.
        dtype: of the computation; None for that of the update, torch.bfloat16 for the precision of the published
            code. Decompositions take float32 in place of what is narrower.

    Raises:
        ValueError: for an unknown method.
        TypeError: for a dtype that is none, or not of real numbers.

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
    dtype: torch.dtype | None = static(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype is not None and not (isinstance(self.dtype, torch.dtype) and self.dtype.is_floating_point):
            raise TypeError(
                f"{type(self).__name__}(dtype={self.dtype!r}): must be a floating point dtype, or None for the update's"
            )

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        if not is_matrix(u, self.channel_first):
            return u
        # The polar factor of the transpose is the transpose of the polar factor: one matrix may lie as it is.
        turned = self.channel_first and not (u.ndim == 2 and self.method != "qr")
        x = as_matrices(u, turned)  # (..., m, n)
        dtype = x.dtype if self.dtype is None else self.dtype
        d = orthogonalize(x.to(at_least_single(dtype) if self.method in _DECOMPOSING else dtype), self.method)
        if self.dual_norm_correction:
            d = (x * d).sum((-2, -1), keepdim=True) * d
        if self.adjust_lr:
            d = 0.2 * math.sqrt(max(d.shape[-2:])) * d
        return as_matrices(d, turned)


ZeropowerViaNewtonSchulz = Orthogonalize  # the name until 0.2
