"""AdaptiveBacktracking: backtracking that learns where to begin."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, integer, positive, static, within
from torchzero.line_search.base import CONDITIONS, Found, Line, LineSearch, backtrack, decrease, needs


class AdaptiveBacktrackingMemory(NamedTuple):
    """What AdaptiveBacktracking keeps."""

    scale: Tensor  # ()        of the first trial
    beta_scale: Tensor  # ()   of the shrinking factor: smaller after a failure, at most 1


class AdaptiveBacktracking(LineSearch):
    r"""Backtrack from a first trial that would have been accepted at trial m + 1 of the last search.

    $$ φ(a_k) < φ(0) + c\,a_k \min(φ'(0), 0),\qquad a_k = (r_t β)^k s_t a_{\text{init}},\quad k < k_{\max} $$
    $$ s_{t+1} = \begin{cases} ν^m s_t & k = 0\\ γ s_t + (1-γ)\,a_k (r_t β)^{-m} / a_{\text{init}} & k > 0\end{cases} $$

    where k is the accepted trial, and m is `target_iters`. If the loss rises from one trial to the next, and the one
    before was below φ(0), that one is taken. A search without success gives the step zero and leaves $s$, and makes the
    factor smaller, $r_{t+1} = r_t / 1.5$; each success takes back half of that: $r_{t+1} = \min(1, \sqrt{1.5}\,r_t)$.

    Args:
        init: $a_{\text{init}}$ > 0, the first trial of the first search. The field is called `initial`, as `init` is
            the function that makes states.
        beta: β, in (0, 1).
        c: in [0, 1).
        condition: "armijo", above; "goldstein", which also wants $φ(a) > φ(0) + (1-c) a φ'(0)$; or "decrease":
            φ(a) < φ(0).
        maxiter: $k_{\max}$ ≥ 1, the most evaluations.
        target_iters: m ≥ 0.
        nplus: ν ≥ 1.
        scale_beta: γ, in [0, 1).

    Raises:
        ValueError: for a number outside its range, or an unknown condition.

    >>> import torch, torchzero as tz
    >>> search = tz.m.AdaptiveBacktracking(init=0.125)
    >>> params, state = search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())
    >>> params, state.memory.scale
    (tensor([2.2500]), tensor(2.))

    Reference: none for the adaptation; Armijo 1966, https://doi.org/10.2140/pjm.1966.16.1
    """

    initial: Hyper = positive(1.0)
    beta: Hyper = within(0, 1, default=0.5, closed_low=False)
    c: Hyper = within(0, 1, default=1e-4)
    condition: str = static("armijo", choices=CONDITIONS)
    maxiter: Hyper = integer(1, 20)
    target_iters: Hyper = integer(0, 1)
    nplus: Hyper = within(1, float("inf"), default=2.0)
    scale_beta: Hyper = within(0, 1, default=0.0)

    def __init__(
        self,
        init: Hyper = 1.0,
        beta: Hyper = 0.5,
        c: Hyper = 1e-4,
        condition: str = "armijo",
        maxiter: Hyper = 20,
        target_iters: Hyper = 1,
        nplus: Hyper = 2.0,
        scale_beta: Hyper = 0.0,
    ) -> None:
        self._write("initial", init)
        self._write("beta", beta)
        self._write("c", c)
        self._write("condition", condition)
        self._write("maxiter", maxiter)
        self._write("target_iters", target_iters)
        self._write("nplus", nplus)
        self._write("scale_beta", scale_beta)
        self._validate()

    @property
    def needs(self) -> frozenset[str]:
        """The gradient only for the slope at zero."""
        return needs(self.condition)

    def recall(self, like: Tensor) -> AdaptiveBacktrackingMemory:
        return AdaptiveBacktrackingMemory(torch.ones_like(like), torch.ones_like(like))

    def search(self, line: Line, memory: AdaptiveBacktrackingMemory) -> tuple[Found, AdaptiveBacktrackingMemory]:
        init, beta, c, maxiter = line.settings(self, "initial", "beta", "c", "maxiter")
        m, nplus, gamma = line.settings(self, "target_iters", "nplus", "scale_beta")
        scale, beta_scale = map(line.number, memory)
        factor = beta * beta_scale
        found = backtrack(line, init * scale, factor, maxiter, decrease(self.condition, line, c))

        at_once = found.success & (found.evaluations == 1)
        wanted = found.a / factor**m / init
        moved = torch.where(at_once, scale * nplus**m, gamma * scale + (1 - gamma) * wanted)
        tiny, huge = 1e-18, 1e18  # far from what float32 can hold
        moved = torch.where(found.success, moved, scale).clamp(tiny, huge)
        eased = torch.where(found.success, (1.5**0.5 * beta_scale).clamp_max(1), beta_scale / 1.5)
        return found, AdaptiveBacktrackingMemory(moved, eased.clamp_min(tiny))
