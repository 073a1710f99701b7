"""PGPE: policy gradients with parameter-based exploration."""

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, nonnegative, positive, static, within
from torchzero.zeroth_order.base import Separable, SeparableState, Told


def centred_ranks(f: Tensor) -> Tensor:
    """From ½ for the least value to -½ for the largest; equal values share the mean of their ranks."""
    less, same = f[:, None] > f, f[:, None] == f
    twice = 2 * less.sum(1) + same.sum(1) - 1
    return 0.5 - twice.to(f.dtype) / (2 * max(len(f) - 1, 1))


def negated(f: Tensor) -> Tensor:
    """-f; a failed evaluation counts as the worst of the others."""
    finite = torch.isfinite(f)
    worst = torch.where(finite, f, torch.full_like(f, -torch.inf)).amax(0)
    worst = torch.where(torch.isfinite(worst), worst, torch.zeros_like(worst))
    return -torch.where(finite, f, worst)


class PGPE(Separable):
    r"""Gradient ascent on the expected reward of a Gaussian, by default from mirrored pairs of samples.

    $$ m \leftarrow m + \frac{α_m}{N} \sum_i ε_i \frac{r_i^+ - r_i^-}{2},\quad
       σ \leftarrow σ + \frac{α_σ}{N} \sum_i \frac{ε_i^2 - σ^2}{σ} \left(\frac{r_i^+ + r_i^-}{2} - b\right) $$

    with N pairs $x_i^± = m ± ε_i$, $ε_i \sim N(0, σ^2)$, rewards $r_i^±$, high for a low loss, and b the mean of all
    rewards. If not symmetric, with λ samples $x_i = m + ε_i$,

    $$ m \leftarrow m + \frac{α_m}{λ} \sum_i ε_i (r_i - b),\quad
       σ \leftarrow σ + \frac{α_σ}{λ} \sum_i \frac{ε_i^2 - σ^2}{σ} (r_i - b). $$

    No element of σ changes by more than the part `max_change` of itself in a generation. The paper's baseline b is a
    mean over generations, and it has no such bound. A step in a chain asks and tells one population, and the parameters
    become m.

    Args:
        sigma: σ at the start, positive; a tree gives each of its parameters its own.
        population: λ = 2N, at least 2, an even number if symmetric.
        lr_mean: $α_m$, at least 0.
        lr_sigma: $α_σ$, at least 0.
        symmetric: sample in mirrored pairs, from which the mean of the loss and its even part cancel.
        ranking: "centered": the reward is the rank, from -½ to ½, so that the scale of the loss does not matter;
            "none": the reward is the loss times -1.
        max_change: in (0, 1).
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for a number outside its range, or an odd population of pairs.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.PGPE(sigma=0.5, seed=0), torch.ones(3)
    >>> state = opt.init(p)
    >>> for _ in range(300):
    ...     p, state = opt(p, state, lambda x: (x**2).sum())
    >>> bool(p.abs().max() < 0.05)
    True

    Reference: Sehnke, Osendorf, Rückstieß, Graves, Peters & Schmidhuber 2010, sections 3.2 and 3.3,
    https://doi.org/10.1016/j.neunet.2009.12.004; the ranking: Salimans et al. 2017, https://arxiv.org/abs/1703.03864
    """

    sigma: Hyper = positive(1.0)
    population: int = static(20, low=2, integer=True)
    lr_mean: Hyper = nonnegative(1.0)
    lr_sigma: Hyper = nonnegative(0.2)
    symmetric: bool = static(default=True)
    ranking: str = static("centered", choices=("centered", "none"))
    max_change: Hyper = within(0, 1, default=0.2, closed_low=False)
    seed: Hyper = integer(0, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.symmetric and self.population % 2:
            raise ValueError(f"PGPE(population={self.population!r}): must be even; samples come in mirrored pairs")

    def draw(self, state: SeparableState) -> Tensor:
        Z = super().draw(state)
        half = Z[: len(Z) // 2]
        return torch.cat([half, -half]) if self.symmetric else Z

    def learn(self, state: SeparableState, told: Told) -> SeparableState:
        m, sigma = state.mean, state.sigma
        reward = (centred_ranks(told.f) if self.ranking == "centered" else negated(told.f)).to(m.dtype)
        r = (reward - reward.mean()) / len(reward)
        # Over a mirrored pair ε r sums to twice ε (r⁺ - r⁻) / 2, so that λ in place of N gives the equations above.
        mean = m + self._field("lr_mean") * sigma * (r @ told.Z)
        slope = sigma * (r @ (told.Z * told.Z - 1))
        bound = self._field("max_change") * sigma
        change = torch.maximum(torch.minimum(self._field("lr_sigma") * slope, bound), -bound)
        return state._replace(mean=tree.cast(mean, m), sigma=tree.cast(sigma + change, sigma))
