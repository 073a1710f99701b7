"""CEM: fit a Gaussian to the elite, and draw from it."""

import torch

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, nonnegative, positive, static, within
from torchzero.core.safe import safe_sqrt
from torchzero.zeroth_order.base import Separable, SeparableState, Told


class CEM(Separable):
    r"""The cross-entropy method: the next Gaussian is that of the best points of this one.

    $$ x_i = m + σ ⊙ z_i,\quad z_i \sim N(0, I),\quad \hat m, \hat σ = \text{mean and deviation of the elite} $$
    $$ m \leftarrow α \hat m + (1 - α) m,\quad σ \leftarrow \max\{α \hat σ + (1 - α) σ,\ σ_{\min}\} $$

    The deviation is that of maximum likelihood, without Bessel's correction. It shrinks wherever the minimum is, so
    that a first σ that does not reach as far as the minimum, or too small a population, ends short of it. A step in a
    chain asks and tells one population, and the parameters become m.

    Args:
        sigma: σ at the start, positive; a tree gives each of its parameters its own.
        population: at least 2.
        elite: the part of the population that is the elite, in [0, 1]; at least one point is.
        smoothing: α in (0, 1]; 1 forgets the last Gaussian.
        min_sigma: $σ_{\min}$, at least 0: keeps the search from ending too soon.
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for a number outside its range.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.CEM(seed=0), torch.ones(3)
    >>> state = opt.init(p)
    >>> for _ in range(30):
    ...     p, state = opt(p, state, lambda x: (x**2).sum())
    >>> bool(p.abs().max() < 1e-3)
    True

    Reference: de Boer, Kroese, Mannor & Rubinstein 2005, algorithm 4.1 with smoothing,
    https://doi.org/10.1007/s10479-005-5724-z
    """

    sigma: Hyper = positive(1.0)
    population: int = static(50, low=2, integer=True)
    elite: float = static(0.2, low=0, high=1)
    smoothing: Hyper = within(0, 1, default=0.8, closed_low=False, closed_high=True)
    min_sigma: Hyper = nonnegative(0.0)
    seed: Hyper = integer(0, default=None)

    def learn(self, state: SeparableState, told: Told) -> SeparableState:
        m, alpha = state.mean, self._field("smoothing")
        count = max(1, round(self.elite * len(told.f)))
        X = told.X.index_select(0, told.order[:count])
        centre = X.mean(0)
        width = safe_sqrt(((X - centre) ** 2).mean(0))
        sigma = alpha * width + (1 - alpha) * state.sigma
        least = torch.zeros_like(sigma) + self._field("min_sigma")
        mean = alpha * centre + (1 - alpha) * m
        return state._replace(mean=tree.cast(mean, m), sigma=tree.cast(torch.maximum(sigma, least), m))
