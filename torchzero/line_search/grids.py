"""Grid searches: the best of step sizes that are known beforehand. They differ in the grid."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.control import while_loop
from torchzero.core.hyper import Hyper, is_number, number, positive, static
from torchzero.core.objective import FunctionObjective
from torchzero.core.var import Var
from torchzero.line_search.base import Found, Line, LineSearch, LineSearchState, log_step


class Walk(NamedTuple):
    """Where a walk along the grid stands."""

    i: Tensor  # () int64     the next step size
    best: Tensor  # () int64  the one with the lowest φ so far
    f: Tensor  # ()           φ there; inf before
    done: Tensor  # () bool


class _Grid(LineSearch):
    """Take the step size of a grid with the lowest φ; subclasses give the grid and say when to stop early.

    With a function as objective all are evaluated at once, by vmap; through closures one after the other.
    """

    needs = frozenset({"objective", "value"})
    stop_on_improvement = False
    stop_on_worsened = False
    log_lrs = False

    def grid(self, line: Line) -> Tensor:
        """The step sizes in the order of evaluation: (n,)."""
        raise TypeError(f"{type(self).__name__} must implement grid(line)")

    def _stops(self, f: Tensor, lowest: Tensor, f0: Tensor) -> Tensor:
        """Whether to stop after φ = f, when the lowest before it is `lowest`; either of any shape."""
        stop = torch.zeros_like(f, dtype=torch.bool)
        if self.stop_on_improvement:
            stop = stop | (f < f0)
        return stop | (f > lowest) if self.stop_on_worsened else stop

    def search(self, line: Line, memory: Any) -> tuple[Found, Any]:
        grid = self.grid(line)
        found = self._at_once if isinstance(line.objective, FunctionObjective) else self._in_turn
        return found(line, grid), memory

    def _at_once(self, line: Line, grid: Tensor) -> Found:
        values = torch.vmap(line.value)(grid)
        values = torch.where(torch.isfinite(values), values, torch.full_like(values, torch.inf))
        lowest = torch.cummin(values, 0).values
        before = torch.cat([torch.full_like(lowest[:1], torch.inf), lowest[:-1]])
        stops = self._stops(values, before, line.f0).to(torch.int64)
        reached = torch.cumsum(stops, 0) - stops == 0
        values = torch.where(reached, values, torch.full_like(values, torch.inf))
        best = torch.argmin(values, 0, keepdim=True)
        f = values.gather(0, best).squeeze(0)
        return Found(grid.gather(0, best).squeeze(0), f, (), torch.isfinite(f), line.count(grid.numel()))

    def _in_turn(self, line: Line, grid: Tensor) -> Found:
        def at(i: Tensor) -> Tensor:
            return grid.gather(0, i.reshape(1)).squeeze(0)

        def body(walk: Walk) -> Walk:
            f = line.value(at(walk.i))
            f = torch.where(torch.isfinite(f), f, torch.full_like(f, torch.inf))
            better = f < walk.f
            best, lowest = torch.where(better, walk.i, walk.best), torch.where(better, f, walk.f)
            return Walk(walk.i + 1, best, lowest, self._stops(f, walk.f, line.f0))

        zero = line.count()
        start = Walk(zero, zero, torch.full_like(line.f0, torch.inf), line.flag())
        end = while_loop(lambda walk: ~walk.done & (walk.i < grid.numel()), body, start)
        return Found(at(end.best), end.f, (), torch.isfinite(end.f), end.i)

    def apply(self, state: LineSearchState, var: Var) -> Var:
        return log_step(self, state, super().apply(state, var))


def _even(line: Line, start: Any, end: Any, n: int) -> Tensor:
    """n numbers from start to end: (n,)."""
    part = torch.arange(n, dtype=line.dtype, device=line.f0.device) / max(n - 1, 1)
    return start + (end - start) * part


class GridLineSearch(_Grid):
    r"""Take the best of `num` step sizes from `start` to `end`.

    $$ a_t = \arg\min_{0 ≤ k < n} φ(a_k),\quad a_k = b + \frac{k}{n - 1}(e - b) $$

    The loss may rise: φ(0) is not among the candidates unless 0 is on the grid. Where φ is finite nowhere on the grid
    the step is zero.

    Args:
        start: b, the first step size.
        end: e, the last one.
        num: n ≥ 1, how many.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> search = tz.m.GridLineSearch(0, 1, 5)
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: none; exhaustive search.
    """

    start: Hyper = number()
    end: Hyper = number()
    num: int = static(low=1, integer=True)

    def grid(self, line: Line) -> Tensor:
        start, end = line.settings(self, "start", "end")
        return _even(line, start, end, self.num)


class GridLS(_Grid):
    r"""Take the best of the given step sizes.

    $$ a_t = \arg\min_k φ(a_k) $$

    The loss may rise: φ(0) is not among the candidates unless 0 is one of them. Where φ is finite nowhere the step is
    zero.

    Args:
        lrs: the step sizes, in the order of evaluation.
        stop_on_improvement: evaluate no more after the first one that is better than φ(0).
        stop_on_worsened: evaluate no more after the first one that is worse than the best before it.
        log_lrs: publish the step size as `attrs["line_search.lr"]`.

    Raises:
        ValueError: for an empty sequence, or one of something else than finite numbers.

    >>> import torch, torchzero as tz
    >>> search = tz.m.GridLS([0.1, 0.5, 2.0])
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: none; exhaustive search.
    """

    lrs: Sequence[float] = static()
    stop_on_improvement: bool = static(False)
    stop_on_worsened: bool = static(False)
    log_lrs: bool = static(False)

    def __post_init__(self) -> None:
        if not isinstance(self.lrs, list | tuple) or not self.lrs or not all(map(_finite, self.lrs)):
            raise ValueError(f"GridLS(lrs={self.lrs!r}): must be finite numbers, at least one, in a list or tuple")
        super().__post_init__()

    def grid(self, line: Line) -> Tensor:
        return torch.tensor(self.lrs, dtype=line.dtype, device=line.f0.device)


def _finite(x: Any) -> bool:
    return is_number(x) and abs(x) < float("inf")


class LinspaceLS(_Grid):
    r"""Take the best of evenly spaced step sizes, by their number.

    $$ a_t = \arg\min_{0 ≤ k < n} φ(a_k),\quad a_k = b + \frac{k}{n - 1}(e - b) $$

    As `GridLineSearch`, with early stops.

    Args:
        start: b, the first step size.
        end: e, the last one.
        steps: n ≥ 1, how many.
        stop_on_improvement: evaluate no more after the first one that is better than φ(0).
        stop_on_worsened: evaluate no more after the first one that is worse than the best before it.
        log_lrs: publish the step size as `attrs["line_search.lr"]`.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> search = tz.m.LinspaceLS(0.25, 1, steps=4)
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: none; exhaustive search.
    """

    start: Hyper = number(0.001)
    end: Hyper = number(2)
    steps: int = static(10, low=1, integer=True)
    stop_on_improvement: bool = static(False)
    stop_on_worsened: bool = static(False)
    log_lrs: bool = static(False)

    def grid(self, line: Line) -> Tensor:
        start, end = line.settings(self, "start", "end")
        return _even(line, start, end, self.steps)


class ArangeLS(_Grid):
    r"""Take the best of evenly spaced step sizes, by their distance.

    $$ a_t = \arg\min_k φ(a_k),\qquad a_k = b + k h < e $$

    As `GridLS` otherwise.

    Args:
        start: b, the first step size.
        end: e, above `start`; not on the grid itself.
        step: h > 0. The field is called `spacing`, as `step` is the function that takes a step.
        stop_on_improvement: evaluate no more after the first one that is better than φ(0).
        stop_on_worsened: evaluate no more after the first one that is worse than the best before it.
        log_lrs: publish the step size as `attrs["line_search.lr"]`.

    Raises:
        ValueError: for a number outside its range, or an empty grid.

    >>> import torch, torchzero as tz
    >>> search = tz.m.ArangeLS(0.25, 1, step=0.25)
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: none; exhaustive search.
    """

    start: float = static(0.001, low=-1e300)
    end: float = static(2, low=-1e300)
    spacing: float = static(0.1, low=1e-300)
    stop_on_improvement: bool = static(False)
    stop_on_worsened: bool = static(False)
    log_lrs: bool = static(False)

    def __init__(
        self,
        start: float = 0.001,
        end: float = 2,
        step: float = 0.1,
        stop_on_improvement: bool = False,
        stop_on_worsened: bool = False,
        log_lrs: bool = False,
    ) -> None:
        self._write("start", start)
        self._write("end", end)
        self._write("spacing", step)
        self._write("stop_on_improvement", stop_on_improvement)
        self._write("stop_on_worsened", stop_on_worsened)
        self._write("log_lrs", log_lrs)
        self._validate()
        if end <= start:
            raise ValueError(f"ArangeLS(end={end!r}): must be above start={start!r}; choose a larger end")

    def grid(self, line: Line) -> Tensor:
        return torch.arange(self.start, self.end, self.spacing, dtype=line.dtype, device=line.f0.device)


class MultiplicativeLS(_Grid):
    r"""Grow the step size as long as the loss falls.

    $$ a_t = \arg\min_{k < n} φ(a_k),\qquad a_k = μ^k a_0 $$

    up to the first $a_k$ that is worse than the best before it, unless told otherwise. As `GridLS` otherwise.

    Args:
        init: $a_0$ > 0. The field is called `initial`, as `init` is the function that makes states.
        mul: μ > 0.
        num: n ≥ 1, the most evaluations.
        stop_on_improvement: evaluate no more after the first one that is better than φ(0).
        stop_on_worsened: evaluate no more after the first one that is worse than the best before it.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> search = tz.m.MultiplicativeLS(init=0.125)
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: none; made for this library.
    """

    initial: Hyper = positive(0.001)
    mul: Hyper = positive(2)
    num: int = static(10, low=1, integer=True)
    stop_on_improvement: bool = static(False)
    stop_on_worsened: bool = static(True)

    def __init__(
        self,
        init: Hyper = 0.001,
        mul: Hyper = 2,
        num: int = 10,
        stop_on_improvement: bool = False,
        stop_on_worsened: bool = True,
    ) -> None:
        self._write("initial", init)
        self._write("mul", mul)
        self._write("num", num)
        self._write("stop_on_improvement", stop_on_improvement)
        self._write("stop_on_worsened", stop_on_worsened)
        self._validate()

    def grid(self, line: Line) -> Tensor:
        return _powers(line, line.settings(self, "initial", "mul"), self.num)


def _powers(line: Line, settings: tuple[Any, ...], n: int) -> Tensor:
    """init, init mul, init mul², ...: (n,)."""
    init, mul = settings
    return init * line.number(mul) ** torch.arange(n, dtype=line.dtype, device=line.f0.device)


class BacktrackingLS(_Grid):
    r"""Take the first of the steps $a_0, μa_0, μ^2a_0, …$ that decreases the loss at all.

    $$ φ(a_k) < φ(0),\qquad a_k = μ^k a_0,\quad k < n $$

    If none does, the best of them is taken, so that the loss may rise; `Backtracking(condition="decrease")` stays where
    it is then.

    Args:
        init: $a_0$ > 0. The field is called `initial`, as `init` is the function that makes states.
        mul: μ > 0.
        num: n ≥ 1, the most evaluations.
        stop_on_improvement: evaluate no more after the first one that is better than φ(0).
        stop_on_worsened: evaluate no more after the first one that is worse than the best before it.
        log_lrs: publish the step size as `attrs["line_search.lr"]`.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> search = tz.m.BacktrackingLS()
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: none; made for this library.
    """

    initial: Hyper = positive(1)
    mul: Hyper = positive(0.5)
    num: int = static(10, low=1, integer=True)
    stop_on_improvement: bool = static(True)
    stop_on_worsened: bool = static(False)
    log_lrs: bool = static(False)

    def __init__(
        self,
        init: Hyper = 1,
        mul: Hyper = 0.5,
        num: int = 10,
        stop_on_improvement: bool = True,
        stop_on_worsened: bool = False,
        log_lrs: bool = False,
    ) -> None:
        self._write("initial", init)
        self._write("mul", mul)
        self._write("num", num)
        self._write("stop_on_improvement", stop_on_improvement)
        self._write("stop_on_worsened", stop_on_worsened)
        self._write("log_lrs", log_lrs)
        self._validate()

    def grid(self, line: Line) -> Tensor:
        return _powers(line, line.settings(self, "initial", "mul"), self.num)
