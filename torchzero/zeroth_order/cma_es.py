"""CMAES: evolution with a full covariance that learns the shape of the valley."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, positive, static
from torchzero.core.tree import Tree
from torchzero.linalg import symmetric_function
from torchzero.zeroth_order.base import Best, Sampler, Told, nothing_told, wide


class CMAESState(NamedTuple):
    """State of CMAES; n elements of all parameters."""

    key: Tensor  # (2,)    int64, the stream of draws
    t: Tensor  # ()        generations told
    mean: Tensor  # (n,)
    sigma: Tensor  # ()    step size
    C: Tensor  # (n, n)    covariance
    path_sigma: Tensor  # (n,)  evolution path of the step size
    path_c: Tensor  # (n,)      evolution path of the covariance
    best: Best


class Constants(NamedTuple):
    """What the tutorial derives from n and λ."""

    weights: tuple[float, ...]  # (λ,)  the first μ sum to 1, the others are negative or 0
    mu: int
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float
    length: float  # E‖N(0, I)‖


def constants(n: int, size: int, active: bool) -> Constants:
    """The tutorial's default strategy parameters, equations 49 to 58."""
    n = max(n, 1)
    raw = [math.log((size + 1) / 2) - math.log(i) for i in range(1, size + 1)]
    mu = size // 2
    mu_eff = sum(raw[:mu]) ** 2 / sum(w * w for w in raw[:mu])
    c_sigma = (mu_eff + 2) / (n + mu_eff + 5)
    c_1 = 2 / ((n + 1.3) ** 2 + mu_eff)
    c_mu = min(1 - c_1, 2 * (1 / 4 + mu_eff + 1 / mu_eff - 2) / ((n + 2) ** 2 + mu_eff))
    negative = sum(-w for w in raw if w < 0)
    mu_eff_negative = sum(raw[mu:]) ** 2 / sum(w * w for w in raw[mu:])
    alpha = min(1 + c_1 / c_mu, 1 + 2 * mu_eff_negative / (mu_eff + 2), (1 - c_1 - c_mu) / (n * c_mu))
    positive = sum(w for w in raw if w > 0)
    below = alpha / negative if active else 0.0
    return Constants(
        weights=tuple(w / positive if w >= 0 else w * below for w in raw),
        mu=mu,
        mu_eff=mu_eff,
        c_sigma=c_sigma,
        d_sigma=1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_sigma,
        c_c=(4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n),
        c_1=c_1,
        c_mu=c_mu,
        length=math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n)),
    )


def power(C: Tensor, p: float) -> Tensor:
    """C^p of a covariance, eigenvalues that rounding cannot tell from 0 taken for the smallest that it can."""

    def least(x: Tensor) -> Tensor:
        lowest = x[..., -1:] * torch.finfo(C.dtype).eps  # eigenvalues come in ascending order
        return torch.maximum(x, lowest.clamp_min(torch.finfo(C.dtype).tiny))

    return symmetric_function(C, lambda x: least(x) ** p, lambda x: p * least(x) ** (p - 1))


class CMAES(Sampler):
    r"""Covariance matrix adaptation: draw around a mean, and let the best half shape the next distribution.

    $$ x_i = m + σ y_i,\quad y_i = C^{1/2} z_i,\quad z_i \sim N(0, I),\quad
       y_w = \sum_{i ≤ μ} w_i y_{i:λ},\quad m \leftarrow m + σ y_w $$
    $$ p_σ \leftarrow (1 - c_σ) p_σ + \sqrt{c_σ (2 - c_σ) μ_w}\,C^{-1/2} y_w,\quad
       σ \leftarrow σ \exp\left(\frac{c_σ}{d_σ}\left(\frac{‖p_σ‖}{\mathrm{E}‖N(0, I)‖} - 1\right)\right) $$
    $$ p_c \leftarrow (1 - c_c) p_c + h \sqrt{c_c (2 - c_c) μ_w}\,y_w,\quad
       C \leftarrow \left(1 + c_1 δ - c_1 - c_μ \sum_{i ≤ λ} w_i\right) C + c_1 p_c p_c^T
       + c_μ \sum_{i ≤ λ} w_i^∘ y_{i:λ} y_{i:λ}^T $$

    with h = 0 while $‖p_σ‖$ is unusually long, else 1; $δ = (1 - h) c_c (2 - c_c)$; $μ = ⌊λ/2⌋$; the tutorial's default
    constants; and for the negative weights of the worse half $w_i^∘ = w_i n / ‖z_{i:λ}‖^2$, which keeps C positive
    definite. Memory grows with n², time with n³. A step in a chain asks and tells one population, and the parameters
    become m. Results do not change under increasing maps of the loss, and, in distribution, under rotations of the
    parameters; nor under any other linear map that the first C undoes, which is what C learns to do.

    Args:
        sigma: σ at the start, positive: about a third of how far off the solution may be.
        population: λ, at least 2; $4 + ⌊3 \ln n⌋$ if None.
        active: learn from the worse half as well, by negative weights; otherwise they are 0.
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for a number outside its range.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.CMAES(sigma=0.5, seed=0), torch.tensor([-1.0, 1.0])
    >>> state = opt.init(p)
    >>> for _ in range(150):
    ...     p, state = opt(p, state, lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)
    >>> bool((p - 1).abs().max() < 1e-2)
    True

    Reference: Hansen 2016, the CMA evolution strategy: a tutorial, appendix A and table 1,
    https://arxiv.org/abs/1604.00772
    """

    sigma: Hyper = positive(0.5)
    population: int | None = static(None, low=2, integer=True)
    active: bool = static(default=True)
    seed: Hyper = integer(0, default=None)

    def start(self, params: Tree, key: Tensor) -> CMAESState:
        m = wide(params)
        zeros, sigma = torch.zeros_like(m), torch.ones_like(m[:1].sum()) * self._field("sigma")
        eye = torch.eye(len(m), dtype=m.dtype, device=m.device)
        return CMAESState(key, tree.counter(params), m, sigma.to(m.dtype), eye, zeros, zeros, nothing_told(params, m))

    def place(self, state: CMAESState, Z: Tensor) -> Tensor:
        return state.sigma * (Z @ power(state.C, 0.5))

    def unplace(self, state: CMAESState, D: Tensor) -> Tensor:
        return D @ power(state.C, -0.5) / state.sigma

    def learn(self, state: CMAESState, told: Told) -> CMAESState:
        m, sigma, n = state.mean, state.sigma, max(len(state.mean), 1)
        c = constants(n, len(told.f), self.active)
        w = torch.tensor(c.weights, dtype=m.dtype, device=m.device)
        Z = told.Z.index_select(0, told.order)
        Y = Z @ power(state.C, 0.5)
        y, z = w[: c.mu] @ Y[: c.mu], w[: c.mu] @ Z[: c.mu]  # z = C^(-1/2) y
        path_sigma = (1 - c.c_sigma) * state.path_sigma + math.sqrt(c.c_sigma * (2 - c.c_sigma) * c.mu_eff) * z
        length = tree.vector_norm(path_sigma)
        settled = (1 - (1 - c.c_sigma) ** (2 * (state.t.to(torch.float64) + 1))).sqrt().to(m.dtype)
        h = (length / settled < (1.4 + 2 / (n + 1)) * c.length).to(m.dtype)
        path_c = (1 - c.c_c) * state.path_c + h * math.sqrt(c.c_c * (2 - c.c_c) * c.mu_eff) * y
        scaled = torch.where(w < 0, w * n / (Z * Z).sum(1).clamp_min(torch.finfo(m.dtype).tiny), w)
        C = (
            (1 + c.c_1 * (1 - h) * c.c_c * (2 - c.c_c) - c.c_1 - c.c_mu * sum(c.weights)) * state.C
            + c.c_1 * path_c[:, None] * path_c
            + c.c_mu * (Y.mT * scaled) @ Y
        )
        return state._replace(
            mean=m + sigma * y,
            sigma=sigma * torch.exp(c.c_sigma / c.d_sigma * (length / c.length - 1)),
            C=(C + C.mT) / 2,
            path_sigma=path_sigma,
            path_c=path_c,
        )

    def extent(self, state: CMAESState) -> Tensor:
        return state.sigma * state.C.diagonal().amax(0).clamp_min(0).sqrt()
