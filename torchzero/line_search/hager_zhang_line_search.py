"""HagerZhangLineSearch: the line search of CG_DESCENT, which works down to the last bits."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core.control import cond, while_loop
from torchzero.core.hyper import Hyper, integer, is_number, nonnegative, positive, static, within
from torchzero.core.tree import Tree
from torchzero.line_search.base import Found, Line, LineSearch, is_finite
from torchzero.line_search.first_trial import A_INIT, Last, first_trial, no_last, remember, unknown

# What the next trial is: in search of a bracket or of its end; the two secant steps; a bisection.
OUTSIDE, FIRST, SECOND, MIDDLE = range(4)


class Search(NamedTuple):
    """Where the search stands. A point is (a, φ(a), φ'(a))."""

    a: Tensor  # ()               the next trial
    phase: Tensor  # () int64     what it is
    low: Tensor  # (3,)           the end with φ' < 0 and φ ≤ φ(0) + ε|φ(0)|
    high: Tensor  # (3,)          the other end, which is longer
    bracketed: Tensor  # () bool  whether there is another end
    proper: Tensor  # () bool     whether φ' ≥ 0 there
    check: Tensor  # () bool      whether the bracket has to have shrunk enough when a proper end is found
    width: Tensor  # ()           of the bracket before the secant steps
    k: Tensor  # () int64         evaluations
    done: Tensor  # () bool
    success: Tensor  # () bool
    found: Tensor  # (3,)         the last point
    grad: Tree  # like params     the gradient there


def secant(p: Tensor, q: Tensor) -> Tensor:
    """Where the line through two slopes is zero; NaN where it is level."""
    (a, _, d), (b, _, e) = p.unbind(), q.unbind()
    rise = e - d
    level = rise == 0
    root = (a * e - b * d) / torch.where(level, torch.ones_like(rise), rise)
    return torch.where(level, torch.full_like(root, torch.nan), root)


class HagerZhangLineSearch(LineSearch):
    r"""Find a step by the Wolfe conditions, or by what they become where rounding hides the decrease.

    Either the Wolfe conditions hold, or the approximate ones:

    $$ φ(a) ≤ φ(0) + δ a φ'(0),\quad φ'(a) ≥ σ φ'(0) $$
    $$ (2δ - 1) φ'(0) ≥ φ'(a) ≥ σ φ'(0),\quad φ(a) ≤ φ(0) + ε|φ(0)| $$

    The bracket shrinks by a double secant step, and by bisection when that has not shrunk it to γ of its width. Near a
    minimum φ(a) - φ(0) is nothing but rounding, and the second form, which needs only slopes, is still right. A trial
    where φ or φ' is not finite is too long. If u is not a descent direction, or the evaluations are used up, the search
    fails: the step is zero, and the next search begins with half of what it would have begun with.

    The first trial is chosen as by `StrongWolfe`; the paper's own choice is for conjugate gradients only.

    Args:
        delta: δ, in (0, 0.5).
        sigma: σ, in [δ, 1).
        epsilon: ε ≥ 0, the relative error of φ.
        theta: where a bracket is cut in two whose longer end is not a proper one, in (0, 1).
        gamma: γ, in (0, 1).
        rho: by how much the trial grows while there is no bracket, > 1.
        a_init: "fixed", "previous", "first-order", "quadratic" or "quadratic-clip"; see `StrongWolfe`.
        init_value: the first trial when it is fixed, > 0.
        a_max: the longest trial, > 0.
        maxiter: the most evaluations, at least 1.
        adaptive: whether a failure halves the next first trial.

    Raises:
        ValueError: for a number outside its range, δ > σ, or an unknown mode.

    >>> import torch, torchzero as tz
    >>> search = tz.m.HagerZhangLineSearch(sigma=0.1)
    >>> params, state = search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())
    >>> params, state.a, state.evaluations
    (tensor([0.]), tensor(0.5000), tensor(2))

    Reference: Hager & Zhang 2005, https://doi.org/10.1137/030601880
    """

    keeps_gradient = True

    delta: Hyper = within(0, 0.5, default=0.1, closed_low=False)
    sigma: Hyper = within(0, 1, default=0.9, closed_low=False)
    epsilon: Hyper = nonnegative(1e-6)
    theta: Hyper = within(0, 1, default=0.5, closed_low=False)
    gamma: Hyper = within(0, 1, default=0.66, closed_low=False)
    rho: Hyper = within(1, float("inf"), default=5.0, closed_low=False)
    a_init: str = static("fixed", choices=A_INIT)
    init_value: Hyper = positive(1)
    a_max: Hyper = positive(1e12)
    maxiter: Hyper = integer(1, 50)
    adaptive: bool = static(True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_number(self.delta) and is_number(self.sigma) and self.delta > self.sigma:
            raise ValueError(
                f"HagerZhangLineSearch(delta={self.delta!r}): must be at most sigma={self.sigma!r}; choose it smaller"
            )

    def recall(self, like: Tensor) -> Last:
        return no_last(self.a_init, like)

    def forget(self, memory: Last) -> Last:
        return unknown(memory)

    def search(self, line: Line, memory: Last) -> tuple[Found, Last]:
        delta, sigma, epsilon, theta = line.settings(self, "delta", "sigma", "epsilon", "theta")
        gamma, rho, init_value, a_max = line.settings(self, "gamma", "rho", "init_value", "a_max")
        (maxiter,) = line.settings(self, "maxiter")
        slope0, f0, no, zero = line.slope0, line.f0, line.flag(), line.count()
        ceiling = f0 + epsilon * f0.abs()
        steepest, flattest, decline = sigma * slope0, (2 * delta - 1) * slope0, delta * slope0

        def body(at: Search) -> Search:
            f, slope, grad = line.value_and_slope(at.a)
            finite = is_finite(f + slope)
            # What is not finite is looked at no further; numbers in its place keep derivatives finite.
            new = torch.where(finite, torch.stack([at.a, f, slope]), torch.stack([at.a, f0, slope0]))
            low_enough = finite & (f <= ceiling)
            wolfe = f - f0 <= decline * at.a  # false where rounding hides the decrease
            success = finite & (slope >= steepest) & (wolfe | ((slope <= flattest) & low_enough))

            rising = finite & (slope >= 0)
            falling = low_enough & (slope < 0)
            low = torch.where(falling, new, at.low)
            high = torch.where(falling, at.high, new)
            bracketed = at.bracketed | ~falling
            proper = torch.where(falling, at.proper, rising)
            check = at.check | (at.phase == FIRST) | (at.phase == SECOND)

            def stop() -> tuple[Tensor, ...]:
                return at.a, at.phase, at.width, no

            def grow() -> tuple[Tensor, ...]:
                return (rho * at.a).clamp_max(a_max), zero + OUTSIDE, at.width, at.a >= a_max

            def cut() -> tuple[Tensor, ...]:
                a = low[0] + theta * (high[0] - low[0])
                return a, zero + OUTSIDE, at.width, (a <= low[0]) | (a >= high[0])

            def shrink() -> tuple[Tensor, ...]:
                a, b = low[0], high[0]
                width = b - a
                middle = a + 0.5 * width
                # The second secant step goes through the new end and the one that it replaces.
                twice = secant(torch.where(falling, at.low, at.high), new)
                second = (at.phase == FIRST) & (rising | falling) & (twice > a) & (twice < b)
                slow = ~second & check & (width > gamma * at.width)
                once = secant(low, high)
                inside = (once > a) & (once < b)
                trial = torch.where(inside, once, middle)
                trial = torch.where(second, twice, torch.where(slow, middle, trial))
                phase = torch.where(inside, FIRST, MIDDLE)
                phase = torch.where(second, SECOND, torch.where(slow, MIDDLE, phase))
                width = torch.where(second | slow, at.width, width)
                return trial, phase, width, (trial <= a) | (trial >= b)

            def advance() -> tuple[Tensor, ...]:
                return cond(bracketed, lambda: cond(proper, shrink, cut), grow)

            a, phase, width, stuck = cond(success, stop, advance)
            return Search(
                a=a,
                phase=phase,
                low=low,
                high=high,
                bracketed=bracketed,
                proper=proper,
                check=check & ~proper,
                width=width,
                k=at.k + 1,
                done=success | stuck,
                success=success,
                found=new,
                grad=grad,
            )

        here = torch.stack([torch.zeros_like(f0), f0, slope0])
        start = Search(
            a=first_trial(self.a_init, line, slope0, init_value, memory).clamp_max(a_max),
            phase=zero + OUTSIDE,
            low=here,
            high=here,
            bracketed=no,
            proper=no,
            check=no,
            width=torch.zeros_like(f0),
            k=zero,
            done=~((slope0 < 0) & is_finite(f0)),
            success=no,
            found=here,
            grad=line.grad0,
        )
        end = while_loop(lambda at: ~at.done & (at.k < maxiter), body, start)
        a, f, _ = end.found.unbind()
        found = Found(a, f, end.grad, end.success, end.k)
        return found, remember(line, slope0, found, memory, self.adaptive)
