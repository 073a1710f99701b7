"""Muon: momentum, made orthogonal, for the matrices of a network."""

from typing import Literal

import torch

from torchzero.adaptive.adam import Adam
from torchzero.adaptive.muon_adjust_lr import MuonAdjustLR
from torchzero.adaptive.orthogonalize import Orthogonalize
from torchzero.core.chain import Chain, Chainable
from torchzero.core.hyper import Hyper
from torchzero.linalg.orthogonalize_matrices import OrthogonalizeMethod
from torchzero.misc.base import Filter
from torchzero.misc.partition import Partition
from torchzero.momentum.heavy_ball import HeavyBall
from torchzero.momentum.nag import NAG


class Muon(Partition):
    r"""Orthogonalise the momentum of matrices, and run another optimizer on all other parameters.

    $$ v_t = μv_{t-1} + u_t,\quad UΣV^T = u_t + μv_t \ \text{or}\ v_t,\quad
       d_t = \sqrt{\max(1, m/n)}\,UV^T \ \text{or}\ 0.2\sqrt{\max(m, n)}\,UV^T $$

    for m outputs and n inputs. A recipe: the Partition of NAG (or HeavyBall), Orthogonalize and MuonAdjustLR for what
    `matrices` takes, and `fallback` for the rest. Put LR behind it, and WeightDecay between the two.

    Args:
        momentum: μ in [0, 1).
        nesterov: look ahead.
        method: how to orthogonalise, see Orthogonalize; "ns5" is what the authors do.
        adjust_lr: "original" for √max(1, m/n), "match_rms_adamw" for 0.2√max(m, n), None for 1.
        matrices: which parameters are treated so: a filter as in Partition. By default those with two dimensions;
            embeddings and the output layer are better left out, by name.
        fallback: module or sequence of modules for the others; Adam by default.
        dtype: of the orthogonalisation; None for that of the update, torch.bfloat16 for the authors' precision and
            speed.

    Raises:
        ValueError: for a number outside its range or an unknown method or adjustment.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.Muon(method="svd"), tz.m.LR(0.5))
    >>> params = {"w": torch.zeros(2, 2), "b": torch.zeros(2)}
    >>> grad = {"w": torch.tensor([[3.0, 4.0], [-4.0, 3.0]]), "b": torch.ones(2)}
    >>> opt(params, opt.init(params), grad=grad)[0]["w"].round(decimals=4)
    tensor([[-0.3000, -0.4000],
            [ 0.4000, -0.3000]])

    Reference: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Liu et al. 2025,
    https://arxiv.org/abs/2502.16982
    """

    def __init__(
        self,
        momentum: Hyper = 0.95,
        nesterov: bool = True,
        method: OrthogonalizeMethod = "ns5",
        adjust_lr: Literal["original", "match_rms_adamw"] | None = "original",
        matrices: Filter | None = None,
        fallback: Chainable | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        start = NAG(momentum) if nesterov else HeavyBall(momentum)
        adjust = [] if adjust_lr is None else [MuonAdjustLR(mode=adjust_lr)]
        wanted = (lambda x: x.ndim == 2) if matrices is None else matrices
        super().__init__(
            {"matrices": (wanted, Chain(start, Orthogonalize(method=method, dtype=dtype), *adjust))},
            rest=Adam() if fallback is None else fallback,
        )
