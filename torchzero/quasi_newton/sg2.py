"""SG2: a Hessian estimated from gradients at random points nearby."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, nonnegative, positive, static, within
from torchzero.core.module import Module
from torchzero.core.vector import AtVector, VectorTransform
from torchzero.linalg.operators import Dense
from torchzero.linalg.symmetric_function import symmetric_function
from torchzero.quasi_newton.base import at_least_single, tiny


class SG2State(NamedTuple):
    """State of SG2 for n parameters."""

    key: Tensor  # (2,)         of the random directions
    calls: Tensor  # ()         updates seen
    t: Tensor  # ()             estimates made
    H: Tensor  # (n, n)         weighted mean of the estimates
    evaluations: Tensor  # ()   gradients evaluated in the last update


def least_squares(H: Tensor, u: Tensor) -> Tensor:
    """The shortest d that minimises ‖Hd - u‖, for a symmetric H."""

    def inverse(eigenvalues: Tensor) -> Tensor:
        size = eigenvalues.abs()
        some = size > size.amax() * len(H) * torch.finfo(H.dtype).eps
        return torch.where(some, 1 / torch.where(some, eigenvalues, 1.0), 0.0)

    def slope(eigenvalues: Tensor) -> Tensor:
        some = eigenvalues != 0
        return torch.where(some, -1 / torch.where(some, eigenvalues * eigenvalues, 1.0), 0.0)

    return symmetric_function(H, inverse, slope) @ u if len(H) else u


def symmetric_part(a: Tensor, b: Tensor) -> Tensor:
    """½(abᵀ + baᵀ): (n, n)."""
    product = a.unsqueeze(-1) * b
    return (product + product.mT) / 2


class SG2(VectorTransform):
    r"""Precondition with a running mean of Hessians estimated by simultaneous perturbation of the gradient.

    $$ \hat H = \frac1N\sum_{i=1}^N \mathrm{sym}\Bigl(\frac{∇f(x + hΔ_i) - ∇f(x - hΔ_i)}{2h} Δ_i^T\Bigr) + δI,\quad
       H_k = β_kH_{k-1} + (1 - β_k)\hat H,\quad d = H^+u $$

    with Δ of random signs, H₀ the first estimate, and β_k = (k+1)/(k+2) unless given: the first estimate counts twice.
    In the first `start_step` steps d = u/|tr H|. H is not made positive definite; δ > 0 and many samples help.

    Args:
        n_samples: N, whole and ≥ 1: each costs two gradients.
        n_first_step_samples: N in the first step.
        start_step: steps for which only the trace of H is used, whole and ≥ 0.
        beta: β in [0, 1), or None for the rule above.
        damping: δ ≥ 0.
        h: length of the perturbation of each parameter, > 0.
        seed: of the signs; None to draw one from torch's generator.
        update_freq: make an estimate in one update of so many, whole and ≥ 1.
        inner: module that makes the direction which is preconditioned.

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SG2(start_step=0, damping=0.0, seed=0), torch.tensor([4.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0].abs() < 1e-3
    tensor([True])

    Reference: Spall 2000, Adaptive stochastic approximation by the simultaneous perturbation method,
    https://doi.org/10.1109/TAC.2000.880982
    """

    needs = frozenset({"params", "objective"})

    n_samples: int = static(1, low=1, integer=True)
    n_first_step_samples: int = static(10, low=1, integer=True)
    start_step: Hyper = integer(0, 10)
    beta: Hyper = within(0, 1, default=None)
    damping: Hyper = nonnegative(1e-4)
    h: Hyper = positive(1e-2)
    seed: Hyper = integer(0, None)
    update_freq: Hyper = integer(1, 1)
    inner: Module | None = child(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init_vector(self, x: Tensor) -> SG2State:
        none = torch.zeros((), dtype=torch.int64, device=x.device)
        H = torch.zeros(x.numel(), x.numel(), dtype=at_least_single(x.dtype), device=x.device)
        return SG2State(random.key(self.seed, x.device), none, none, H, none)

    def _estimate(self, state: SG2State, at: AtVector, samples: int) -> Tensor:
        objective = at.var.need_objective(self)
        unravel = tree.ravel(at.var.params)[1]
        H = torch.zeros_like(state.H)
        for key in random.split(random.fold_in(state.key, state.calls), samples):
            signs = random.rademacher(key, at.x.shape, at.x.dtype)
            ends = [objective.value_and_grad(unravel(at.x + side * self.h * signs))[1] for side in (1, -1)]
            plus, minus = (tree.ravel(g)[0].to(H.dtype) for g in ends)
            H = H + symmetric_part((plus - minus) / (2 * self.h), signs.to(H.dtype))
        return H / samples + self.damping * torch.eye(len(H), dtype=H.dtype, device=H.device)

    def update_vector(self, state: SG2State, u: Tensor, at: AtVector) -> SG2State:
        first = state.t == 0

        def begun() -> tuple[Tensor, Tensor]:
            samples = self.n_first_step_samples
            return self._estimate(state, at, samples), torch.full_like(state.t, 2 * samples)

        def went_on() -> tuple[Tensor, Tensor]:
            t = state.t.to(torch.float64)
            beta = ((t + 1) / (t + 2)).to(state.H.dtype) if self.beta is None else self.beta
            mean = beta * state.H + (1 - beta) * self._estimate(state, at, self.n_samples)
            return mean, torch.full_like(state.t, 2 * self.n_samples)

        def refreshed() -> tuple[Tensor, Tensor]:
            H, cost = cond(first, begun, went_on)
            ok = torch.isfinite(H).all()
            return torch.where(ok, H, state.H), cost

        due = first | (state.calls % self.update_freq == 0)
        H, cost = cond(due, refreshed, lambda: (state.H, torch.zeros_like(state.t)))
        return SG2State(state.key, state.calls + 1, state.t + due, H, cost)

    def apply_vector(self, state: SG2State, u: Tensor, at: AtVector) -> Tensor:
        u = u.to(state.H.dtype)
        trace = state.H.diagonal().sum().abs()
        some = trace > tiny(trace)
        early = u / torch.where(some, trace, 1.0)
        return cond(state.calls <= self.start_step, lambda: early, lambda: least_squares(state.H, u))

    def operator_vector(self, state: SG2State) -> Dense:
        return Dense(state.H)

    def evaluations(self, state: Any) -> Any:
        own = state.own if self.children() else state
        return own.evaluations + super().evaluations(state)
