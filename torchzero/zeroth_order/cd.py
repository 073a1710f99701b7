"""CD: one coordinate at a time."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper, integer, positive, static
from torchzero.core.module import Module
from torchzero.core.safe import safe_div
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.step_size.base import single
from torchzero.zeroth_order.base import ranked, spread, wide

ORDERS = ("cyclic", "cyclic2", "random")
SMALLEST, LARGEST = 1e-10, 1e10  # of adapted steps


class CDState(NamedTuple):
    """State of CD; n elements of all parameters."""

    key: Tensor  # (2,)  int64, the stream of draws
    k: Tensor  # ()      updates absorbed
    h: Tensor  # (n,)    the difference that each coordinate is probed with
    d: Tensor  # (n,)    the direction
    evaluated: Tensor  # ()  evaluations of the last update away from x0


def _slope(above: Tensor, below: Tensor, h: Tensor) -> Tensor:
    """The slope between two values at a distance h; 0 if one of them failed."""
    known = torch.isfinite(above) & torch.isfinite(below)
    zero = torch.zeros_like(above)
    return torch.where(known, torch.where(known, above, zero) - torch.where(known, below, zero), zero) / h


class CD(Module):
    r"""Coordinate descent: the direction is a single coordinate, up or down, found by values alone.

    $$ d = a\,e_i,\quad a = \begin{cases} \frac{f(θ + h e_i) - f(θ - h e_i)}{2h} & \text{if grad} \\
       -1, 1, 0\ \text{for the best of}\ θ + h e_i,\ θ - h e_i,\ θ & \text{otherwise} \end{cases} $$

    A step size or a line search belongs behind it. Each coordinate has its own h if `adaptive`: it is halved where θ
    is no worse than both other points (not below 1e-10), and otherwise doubled where the two sides differ by less than
    1% or there is no difference to θ at all (not above 1e10). A value that is NaN or infinite is worse than every
    number: the slope is then that of the other side, or 0 if it failed as well.

    Args:
        h: the difference to probe with, positive.
        grad: let the direction have the length of the estimated slope, else 1.
        adaptive: adapt h for each coordinate; needs three points.
        index: "cyclic" 1 2 3 1 2 3 …, "cyclic2" 1 2 3 3 2 1 1 2 3 …, or "random".
        threepoint: look at both sides; otherwise at θ + h eᵢ alone, and a is its slope against θ, or -1 or 1.
        seed: of the random index; drawn when the module is built if None.

    Raises:
        ValueError: for an h outside its range or an unknown index.
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.Chain(tz.m.CD(grad=True), tz.m.LR(0.5)), torch.tensor([3.0, 4.0], dtype=torch.float64)
    >>> state = opt.init(p)
    >>> for _ in range(2):
    ...     p, state = opt(p, state, lambda x: (x**2).sum())
    ...     print(p.round(decimals=6).abs().tolist())
    [0.0, 4.0]
    [0.0, 0.0]

    Reference: Nesterov 2012, https://doi.org/10.1137/100802001, with differences in place of derivatives; Wright 2015,
    https://doi.org/10.1007/s10107-015-0892-3
    """

    needs = frozenset({"objective", "params"})
    makes_update = True
    whole = True

    h: Hyper = positive(1e-3)
    grad: bool = static(default=False)
    adaptive: bool = static(default=True)
    index: str = static("cyclic2", choices=ORDERS)
    threepoint: bool = static(default=True)
    seed: Hyper = integer(0, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init(self, params: Tree) -> CDState:
        like = wide(params)
        (h,) = single(self, "h")
        zero, vector = tree.counter(params), torch.zeros_like(like)
        return CDState(random.key(self.seed, like.device), zero, (vector + h).to(like.dtype), vector, zero)

    def _index(self, state: CDState, n: int) -> Tensor:
        if self.index == "cyclic":
            return state.k % n
        if self.index == "cyclic2":
            i = state.k % (2 * n)
            return torch.where(i < n, i, 2 * n - 1 - i)
        u = random.uniform(random.fold_in(state.key, state.k), (), dtype=torch.float64)
        return (u * n).to(torch.int64).clamp_max(n - 1)

    def update(self, state: CDState, var: Var) -> CDState:
        objective, x = var.need_objective(self), wide(var.params)
        n = len(x)
        if not n:
            return state
        one = torch.arange(n, device=x.device) == self._index(state, n).to(x.device)
        own, (h,) = self.adaptive and self.threepoint, single(self, "h")
        steps = state.h if own else torch.zeros_like(x) + h
        e = torch.where(one, steps, torch.zeros_like(steps)).to(x.dtype)
        h = e.sum()
        f = var.loss if var.has_loss else objective.value(var.params)
        up = objective.value(spread(x + e, var.params)).to(x.dtype)
        f, up = ranked(f.to(x.dtype)), ranked(up)
        right = _slope(up, f, h)
        if self.threepoint:
            down = ranked(objective.value(spread(x - e, var.params)).to(x.dtype))
            best = torch.where((f <= up) & (f <= down), torch.zeros_like(f), torch.where(up < down, -1.0, 1.0).to(f))
            central = _slope(up, down, 2 * h)
            one_sided = torch.where(torch.isfinite(up), right, _slope(f, down, h))
            a = torch.where(torch.isfinite(up) & torch.isfinite(down), central, one_sided) if self.grad else best
            flat = ((f - down).abs() < 1e-12) | ((safe_div(up - f, f - down) - 1).abs() < 1e-2)
            halved, doubled = (h / 2).clamp_min(SMALLEST), (h * 2).clamp_max(LARGEST)
            lowest = (f <= up) & (f <= down)
            adapted = torch.where(lowest, halved, torch.where(flat, doubled, h))
        else:
            a = right if self.grad else torch.where(up < f, -1.0, 1.0).to(f)
            adapted = h
        new = torch.where(one, adapted, state.h) if own else state.h
        d = torch.where(one, a, torch.zeros_like(x))
        count = torch.full_like(state.evaluated, 2 if self.threepoint else 1)
        return CDState(state.key, state.k + 1, new.to(state.h.dtype), d.to(state.d.dtype), count)

    def apply(self, state: CDState, var: Var) -> Var:
        return var.replace(update=tree.cast_like(spread(state.d, var.params), var.params))

    def extent(self, state: CDState) -> Tensor:
        return state.h.amax(0)

    def evaluations(self, state: CDState) -> Tensor:
        return state.evaluated
