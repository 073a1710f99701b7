"""LaplacianSmoothing: an implicit step of diffusion along the elements of the update."""

import math
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, static
from torchzero.core.module import Locality
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.step_size.base import single


def smooth(u: Tensor, sigma: Hyper) -> Tensor:
    """(I - σΔ)⁻¹ vec(u), Δ the second difference on a ring: its eigenvalues are 2cos(2πk/n) - 2."""
    n = u.numel()
    real = u.dtype if u.dtype in (torch.float32, torch.float64) else torch.float32  # there is no FFT in half precision
    k = torch.arange(n // 2 + 1, dtype=real, device=u.device)
    damping = 1 + sigma * (2 - 2 * torch.cos(2 * math.pi / n * k))
    return torch.fft.irfft(torch.fft.rfft(u.reshape(-1).to(real)) / damping, n).reshape(u.shape)


class LaplacianSmoothing(Transform):
    r"""Smooth the update along the ring of its elements, in row-major order.

    $$ d = (I - σΔ)^{-1} \mathrm{vec}(u),\quad (Δx)_i = x_{i-1} - 2x_i + x_{i+1} $$

    The mean of the update stays as it is, and its variance falls.

    Args:
        sigma: σ ≥ 0, the strength.
        layerwise: one ring for each tensor, else one through all of them.
        min_numel: tensors with so few elements, or fewer, are left alone if layerwise.

    Raises:
        ValueError: for a number outside its range, or several σ on one ring.

    >>> import torch, torchzero as tz
    >>> smoothing, p = tz.m.LaplacianSmoothing(sigma=1), torch.zeros(6)
    >>> smoothing(p, smoothing.init(p), grad=torch.tensor([-18.0, 0, 0, 0, 0, 0]))[0]
    tensor([8.1000, 3.1500, 1.3500, 0.9000, 1.3500, 3.1500])

    Reference: Osher, Wang, Yin, Luo, Barekat, Pham & Lin 2018, algorithm 1, https://arxiv.org/abs/1806.06317
    """

    sigma: Hyper = nonnegative(1)
    layerwise: bool = static(True)
    min_numel: int = static(4, low=0, integer=True)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as the ring reaches."""
        return "tensor" if self.layerwise else "global"

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        if self.layerwise:
            return tree.zipmap(lambda x, sigma: smooth(x, sigma) if x.numel() > self.min_numel else x, u, self.sigma)
        (sigma,) = single(self, "sigma")
        vector, unravel = tree.ravel(u)
        return unravel(smooth(vector, sigma)) if vector.numel() else u
