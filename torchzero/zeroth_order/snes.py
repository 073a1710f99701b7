"""SNES: natural gradient on the mean and the width of every parameter."""

import math

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, nonnegative, positive, static
from torchzero.zeroth_order.base import Separable, SeparableState, Told


def utilities(size: int, like: Tensor) -> Tensor:
    """What the best, second best, ... of a population count: (λ,), with sum 0."""
    raw = [max(0.0, math.log(size / 2 + 1) - math.log(k)) for k in range(1, size + 1)]
    total = sum(raw)
    return torch.tensor([u / total - 1 / size for u in raw], dtype=like.dtype, device=like.device)


class SNES(Separable):
    r"""Separable natural evolution: follow the natural gradient of the expected rank, element by element.

    $$ x_i = m + σ ⊙ z_i,\quad z_i \sim N(0, I),\quad
       m \leftarrow m + η_m σ ⊙ \sum_i u_i z_{i:λ},\quad
       σ \leftarrow σ ⊙ \exp\left(\frac{η_σ}{2} \sum_i u_i (z_{i:λ}^2 - 1)\right) $$
    $$ u_i = \frac{\max\{0, \ln(λ/2 + 1) - \ln i\}}{\sum_j \max\{0, \ln(λ/2 + 1) - \ln j\}} - \frac1λ $$

    Memory and time grow with n alone. A step in a chain asks and tells one population, and the parameters become m.
    Results do not change under increasing maps of the loss.

    Args:
        sigma: σ at the start, positive; a tree gives each of its parameters its own.
        population: λ, at least 2; $4 + ⌊3 \ln n⌋$ if None.
        lr_mean: $η_m$, at least 0.
        lr_sigma: $η_σ$, at least 0; $(3 + \ln n) / (5 \sqrt n)$ if None.
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for a number outside its range.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.SNES(seed=0), torch.ones(5)
    >>> state = opt.init(p)
    >>> for _ in range(150):
    ...     p, state = opt(p, state, lambda x: (x**2).sum())
    >>> bool(p.abs().max() < 1e-3)
    True

    Reference: Schaul, Glasmachers & Schmidhuber 2011, algorithm 2, https://doi.org/10.1145/2001576.2001692; Wierstra et
    al. 2014, table 1, https://jmlr.org/papers/v15/wierstra14a.html
    """

    sigma: Hyper = positive(1.0)
    population: int | None = static(None, low=2, integer=True)
    lr_mean: Hyper = nonnegative(1.0)
    lr_sigma: Hyper = nonnegative(None)
    seed: Hyper = integer(0, default=None)

    def learn(self, state: SeparableState, told: Told) -> SeparableState:
        m, sigma = state.mean, state.sigma
        n = max(len(m), 1)
        lr_sigma = (3 + math.log(n)) / (5 * math.sqrt(n)) if self.lr_sigma is None else self._field("lr_sigma")
        Z, u = told.Z.index_select(0, told.order), utilities(len(told.f), m)
        mean = m + self._field("lr_mean") * sigma * (u @ Z)
        width = sigma * torch.exp(lr_sigma / 2 * (u @ (Z * Z - 1)))
        return state._replace(mean=tree.cast(mean, m), sigma=tree.cast(width, sigma))
