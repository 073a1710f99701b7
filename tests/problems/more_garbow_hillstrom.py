"""The test problems of Moré, Garbow & Hillstrom, from the formulas of the paper.

Each is a sum of squares Σ r(x)², with the start and the minima that the paper lists. The variable problems are taken in
one to three of the sizes for which it lists a minimum. Everything is float64 and pure, so it works under torch.func and
vmap.

Reference: Moré, Garbow & Hillstrom 1981, Testing Unconstrained Optimization Software, ACM Transactions on Mathematical
Software 7(1), https://doi.org/10.1145/355934.355936
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

SQRT_TINY = math.sqrt(1e-5)  # √a of both penalty functions


class Minimum(NamedTuple):
    """A minimum that the paper lists."""

    value: float  # Σ r², to the six figures of the paper
    near: list[float] | None = None  # this point, or where least squares goes from it; None: from the start

    def attained(self, value: float) -> bool:
        """Whether `value` is this minimum, within its last figure; within 1e-10 if it is zero."""
        return abs(value - self.value) <= (1e-5 * self.value or 1e-10)


class Problem(NamedTuple):
    """A row of the table."""

    name: str
    number: int  # in the paper
    residuals: Callable[[Tensor], Tensor]  # (n,) -> (m,)
    start: list[float]  # n numbers
    minima: tuple[Minimum, ...]

    @property
    def x0(self) -> Tensor:
        """The start: (n,)."""
        return vector(self.start)

    def value(self, x: Tensor) -> Tensor:
        """Σ r(x)²: ()."""
        r = self.residuals(x)
        return (r * r).sum()

    def reached(self, value: float) -> bool:
        """Whether a value is one of the published minima, to the last figure; zeros within 1e-10."""
        return any(minimum.attained(value) for minimum in self.minima)


def vector(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def integers(first: int, last: int) -> Tensor:
    """first, ..., last: as float64."""
    return torch.arange(first, last + 1, dtype=torch.float64)


# ---------------------------------------- two and three variables


def rosenbrock(x: Tensor) -> Tensor:
    a, b = x.unbind()
    return torch.stack([10 * (b - a**2), 1 - a])


def freudenstein_roth(x: Tensor) -> Tensor:
    a, b = x.unbind()
    return torch.stack([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])


def powell_badly_scaled(x: Tensor) -> Tensor:
    a, b = x.unbind()
    return torch.stack([1e4 * a * b - 1, torch.exp(-a) + torch.exp(-b) - 1.0001])


def brown_badly_scaled(x: Tensor) -> Tensor:
    a, b = x.unbind()
    return torch.stack([a - 1e6, b - 2e-6, a * b - 2])


def beale(x: Tensor) -> Tensor:
    a, b = x.unbind()
    return vector([1.5, 2.25, 2.625]) - a * (1 - b ** integers(1, 3))


def jennrich_sampson(x: Tensor) -> Tensor:
    a, b = x.unbind()
    i = integers(1, 10)
    return 2 + 2 * i - (torch.exp(i * a) + torch.exp(i * b))


def helical_valley(x: Tensor) -> Tensor:
    a, b, c = x.unbind()
    # The paper's arctan(b / a) / 2π, plus ½ for a < 0, is in (-¼, ¾): the cut is where a = 0 and b < 0.
    turn = torch.atan2(-a, b) / (2 * math.pi) + 0.25
    return torch.stack([10 * (c - 10 * turn), 10 * (torch.sqrt(a**2 + b**2) - 1), c])


BARD = vector([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard(x: Tensor) -> Tensor:
    a, b, c = x.unbind()
    u = integers(1, 15)
    v = 16 - u
    return BARD - (a + u / (v * b + torch.minimum(u, v) * c))


GAUSSIAN = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]


def gaussian(x: Tensor) -> Tensor:
    a, b, c = x.unbind()
    t = (8 - integers(1, 15)) / 2
    return a * torch.exp(-b * (t - c) ** 2 / 2) - vector([*GAUSSIAN, 0.3989, *reversed(GAUSSIAN)])


MEYER = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]


def meyer(x: Tensor) -> Tensor:
    a, b, c = x.unbind()
    t = 45 + 5 * integers(1, 16)
    return a * torch.exp(b / (t + c)) - vector([float(y) for y in MEYER])


def gulf(x: Tensor) -> Tensor:
    # The paper prints |y m i b|; meant is |y - b|, as its own minimiser shows.
    a, b, c = x.unbind()
    t = integers(1, 99) / 100
    y = 25 + (-50 * torch.log(t)) ** (2 / 3)
    return torch.exp(-((y - b).abs() ** c) / a) - t


def box(x: Tensor) -> Tensor:
    a, b, c = x.unbind()
    t = 0.1 * integers(1, 10)
    return torch.exp(-t * a) - torch.exp(-t * b) - c * (torch.exp(-t) - torch.exp(-10 * t))


# ---------------------------------------- four variables and more


def powell_singular(x: Tensor) -> Tensor:
    """Of one or more groups of four variables."""
    a, b, c, d = x.reshape(-1, 4).unbind(1)
    terms = [a + 10 * b, math.sqrt(5) * (c - d), (b - 2 * c) ** 2, math.sqrt(10) * (a - d) ** 2]
    return torch.stack(terms, 1).reshape(-1)


def wood(x: Tensor) -> Tensor:
    a, b, c, d = x.unbind()
    return torch.stack(
        [
            10 * (b - a**2),
            1 - a,
            math.sqrt(90) * (d - c**2),
            1 - c,
            math.sqrt(10) * (b + d - 2),
            (b - d) / math.sqrt(10),
        ]
    )


KOWALIK_U = vector([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
KOWALIK_Y = vector([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])


def kowalik_osborne(x: Tensor) -> Tensor:
    a, b, c, d = x.unbind()
    u = KOWALIK_U
    return KOWALIK_Y - a * (u**2 + u * b) / (u**2 + u * c + d)


def brown_dennis(x: Tensor) -> Tensor:
    a, b, c, d = x.unbind()
    t = integers(1, 20) / 5
    return (a + t * b - torch.exp(t)) ** 2 + (c + d * torch.sin(t) - torch.cos(t)) ** 2


OSBORNE_1 = vector([
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628,
    0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420,
    0.414, 0.411, 0.406,
])  # fmt: skip


def osborne_1(x: Tensor) -> Tensor:
    a, b, c, d, e = x.unbind()
    t = 10 * integers(0, 32)
    return OSBORNE_1 - (a + b * torch.exp(-t * d) + c * torch.exp(-t * e))


def biggs_exp6(x: Tensor) -> Tensor:
    a, b, c, d, e, f = x.unbind()
    t = 0.1 * integers(1, 13)
    y = torch.exp(-t) - 5 * torch.exp(-10 * t) + 3 * torch.exp(-4 * t)
    return c * torch.exp(-t * a) - d * torch.exp(-t * b) + f * torch.exp(-t * e) - y


OSBORNE_2 = vector([
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616,
    0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495,
    0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672,
    0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581,
    0.428, 0.292, 0.162, 0.098, 0.054,
])  # fmt: skip


def osborne_2(x: Tensor) -> Tensor:
    t = integers(0, 64)[:, None] / 10
    height, rate, centre = x[:4], x[4:8], x[8:]
    decay = torch.exp(-t * rate[:1])
    peaks = torch.exp(-((t - centre) ** 2) * rate[1:])
    return OSBORNE_2 - torch.cat([decay, peaks], 1) @ height


# ---------------------------------------- any number of variables


def watson(x: Tensor) -> Tensor:
    n = len(x)
    t = integers(1, 29)[:, None] / 29
    slope = (integers(1, n - 1) * x[1:] * t ** integers(0, n - 2)).sum(1)
    value = (x * t ** integers(0, n - 1)).sum(1)
    return torch.cat([slope - value**2 - 1, torch.stack([x[0], x[1] - x[0] ** 2 - 1])])


def extended_rosenbrock(x: Tensor) -> Tensor:
    a, b = x.reshape(-1, 2).unbind(1)
    return torch.stack([10 * (b - a**2), 1 - a], 1).reshape(-1)


def penalty_1(x: Tensor) -> Tensor:
    return torch.cat([SQRT_TINY * (x - 1), ((x**2).sum() - 0.25).reshape(1)])


def penalty_2(x: Tensor) -> Tensor:
    n = len(x)
    i = integers(1, n)
    e, y = torch.exp(x / 10), torch.exp(i / 10)
    return torch.cat(
        [
            x[:1] - 0.2,
            SQRT_TINY * (e[1:] + e[:-1] - y[1:] - y[:-1]),
            SQRT_TINY * (e[1:] - math.exp(-0.1)),
            ((n - i + 1) * x**2).sum().reshape(1) - 1,
        ]
    )


def variably_dimensioned(x: Tensor) -> Tensor:
    s = (integers(1, len(x)) * (x - 1)).sum()
    return torch.cat([x - 1, torch.stack([s, s**2])])


def trigonometric(x: Tensor) -> Tensor:
    n = len(x)
    return n - torch.cos(x).sum() + integers(1, n) * (1 - torch.cos(x)) - torch.sin(x)


def brown_almost_linear(x: Tensor) -> Tensor:
    n = len(x)
    return torch.cat([x[:-1] + x.sum() - (n + 1), x.prod().reshape(1) - 1])


def padded(x: Tensor, before: int = 1, after: int = 1) -> Tensor:
    return torch.nn.functional.pad(x, (before, after))


def discrete_boundary_value(x: Tensor) -> Tensor:
    n = len(x)
    h = 1 / (n + 1)
    z = padded(x)
    return 2 * x - z[:-2] - z[2:] + h**2 * (x + h * integers(1, n) + 1) ** 3 / 2


def discrete_integral_equation(x: Tensor) -> Tensor:
    n = len(x)
    h = 1 / (n + 1)
    t = h * integers(1, n)
    ti, tj = t[:, None], t[None]
    kernel = torch.where(tj <= ti, (1 - ti) * tj, ti * (1 - tj))
    return x + h * (kernel @ (x + t + 1) ** 3) / 2


def broyden_tridiagonal(x: Tensor) -> Tensor:
    z = padded(x)
    return (3 - 2 * x) * x - z[:-2] - 2 * z[2:] + 1


def broyden_banded(x: Tensor) -> Tensor:
    ones = torch.ones(len(x), len(x), dtype=x.dtype)
    near = ones.tril(1) * ones.triu(-5) - torch.eye(len(x), dtype=x.dtype)  # |j in [i - 5, i + 1], j ≠ i|
    return x * (2 + 5 * x**2) + 1 - near @ (x * (1 + x))


def linear_full_rank(x: Tensor, m: int = 20) -> Tensor:
    return padded(x, 0, m - len(x)) - 2 / m * x.sum() - 1


def linear_rank_1(x: Tensor, m: int = 20) -> Tensor:
    return integers(1, m) * (integers(1, len(x)) * x).sum() - 1


def linear_rank_1_zeros(x: Tensor, m: int = 20) -> Tensor:
    """With zero columns and rows."""
    return padded(integers(1, m - 2)) * (integers(2, len(x) - 1) * x[1:-1]).sum() - 1


def chebyquad(x: Tensor) -> Tensor:
    n = len(x)
    z = 2 * x - 1
    t = [torch.ones_like(x), z]
    while len(t) <= n:
        t.append(2 * z * t[-1] - t[-2])
    integrals = vector([0.0 if i % 2 else -1 / (i**2 - 1) for i in range(1, n + 1)])
    return torch.stack(t[1:]).mean(1) - integrals


# ---------------------------------------- the table


def zero(*at: float) -> tuple[Minimum]:
    return (Minimum(0.0, list(at) or None),)


def boundary_start(n: int) -> list[float]:
    return [j / (n + 1) * (j / (n + 1) - 1) for j in range(1, n + 1)]


# Biggs EXP6 from its start, where the first and third terms are equal and stay so; to other directions it is a saddle.
SADDLE = [1.711415995, 17.68319818, 1.163143661, 5.186561552, 1.711415995, 1.163143661]

PROBLEMS: tuple[Problem, ...] = (
    Problem("rosenbrock", 1, rosenbrock, [-1.2, 1], zero(1, 1)),
    Problem(
        "freudenstein_roth", 2, freudenstein_roth, [0.5, -2],
        (Minimum(0.0, [5, 4]), Minimum(48.9842, [11.4128, -0.896805])),
    ),
    Problem("powell_badly_scaled", 3, powell_badly_scaled, [0, 1], zero(1.098159e-5, 9.106147)),
    Problem("brown_badly_scaled", 4, brown_badly_scaled, [1, 1], zero(1e6, 2e-6)),
    Problem("beale", 5, beale, [1, 1], zero(3, 0.5)),
    Problem("jennrich_sampson", 6, jennrich_sampson, [0.3, 0.4], (Minimum(124.362, [0.2578, 0.2578]),)),
    Problem("helical_valley", 7, helical_valley, [-1, 0, 0], zero(1, 0, 0)),
    Problem("bard", 8, bard, [1, 1, 1], (Minimum(8.21487e-3), Minimum(17.4286, [0.8406, -1e8, -1e8]))),
    Problem("gaussian", 9, gaussian, [0.4, 1, 0], (Minimum(1.12793e-8),)),
    Problem("meyer", 10, meyer, [0.02, 4000, 250], (Minimum(87.9458),)),
    Problem("gulf", 11, gulf, [5, 2.5, 0.15], zero(50, 25, 1.5)),
    Problem("box", 12, box, [0, 10, 20], zero(1, 10, 1)),
    Problem("powell_singular", 13, powell_singular, [3, -1, 0, 1], zero(0, 0, 0, 0)),
    Problem("wood", 14, wood, [-3, -1, -3, -1], zero(1, 1, 1, 1)),
    Problem(
        "kowalik_osborne", 15, kowalik_osborne, [0.25, 0.39, 0.415, 0.39],
        (Minimum(3.07505e-4), Minimum(1.02734e-3, [1e6, -14.07, -2e7, -1e7])),
    ),
    Problem("brown_dennis", 16, brown_dennis, [25, 5, -5, -1], (Minimum(85822.2),)),
    Problem("osborne_1", 17, osborne_1, [0.5, 1.5, -1, 0.01, 0.02], (Minimum(5.46489e-5),)),
    Problem(
        "biggs_exp6", 18, biggs_exp6, [1, 2, 1, 1, 1, 1],
        (Minimum(5.65565e-3, SADDLE), Minimum(0.0, [1, 10, 1, 5, 4, 3])),
    ),
    Problem("osborne_2", 19, osborne_2, [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5], (Minimum(4.01377e-2),)),
    Problem("watson_6", 20, watson, [0] * 6, (Minimum(2.28767e-3),)),
    Problem("watson_9", 20, watson, [0] * 9, (Minimum(1.39976e-6),)),
    Problem("watson_12", 20, watson, [0] * 12, (Minimum(4.72238e-10),)),
    Problem("extended_rosenbrock", 21, extended_rosenbrock, [-1.2, 1] * 5, zero(*[1] * 10)),
    Problem("extended_powell_singular", 22, powell_singular, [3, -1, 0, 1] * 3, zero(*[0] * 12)),
    Problem("penalty_1_4", 23, penalty_1, list(range(1, 5)), (Minimum(2.24997e-5),)),
    Problem("penalty_1_10", 23, penalty_1, list(range(1, 11)), (Minimum(7.08765e-5),)),
    Problem("penalty_2_4", 24, penalty_2, [0.5] * 4, (Minimum(9.37629e-6),)),
    Problem("penalty_2_10", 24, penalty_2, [0.5] * 10, (Minimum(2.93660e-4),)),
    Problem("variably_dimensioned", 25, variably_dimensioned, [1 - j / 10 for j in range(1, 11)], zero(*[1] * 10)),
    Problem("trigonometric", 26, trigonometric, [0.1] * 10, (Minimum(2.79506e-5), Minimum(0.0, [0.0] * 10))),
    Problem(
        "brown_almost_linear", 27, brown_almost_linear, [0.5] * 10,
        (Minimum(0.0, [1] * 10), Minimum(1.0, [0] * 9 + [11])),
    ),
    Problem("discrete_boundary_value", 28, discrete_boundary_value, boundary_start(10), zero()),
    Problem("discrete_integral_equation", 29, discrete_integral_equation, boundary_start(10), zero()),
    Problem("broyden_tridiagonal", 30, broyden_tridiagonal, [-1] * 10, zero()),
    Problem("broyden_banded", 31, broyden_banded, [-1] * 10, zero()),
    Problem("linear_full_rank", 32, linear_full_rank, [1] * 10, (Minimum(20 - 10, [-1] * 10),)),
    Problem("linear_rank_1", 33, linear_rank_1, [1] * 10, (Minimum(20 * 19 / 82),)),
    Problem("linear_rank_1_zeros", 34, linear_rank_1_zeros, [1] * 10, (Minimum((20**2 + 60 - 6) / 74),)),
    Problem("chebyquad_8", 35, chebyquad, [j / 9 for j in range(1, 9)], (Minimum(3.51687e-3),)),
    Problem("chebyquad_9", 35, chebyquad, [j / 10 for j in range(1, 10)], zero()),
    Problem("chebyquad_10", 35, chebyquad, [j / 11 for j in range(1, 11)], (Minimum(6.50395e-3),)),
)  # fmt: skip
