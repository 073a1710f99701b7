"""XNES: natural gradient on the mean and the full covariance."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, nonnegative, positive, static
from torchzero.core.tree import Tree
from torchzero.linalg import symmetric_function
from torchzero.zeroth_order.base import Best, Sampler, Told, nothing_told, wide
from torchzero.zeroth_order.snes import utilities


class XNESState(NamedTuple):
    """State of XNES; n elements of all parameters."""

    key: Tensor  # (2,)    int64, the stream of draws
    t: Tensor  # ()        generations told
    mean: Tensor  # (n,)
    sigma: Tensor  # ()    step size
    B: Tensor  # (n, n)    shape, with determinant 1
    best: Best


class XNES(Sampler):
    r"""Exponential natural evolution: follow the natural gradient of the expected rank in all directions.

    $$ x_i = m + σ B z_i,\quad z_i \sim N(0, I),\quad
       G_m = \sum_i u_i z_{i:λ},\quad G = \sum_i u_i (z_{i:λ} z_{i:λ}^T - I),\quad G_σ = \mathrm{tr}(G) / n $$
    $$ m \leftarrow m + η_m σ B G_m,\quad σ \leftarrow σ e^{η_σ G_σ / 2},\quad
       B \leftarrow B \exp(η_B (G - G_σ I) / 2) $$

    with the utilities u of `SNES`. Memory grows with n². A step in a chain asks and tells one population, and the
    parameters become m. Results do not change under increasing maps of the loss, and, in distribution, under rotations
    of the parameters.

    Args:
        sigma: σ at the start, positive.
        population: λ, at least 2; $4 + ⌊3 \ln n⌋$ if None.
        lr_mean: $η_m$, at least 0.
        lr_sigma: $η_σ$, at least 0; $3 (3 + \ln n) / (5 n \sqrt n)$ if None.
        lr_shape: $η_B$, at least 0; as the default of $η_σ$ if None.
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for a number outside its range.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.XNES(seed=0), torch.ones(3)
    >>> state = opt.init(p)
    >>> for _ in range(150):
    ...     p, state = opt(p, state, lambda x: (x**2).sum())
    >>> bool(p.abs().max() < 1e-3)
    True

    Reference: Glasmachers, Schaul, Sun, Wierstra & Schmidhuber 2010, algorithm 1,
    https://doi.org/10.1145/1830483.1830557
    """

    sigma: Hyper = positive(1.0)
    population: int | None = static(None, low=2, integer=True)
    lr_mean: Hyper = nonnegative(1.0)
    lr_sigma: Hyper = nonnegative(None)
    lr_shape: Hyper = nonnegative(None)
    seed: Hyper = integer(0, default=None)

    def start(self, params: Tree, key: Tensor) -> XNESState:
        m = wide(params)
        sigma = (torch.ones_like(m[:1].sum()) * self._field("sigma")).to(m.dtype)
        eye = torch.eye(len(m), dtype=m.dtype, device=m.device)
        return XNESState(key, tree.counter(params), m, sigma, eye, nothing_told(params, m))

    def place(self, state: XNESState, Z: Tensor) -> Tensor:
        return state.sigma * (Z @ state.B.mT)

    def unplace(self, state: XNESState, D: Tensor) -> Tensor:
        return torch.linalg.solve_ex(state.B, D.mT)[0].mT / state.sigma

    def learn(self, state: XNESState, told: Told) -> XNESState:
        m, sigma, B = state.mean, state.sigma, state.B
        n = max(len(m), 1)
        default = 3 * (3 + math.log(n)) / (5 * n * math.sqrt(n))
        lr_sigma = default if self.lr_sigma is None else self._field("lr_sigma")
        lr_shape = default if self.lr_shape is None else self._field("lr_shape")
        Z, u = told.Z.index_select(0, told.order), utilities(len(told.f), m)
        G = (Z.mT * u) @ Z  # the identity is taken Σu = 0 times
        G_sigma = G.diagonal().sum() / n
        eye = torch.eye(len(m), dtype=m.dtype, device=m.device)
        turn = symmetric_function(lr_shape * (G - G_sigma * eye) / 2, torch.exp, torch.exp)
        return state._replace(
            mean=tree.cast(m + self._field("lr_mean") * sigma * (B @ (u @ Z)), m),
            sigma=tree.cast(sigma * torch.exp(lr_sigma / 2 * G_sigma), sigma),
            B=tree.cast(B @ turn, B),
        )

    def extent(self, state: XNESState) -> Tensor:
        return state.sigma * torch.linalg.vector_norm(state.B, dim=1).amax(0)
