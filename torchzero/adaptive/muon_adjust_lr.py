"""MuonAdjustLR: a factor for orthogonal updates that depends on the shape."""

import math
from typing import Any

from torch import Tensor

from torchzero.adaptive.base import is_matrix, matrix_sides
from torchzero.core.hyper import Hyper, number, static
from torchzero.core.transform import At, TensorwiseTransform


class MuonAdjustLR(TensorwiseTransform):
    r"""Multiply the update of matrices by a factor that their shape tells.

    $$ d = 0.2\,α\sqrt{\max(m, n)}\,u \quad\text{or}\quad d = α\sqrt{\max(1, m/n)}\,u $$

    for m outputs and n inputs. What is no matrix with both sides longer than one is left alone.

    Args:
        channel_first: m and n are dimensions 0 and 1; else the last two.
        alpha: α.
        mode: "match_rms_adamw" for the first, which gives entries of the size that they have in AdamW, or "original".

    Raises:
        ValueError: for an unknown mode.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.MuonAdjustLR(), torch.zeros(25, 2)
    >>> opt(x, opt.init(x), grad=torch.ones(25, 2))[0][0]
    tensor([-1., -1.])

    Reference: Liu et al. 2025, section 2.2, https://arxiv.org/abs/2502.16982; "original": Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon/
    """

    locality = "tensor"

    channel_first: bool = static(True)
    alpha: Hyper = number(1)
    mode: str = static("match_rms_adamw", choices=("match_rms_adamw", "original"))

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        if not is_matrix(u, self.channel_first):
            return u
        m, n = matrix_sides(u, self.channel_first)
        factor = math.sqrt(max(1, m / n)) if self.mode == "original" else 0.2 * math.sqrt(max(m, n))
        factor = factor * self.alpha
        return u if isinstance(factor, float) and factor == 1 else factor * u
