"""NelderMead: a simplex that reflects, stretches and shrinks its way down."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, positive, static
from torchzero.core.tree import Tree
from torchzero.zeroth_order.base import (
    Best,
    Strategy,
    better,
    check_told,
    nothing_told,
    ranked,
    rows,
    spread,
    wide,
)  # fmt: skip

# what the next point is for
BUILD, REFLECT, EXPAND, OUTSIDE, INSIDE, SHRINK = range(6)


class NelderMeadState(NamedTuple):
    """State of NelderMead; n elements of all parameters."""

    phase: Tensor  # ()      what the next point is for
    i: Tensor  # ()          which vertex is built or shrunk
    simplex: Tensor  # (n + 1, n)  vertices, the best first once they are all known
    values: Tensor  # (n + 1,)
    reflected: Tensor  # (n,)  the reflected point of this iteration
    f_reflected: Tensor  # ()
    asked: Tensor  # ()      points told since the iteration began
    best: Best


class NelderMead(Strategy):
    r"""The downhill simplex method.

    With vertices $x_0 … x_n$ from best to worst and $\bar x$ the mean of all but the worst, an iteration tries
    $\bar x + t(\bar x - x_n)$ with t = ρ (reflection), and after that t = ρχ (expansion) if it is the best so far,
    t = ρψ (outside contraction) or t = -ψ (inside contraction) if it would be the worst; if a contraction fails, all
    vertices move to $x_0 + σ(x_i - x_0)$.

    Points are asked for one at a time; the order of evaluations, and every decision, is scipy's. A step in a chain is
    one iteration, the first builds the simplex. The parameters become the best vertex. Memory grows with n²: for a few
    dozen parameters.

    Args:
        relative: the first simplex is the parameters, and for each element a point where it is multiplied by
            1 + relative; positive.
        absolute: what is added instead to elements that are 0; positive.
        adaptive: let ρ, χ, ψ, σ depend on n: 1, 1 + 2/n, 3/4 - 1/(2n), 1 - 1/n, otherwise 1, 2, 1/2, 1/2. For n = 1
            the latter are used, because 1 - 1/n is 0.

    Raises:
        ValueError: for a number outside its range.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.NelderMead(), torch.tensor([-1.0, 1.0])
    >>> state = opt.init(p)
    >>> for _ in range(100):
    ...     p, state = opt(p, state, lambda x: (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)
    >>> bool((p - 1).abs().max() < 1e-2)
    True

    Reference: Nelder & Mead 1965, https://doi.org/10.1093/comjnl/7.4.308; Lagarias, Reeds, Wright & Wright 1998,
    https://doi.org/10.1137/S1052623496303470; adaptive: Gao & Han 2012, https://doi.org/10.1007/s10589-010-9329-3
    """

    relative: Hyper = positive(0.05)
    absolute: Hyper = positive(0.00025)
    adaptive: bool = static(default=False)

    def _factors(self, n: int) -> tuple[float, float, float, float]:
        if not self.adaptive or n < 2:
            return 1.0, 2.0, 0.5, 0.5
        return 1.0, 1 + 2 / n, 0.75 - 1 / (2 * n), 1 - 1 / n

    def init(self, params: Tree, key: Tensor | None = None) -> NelderMeadState:
        """The state before the first ask; nothing is drawn, so that a key has no effect."""
        x = wide(params)
        sizes = [
            tree.zipmap(lambda p, s: torch.zeros_like(p, dtype=x.dtype) + s, params, size)
            for size in (self.relative, self.absolute)
        ]
        relative, absolute = map(wide, sizes)
        other = torch.where(x == 0, absolute, x + relative * x)
        eye = torch.eye(len(x), dtype=torch.bool, device=x.device)
        simplex = torch.cat([x[None], torch.where(eye, other.to(x.dtype), x)])
        zero = tree.counter(params)
        inf = torch.full_like(simplex.sum(1), math.inf)
        return NelderMeadState(zero, zero, simplex, inf, x, inf[0], zero, nothing_told(params, x))

    def points(self, n: int) -> int:
        return 1

    def _along(self, state: NelderMeadState, t: Any) -> Tensor:
        centre = state.simplex[:-1].sum(0) / max(len(state.simplex) - 1, 1)
        return (1 + t) * centre - t * state.simplex[-1]

    def ask(self, state: NelderMeadState) -> tuple[Tree, NelderMeadState]:
        rho, chi, psi, sigma = self._factors(len(state.simplex) - 1)
        vertex = state.simplex.index_select(0, state.i.reshape(1))[0]
        shrunk = state.simplex[0] + sigma * (vertex - state.simplex[0])
        t = torch.zeros_like(state.f_reflected)
        for phase, factor in ((REFLECT, rho), (EXPAND, rho * chi), (OUTSIDE, rho * psi), (INSIDE, -psi)):
            t = torch.where(state.phase == phase, torch.full_like(t, factor), t)
        x = torch.where(state.phase == BUILD, vertex, torch.where(state.phase == SHRINK, shrunk, self._along(state, t)))
        return spread(x[None], state.best.x), state

    def tell(self, state: NelderMeadState, population: Tree, values: Tensor) -> NelderMeadState:
        check_told(self, state, population, values)
        values = ranked(values)
        x, f = rows(population, state.simplex)[0], values[0].to(state.values.dtype)
        n, phase, fs, fr = len(state.simplex) - 1, state.phase, state.values, state.f_reflected
        last, second = fs[-1], fs[max(n - 1, 0)]
        listed = (phase == BUILD) | (phase == SHRINK)

        # what the point decides: whether it (or the reflected one) replaces the worst vertex, and what comes next
        reflects = phase == REFLECT
        expand, outside = reflects & (f < fs[0]), reflects & (f >= second) & (f < last)
        inside = reflects & ~expand & ~outside & (f >= second)
        takes = (reflects & (f >= fs[0]) & (f < second)) | ((phase == EXPAND) & (f < fr))
        takes = takes | ((phase == OUTSIDE) & (f <= fr)) | ((phase == INSIDE) & (f < last))
        falls_back = (phase == EXPAND) & ~(f < fr)
        shrinks = ((phase == OUTSIDE) | (phase == INSIDE)) & ~takes
        place = torch.where(listed, state.i, torch.full_like(state.i, n))
        here = torch.arange(n + 1, device=x.device) == place
        writes = listed | takes | falls_back
        new_x, new_f = torch.where(falls_back, state.reflected, x), torch.where(falls_back, fr, f)
        simplex = torch.where((here & writes)[:, None], new_x, state.simplex)
        fs = torch.where(here & writes, new_f, fs)

        # an iteration ends with the vertices in order
        ends = torch.where(listed, state.i == n, takes | falls_back)
        order = torch.argsort(fs, stable=True)
        simplex = torch.where(ends, simplex.index_select(0, order), simplex)
        fs = torch.where(ends, fs.gather(0, order), fs)
        following = phase
        for flag, what in ((expand, EXPAND), (outside, OUTSIDE), (inside, INSIDE), (shrinks, SHRINK), (ends, REFLECT)):
            following = torch.where(flag, torch.full_like(phase, what), following)
        return NelderMeadState(
            following,
            torch.where(listed & ~ends, state.i + 1, torch.full_like(state.i, min(n, 1))),
            simplex,
            fs,
            torch.where(reflects, x, state.reflected),
            torch.where(reflects, f, fr),
            torch.where(reflects, torch.zeros_like(state.asked), state.asked) + 1,
            better(state.best, population, values),
        )

    def unfinished(self, state: NelderMeadState) -> Tensor:
        return state.phase != REFLECT

    def evaluations(self, state: NelderMeadState) -> Tensor:
        return state.asked

    def target(self, state: NelderMeadState) -> Tree:
        return state.best.x

    def extent(self, state: NelderMeadState) -> Tensor:
        return (state.simplex - state.simplex[0]).abs().amax((0, 1))
