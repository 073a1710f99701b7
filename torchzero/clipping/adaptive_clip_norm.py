"""AdaptiveClipNorm: no update much longer than the weights of its unit."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchzero.clipping.base import check_dim, group_dims, ratio_where
from torchzero.core.hyper import Hyper, positive, static
from torchzero.core.safe import safe_norm
from torchzero.core.transform import At, TensorwiseTransform


class AdaptiveClipNorm(TensorwiseTransform):
    r"""Shorten the update of each unit where it exceeds a fraction of the norm of the unit's weights.

    $$ d_i = u_i\,\min\left(1, \frac{λ \max(\lVert θ_i\rVert, ε)}{\lVert u_i\rVert}\right) $$

    A unit i is a slice along the first dimension, where torch has a layer's outputs; a vector or a number is one unit.
    (optax has the outputs in the last dimension.) The paper leaves out the last layer.

    Args:
        clipping: λ > 0, the largest ratio of the norms.
        eps: ε > 0, the norm of weights that are near zero, so that they can leave it.
        dim: the dimensions that one unit extends over instead; a tensor that has none of them is left alone.

    Raises:
        ValueError: for a number outside its range or an unknown `dim`.

    >>> import torch, torchzero as tz
    >>> clip, p = tz.m.AdaptiveClipNorm(0.1), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    >>> clip(p, clip.init(p), grad=torch.tensor([[0.3, 0.4], [3.0, 4.0]]))[0] - p
    tensor([[-0.3000, -0.4000],
            [-0.0600, -0.0800]])

    Reference: Brock, De, Smith & Simonyan 2021, equation 3, https://arxiv.org/abs/2102.06171
    """

    locality = "tensor"
    needs = frozenset({"params"})

    clipping: Hyper = positive(0.01)
    eps: Hyper = positive(1e-3)
    dim: int | Sequence[int] | None = static(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim == "global":
            raise ValueError("AdaptiveClipNorm(dim='global'): must be None or the dimensions of a unit")
        check_dim("AdaptiveClipNorm", self.dim)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        if self.dim is None:
            dims = tuple(range(1 if u.ndim > 1 else 0, u.ndim))
        else:
            dims = group_dims(u, self.dim, inverse_dims=False)
        if dims is None or not u.numel():
            return u
        norm = safe_norm(u, 2, dims, keepdim=True)
        weights = safe_norm(at.param, 2, dims, keepdim=True)
        bound = self.clipping * torch.maximum(weights, torch.zeros_like(weights) + self.eps)
        return u * ratio_where(norm > bound, bound, norm)
