"""StrongWolfe: bracket a step that satisfies the strong Wolfe conditions, then zoom in on it."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.control import cond, while_loop
from torchzero.core.hyper import Hyper, integer, is_number, nonnegative, positive, static, within
from torchzero.core.tree import Tree
from torchzero.line_search.base import Found, Line, LineSearch, is_finite
from torchzero.line_search.first_trial import A_INIT, Last, first_trial, no_last, remember, unknown
from torchzero.line_search.interpolation import cubic, quadratic, quintic

INTERPOLATION = ("cubic", "quadratic", "bisection", "polynomial", "polynomial2")


class Search(NamedTuple):
    """Where the search stands. A point is (a, φ(a), φ'(a)); before there is a bracket, `low` is the trial before."""

    a: Tensor  # ()               the next trial
    low: Tensor  # (3,)           the best point with sufficient decrease
    high: Tensor  # (3,)          the other end of the bracket, on either side of `low`
    third: Tensor | tuple[()]  # (3,)   the point that was an end last
    has_third: Tensor | tuple[()]  # () bool
    zooming: Tensor  # () bool    whether there is a bracket
    bad: Tensor  # () bool        φ is not finite at `high`
    close: Tensor  # () bool      the next trial is near an end, and was let pass
    k: Tensor  # () int64         evaluations
    zooms: Tensor  # () int64     those within a bracket with finite ends of about the same length
    done: Tensor  # () bool
    success: Tensor  # () bool
    found: Tensor  # (3,)         the last point, or the lowest one
    grad: Tree  # like params     the gradient there


def wide(lower: Tensor, upper: Tensor) -> Tensor:
    """Whether a bracket spans more than two orders of magnitude: its longer end was much too long."""
    return upper > 100 * lower


class StrongWolfe(LineSearch):
    r"""Find a step with sufficient decrease and a sufficiently flat end.

    $$ φ(a) ≤ φ(0) + c_1 a φ'(0),\qquad |φ'(a)| ≤ -c_2 φ'(0) $$

    The step grows, by interpolation of the last two trials, to between 1.01 and 10 times as much, until a bracket is
    found; then the bracket shrinks around `low`, the lowest trial with sufficient decrease. Its other end may be on
    either side of it. A trial closer to an end than a tenth of the bracket, twice in a row, is moved there; near the
    shorter end of a bracket that spans more than two orders of magnitude, to the geometric mean of the ends. A trial
    where φ or φ' is not finite is too long: the search goes halfway back until it is finite. Where φ(a) and φ(0) differ
    by rounding alone, a flat end is enough. If u is not a descent direction, or the evaluations are used up, the search
    fails: the step is zero, and the next search begins with half of what it would have begun with, and so on until one
    succeeds.

    Args:
        c1: sufficient decrease, in (0, 1), below c2.
        c2: flatness, in (0, 1). 0.9 suits quasi-Newton directions, 0.1 conjugate gradients.
        a_init: the first trial: "fixed" (`init_value`), "previous" ($a_{t-1}$), "first-order"
            ($a_{t-1} φ'_{t-1}(0) / φ'_t(0)$), "quadratic" ($2 (f_t - f_{t-1}) / φ'_t(0)$) or "quadratic-clip" (that
            times 1.01, at most 1). While there is nothing to take it from: `init_value`.
        a_max: > 0, the longest trial.
        init_value: > 0.
        maxiter: the most evaluations before there is a bracket with finite ends, at least 1.
        maxzoom: the most evaluations after that, at least 0. Those in a bracket that spans more than two orders of
            magnitude, because the first trial was much too long, do not count, up to maxiter + maxzoom in all.
        maxeval: the most evaluations in all, or None.
        tol_change: ≥ 0: a bracket narrower than this part of its longer end is given up.
        interpolation: "cubic"; "quadratic"; "bisection"; "polynomial", which fits degree 5 to the last three points,
            and as long as there are two probes a tenth into the bracket from its shorter end; "polynomial2", which then
            takes a cubic.
        adaptive: whether a failure halves the next first trial.
        fallback: when the search fails, take the lowest trial if it is below φ(0).
        plus_minus: search along -u if that is the way down.
        scale_first: divide `init_value` by ‖u‖₁ if that is larger than 1: for directions such as the gradient, whose
            length says nothing about the step's.
        lb: lower bounds of the parameters: a number, a tree of numbers or tensors like the parameters, -inf for none;
            None for none. No trial goes beyond a bound; one on the first bound that the line meets, from where φ falls
            on, only needs sufficient decrease.
        ub: upper bounds, likewise.

    Raises:
        ValueError: for a number outside its range, c1 ≥ c2, or an unknown mode.

    >>> import torch, torchzero as tz
    >>> search = tz.m.StrongWolfe(c2=0.1)
    >>> params, state = search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())
    >>> params, state.a, state.evaluations
    (tensor([0.]), tensor(0.5000), tensor(2))

    Reference: Nocedal & Wright 2006, Numerical optimization, algorithms 3.5 and 3.6. The safeguards are those of
    torch.optim.LBFGS and of Schmidt's minFunc; in these the end of the bracket that is lower is `low`, here it must
    also have sufficient decrease, as in the book; and their least width of a bracket is a length, here it is a ratio.
    """

    keeps_gradient = True

    c1: Hyper = within(0, 1, default=1e-4, closed_low=False)
    c2: Hyper = within(0, 1, default=0.9, closed_low=False)
    a_init: str = static("fixed", choices=A_INIT)
    a_max: Hyper = positive(1e12)
    init_value: Hyper = positive(1)
    maxiter: Hyper = integer(1, 25)
    maxzoom: Hyper = integer(0, 10)
    maxeval: Hyper = integer(1, None)
    tol_change: Hyper = nonnegative(1e-9)
    interpolation: str = static("cubic", choices=INTERPOLATION)
    adaptive: bool = static(True)
    fallback: bool = static(False)
    plus_minus: bool = static(False)
    scale_first: bool = static(False)
    lb: Hyper = within(-math.inf, math.inf, default=None, closed_high=True, optional=True)
    ub: Hyper = within(-math.inf, math.inf, default=None, closed_high=True, optional=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_number(self.c1) and is_number(self.c2) and self.c1 >= self.c2:
            raise ValueError(f"StrongWolfe(c1={self.c1!r}): must be below c2={self.c2!r}; choose a smaller c1")
        if self.bounded and self.plus_minus:
            raise ValueError("StrongWolfe(plus_minus=True): searches on both sides, and bounds end one; drop lb and ub")

    @property
    def bounded(self) -> bool:
        """Whether there are bounds."""
        return self.lb is not None or self.ub is not None

    def box(self) -> tuple[Any, Any]:
        return self.lb, self.ub

    def recall(self, like: Tensor) -> Last:
        return no_last(self.a_init, like)

    def forget(self, memory: Last) -> Last:
        return unknown(memory)

    def search(self, line: Line, memory: Last) -> tuple[Found, Last]:
        line = Line(line.var, line.objective, self.lb, self.ub)
        slope0, sign = line.slope0, 1
        if self.plus_minus:
            sign = 1 - 2 * (slope0 > 0)
            slope0 = sign * slope0
        f0, no, zero = line.f0, line.flag(), line.count()
        c1, c2, a_max, init_value, tol = line.settings(self, "c1", "c2", "a_max", "init_value", "tol_change")
        maxiter, maxzoom, maxeval = line.settings(self, "maxiter", "maxzoom", "maxeval")
        decline, flat = c1 * slope0, -c2 * slope0
        noise = 2 * torch.finfo(f0.dtype).eps * f0.abs()
        three = self.interpolation.startswith("polynomial")
        a_max = torch.minimum(line.room(), line.number(a_max)) if self.bounded else a_max

        def body(at: Search) -> Search:
            f, slope, grad = line.value_and_slope(sign * at.a if self.plus_minus else at.a)
            slope = sign * slope if self.plus_minus else slope
            finite = is_finite(f + slope)
            # What is not finite is looked at no further; numbers in its place keep derivatives finite.
            new = torch.where(finite, torch.stack([at.a, f, slope]), torch.stack([at.a, f0, slope0]))

            # Nocedal & Wright's two loops in one: before there is a bracket, its other end is beyond all trials.
            a_low, f_low, _ = at.low.unbind()
            inside = at.zooming & ~at.bad & ~wide(torch.minimum(a_low, at.high[0]), torch.maximum(a_low, at.high[0]))
            outward = torch.where(at.zooming, slope * (at.high[0] - a_low), slope) >= 0
            # A trial so near to `low` that φ is equal to the last bit is the better end if φ falls from there on.
            lower = torch.where(outward, f < f_low, f <= f_low)
            enough = finite & (f <= f0 + decline * at.a) & lower
            level = finite & ((f - f0).abs() <= noise)
            success = (enough | level) & (slope.abs() <= flat)
            if self.bounded:
                success = success | (enough & (at.a >= a_max) & (slope < 0))
            turn = enough & outward
            zooming = at.zooming | ~enough | outward
            high = torch.where(enough, torch.where(turn, at.low, at.high), new)
            low = torch.where(enough, new, at.low)
            bad = torch.where(enough, at.bad & ~turn, ~finite)
            third, has_third = self._third(at, enough & ~turn)

            k, zooms = at.k + 1, at.zooms + inside

            def grow() -> tuple[Tensor, Tensor, Tensor]:
                return self._grow(new, at.low, a_max), no, (at.a >= a_max) | (k - zooms >= maxiter)

            def half() -> tuple[Tensor, Tensor, Tensor]:
                return 0.5 * (low[0] + high[0]), no, k - zooms >= maxiter

            def zoom() -> tuple[Tensor, Tensor, Tensor]:
                a, close, narrow = self._zoom(low, high, third, has_third, at.close, tol)
                return a, close, narrow | (zooms >= maxzoom) | (k >= maxiter + maxzoom)

            def advance() -> tuple[Tensor, Tensor, Tensor]:
                return cond(zooming, lambda: cond(bad, half, zoom), grow)

            a, close, over = cond(success, lambda: (at.a, no, no), advance)
            if maxeval is not None:
                over = over | (k >= maxeval)

            found = new
            if self.fallback:
                better = success | (finite & (f < at.found[1]))
                found, grad = torch.where(better, new, at.found), tree.where(better, grad, at.grad)
            return Search(
                a=a,
                low=low,
                high=high,
                third=third,
                has_third=has_third,
                zooming=zooming,
                bad=bad,
                close=close,
                k=k,
                zooms=zooms,
                done=success | over,
                success=success,
                found=found,
                grad=grad,
            )

        here = torch.stack([torch.zeros_like(f0), f0, slope0])
        start = Search(
            a=first_trial(self.a_init, line, slope0, init_value, memory, self.scale_first).clamp_max(a_max),
            low=here,
            high=here,
            third=here if three else (),
            has_third=no if three else (),
            zooming=no,
            bad=no,
            close=no,
            k=zero,
            zooms=zero,
            done=~((slope0 < 0) & is_finite(f0) & (a_max > 0)),
            success=no,
            found=here,
            grad=line.grad0,
        )
        end = while_loop(lambda at: ~at.done, body, start)
        success = end.success | (end.found[1] < f0) if self.fallback else end.success
        a, f, _ = end.found.unbind()
        found = Found(sign * a if self.plus_minus else a, f, end.grad, success, end.k)
        return found, remember(line, slope0, found, memory, self.adaptive)

    def _third(self, at: Search, low_goes: Tensor) -> tuple[Any, Any]:
        """The point that was an end of the bracket last, and whether there is one."""
        if not isinstance(at.third, Tensor) or not isinstance(at.has_third, Tensor):
            return (), ()
        real = low_goes | (at.zooming & ~at.bad)
        return torch.where(real, torch.where(low_goes, at.low, at.high), at.third), real | at.has_third

    def _grow(self, new: Tensor, before: Tensor, a_max: Any) -> Tensor:
        """The next trial while there is no bracket."""
        a = new[0]
        upper = (10 * a).clamp_max(a_max)
        if self.interpolation == "bisection":
            return torch.minimum(2 * a, upper)
        lower = torch.minimum(a + 0.01 * (a - before[0]), upper)
        if self.interpolation == "quadratic":
            return quadratic(new, before, lower, upper, upper)
        return cubic(before, new, lower, upper)

    def _zoom(
        self, low: Tensor, high: Tensor, third: Any, has_third: Any, close: Tensor, tol: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next trial inside the bracket, whether it is near an end and was let pass, and whether to give up."""
        lower, upper = torch.minimum(low[0], high[0]), torch.maximum(low[0], high[0])
        width = upper - lower
        narrow, margin = width <= tol * upper, 0.1 * width
        if self.interpolation == "bisection":
            return 0.5 * (lower + upper), torch.zeros_like(close), narrow
        if self.interpolation == "quadratic":
            a = quadratic(low, high, lower, upper, 0.5 * (lower + upper))
        else:
            a = cubic(low, high, lower, upper)
        if isinstance(third, Tensor):
            two = a if self.interpolation == "polynomial2" else lower + margin
            a = torch.where(has_third, quintic(low, high, third), two)
        to_lower, to_upper = a - lower, upper - a
        away = torch.minimum(to_lower, to_upper)
        near = away < margin
        move = near & (close | (away <= 0))
        # Where the ends differ by orders of magnitude, the one between them is that of their geometric mean.
        further = torch.where((lower > 0) & wide(lower, upper), lower.sqrt() * upper.sqrt(), lower + margin)
        inner = torch.where(to_upper < to_lower, upper - margin, further)
        return torch.where(move, inner, a), near & ~move, narrow
