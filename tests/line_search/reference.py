"""The line searches once more, as plain programs on floats: loops, breaks and returns."""

import math
from collections.abc import Callable
from typing import Any

Phi = Callable[[float], float]


class DoubtfulError(Exception):
    """A decision hangs on rounding."""


def below(x: float, y: float) -> bool:
    """x < y, where that is beyond rounding; NaN is below nothing."""
    if math.isfinite(x) and math.isfinite(y) and abs(x - y) <= 1e-11 * max(abs(x), abs(y)):
        raise DoubtfulError
    return x < y


def counted(phi: Phi) -> tuple[Phi, list[float]]:
    """A function, and where it was evaluated."""
    seen: list[float] = []

    def wrapped(a: float) -> float:
        seen.append(a)
        return phi(a)

    return wrapped, seen


def passes(condition: str, f: float, a: float, f0: float, slope0: float, c: float) -> bool:
    """Whether φ(a) = f is low enough."""
    if not math.isfinite(f):
        return False
    if condition == "decrease":
        return below(f, f0)
    d = min(slope0, 0.0)
    low = below(f, f0 + c * a * d)
    return low and (condition == "armijo" or below(f0 + (1 - c) * a * d, f))


def backtracking(
    phi: Phi, f0: float, slope0: float, init: float, beta: float, c: float, maxiter: int, condition: str
) -> tuple[float, int] | None:
    """The accepted step and the evaluations, or None."""
    last = None
    for k in range(maxiter):
        a = init * beta**k
        f = phi(a)
        if not math.isfinite(f):
            last = None
            continue
        if last is not None and below(last, f) and below(last, f0):
            return a / beta, k + 1
        last = f
        if passes(condition, f, a, f0, slope0, c):
            return a, k + 1
    return None


class Backtracking:
    """With the memory of `Backtracking`."""

    def __init__(self, **settings: Any) -> None:
        self.settings, self.scale = settings, 1.0

    def __call__(self, phi: Phi, f0: float, slope0: float) -> float:
        s = self.settings
        found = backtracking(phi, f0, slope0, s["init"] * self.scale, s["beta"], s["c"], s["maxiter"], s["condition"])
        self.scale = 1.0 if found else self.scale * s["beta"] ** s["maxiter"]
        return found[0] if found else 0.0


class AdaptiveBacktracking:
    """With the memory of `AdaptiveBacktracking`."""

    def __init__(self, **settings: Any) -> None:
        self.settings, self.first, self.shrink = settings, settings["init"], 1.0

    def __call__(self, phi: Phi, f0: float, slope0: float) -> float:
        s = self.settings
        beta = s["beta"] * self.shrink
        found = backtracking(phi, f0, slope0, self.first, beta, s["c"], s["maxiter"], s["condition"])
        if not found:
            self.shrink /= 1.5
            return 0.0
        a, evaluations = found
        if evaluations == 1:
            self.first *= s["nplus"] ** s["target_iters"]
        else:
            aim = a
            for _ in range(s["target_iters"]):
                aim /= beta
            self.first += (1 - s["scale_beta"]) * (aim - self.first)
        self.shrink = min(1.0, self.shrink * math.sqrt(1.5))
        return a


class AdaptiveBisection:
    """With the memory of `AdaptiveBisection`."""

    def __init__(self, **settings: Any) -> None:
        self.settings, self.begin, self.scale = settings, settings["init"], 1.0

    def __call__(self, phi: Phi, f0: float, slope0: float) -> float:
        s = self.settings
        a = self.begin * self.scale
        f = phi(a)
        down = not math.isfinite(f) or below(f0, f)
        factor = s["nminus"] if down else s["nplus"]
        for _ in range(s["maxiter"]):
            f_next = phi(a * factor)
            too_high = not math.isfinite(f_next)
            if down and math.isfinite(f) and below(f, f0) and (too_high or below(f, f_next)):
                break
            if not down and (too_high or below(f, f_next)):
                break
            a, f = a * factor, f_next
        if math.isfinite(f) and below(f, f0):
            self.begin, self.scale = a, 1.0
            return a
        self.begin, self.scale = s["init"], self.scale * s["nminus"] ** s["maxiter"]
        return 0.0


class ArmijoLS:
    """Armijo's rule."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def __call__(self, phi: Phi, f0: float, slope0: float) -> float:
        s = self.settings
        for k in range(s["max_iter"]):
            a = s["alpha"] * s["mul"] ** k
            f = phi(a)
            if math.isfinite(f) and not below(f0 + s["beta"] * a * min(slope0, 0.0), f):
                return a
        return 0.0


class Accepted(Exception):  # noqa: N818
    """Thrown by the search for a step when it sees one."""


class HagerZhang:
    """The line search of section 4 of the paper, procedure by procedure."""

    def __init__(
        self,
        phi: Phi,
        slope: Phi,
        first: float,
        delta: float,
        sigma: float,
        epsilon: float,
        theta: float,
        gamma: float,
        rho: float,
    ) -> None:
        self.phi, self.slope, self.first = phi, slope, first
        self.delta, self.sigma, self.theta, self.gamma, self.rho = delta, sigma, theta, gamma, rho
        self.f0, self.slope0 = phi(0.0), slope(0.0)
        self.ceiling = self.f0 + epsilon * abs(self.f0)
        self.trials: list[float] = []
        self.seen: dict[float, tuple[float, float]] = {0.0: (self.f0, self.slope0)}

    def at(self, c: float) -> tuple[float, float]:
        """φ and φ' at c; stops the search there if the conditions hold (T1 or T2)."""
        if c not in self.seen:
            self.trials.append(c)
            f, d = self.seen[c] = self.phi(c), self.slope(c)
            if math.isfinite(f) and math.isfinite(d):
                steep = not below(d, self.sigma * self.slope0)
                t1 = steep and not below(self.f0 + self.delta * c * self.slope0, f)
                t2 = steep and not below((2 * self.delta - 1) * self.slope0, d) and not below(self.ceiling, f)
                if t1 or t2:
                    raise Accepted
            if len(self.trials) == 50:
                raise StopIteration
        return self.seen[c]

    def run(self) -> float:
        """The step, or 0."""
        try:
            a, b = self.bracket(self.first)
            while True:  # L1 to L3
                new_a, new_b = self.secant2(a, b)
                if new_b - new_a > self.gamma * (b - a):
                    new_a, new_b = self.update(new_a, new_b, 0.5 * (new_a + new_b))
                if (new_a, new_b) == (a, b):
                    return 0.0
                a, b = new_a, new_b
        except Accepted:
            return self.trials[-1]
        except StopIteration:
            return 0.0

    def bracket(self, c: float) -> tuple[float, float]:
        """B0 to B3."""
        low = 0.0
        while True:
            f, d = self.at(c)
            if math.isfinite(f) and math.isfinite(d):
                if d >= 0:
                    return low, c
                if f <= self.ceiling:
                    low, c = c, self.rho * c
                    continue
            return self.close(low, c)

    def close(self, a: float, b: float) -> tuple[float, float]:
        """U3: φ' < 0 and φ is high at b."""
        while True:
            d = (1 - self.theta) * a + self.theta * b
            f, slope = self.at(d)
            if math.isfinite(f) and math.isfinite(slope):
                if slope >= 0:
                    return a, d
                if f <= self.ceiling:
                    a = d
                    continue
            b = d

    def update(self, a: float, b: float, c: float) -> tuple[float, float]:
        """U0 to U3."""
        if not a < c < b:
            return a, b
        f, d = self.at(c)
        if math.isfinite(f) and math.isfinite(d):
            if d >= 0:
                return a, c
            if f <= self.ceiling:
                return c, b
        return self.close(a, c)

    def secant(self, a: float, b: float) -> float:
        """Where the line through two slopes is zero."""
        d_a, d_b = self.seen[a][1], self.seen[b][1]
        return math.nan if d_a == d_b else (a * d_b - b * d_a) / (d_b - d_a)

    def secant2(self, a: float, b: float) -> tuple[float, float]:
        """S1 to S4."""
        c = self.secant(a, b)
        new_a, new_b = self.update(a, b, c)
        if c == new_b:
            return self.update(new_a, new_b, self.secant(b, new_b))
        if c == new_a:
            return self.update(new_a, new_b, self.secant(a, new_a))
        return new_a, new_b
