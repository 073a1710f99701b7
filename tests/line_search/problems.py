"""Random smooth functions of one number, each with a point and a step down from it."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

FAMILIES = ("quadratic", "quartic", "cosines", "exponential", "log_cosh", "badly_scaled")


class Problems(NamedTuple):
    """n functions of one family: f(x; θ), points, and how far a unit step goes."""

    family: str
    theta: Tensor  # (n, 8)
    x: Tensor  # (n,)
    length: Tensor  # (n,)


def value(family: str, theta: Tensor, x: Tensor) -> Tensor:
    """f(x; θ), 0-d; θ is (8,)."""
    a, b, c, d, e, g, h, s = theta.unbind()
    if family == "quadratic":
        return 0.5 * a * (x - c) ** 2
    if family == "quartic":
        return a * (x - c) ** 4 + d * (x - e) ** 2 + 0.3 * (x - e)
    if family == "cosines":
        waves = a * torch.cos((1 + b) * x + d) + b * torch.cos((1 + 2 * a) * x + e) + torch.cos(s * x + g)
        return 0.5 * h * x * x + waves
    if family == "exponential":
        return torch.exp(b * x) + a * torch.exp(-h * x)
    if family == "log_cosh":
        z = (b * (x - c)).abs()
        return z + torch.nn.functional.softplus(-2 * z) + 0.01 * a * x * x
    return 10 ** (4 * g) * value("quartic", theta, x * 10 ** (2 * d))


def draw(family: str, n: int, seed: int) -> Problems:
    """n problems of a family."""
    rng = np.random.default_rng([seed, FAMILIES.index(family)])
    a = 10 ** rng.uniform(-1.5, 1.5, n)
    theta = [
        a,
        rng.uniform(0.3, 3, n),
        rng.normal(size=n),
        rng.normal(size=n),
        rng.normal(size=n),
        rng.normal(size=n),
        10 ** rng.uniform(-1, 0.5, n),
        rng.uniform(0.3, 6, n),
    ]
    if family == "cosines":
        theta[0] = rng.uniform(0.2, 2, n)
    x = 2 * rng.normal(size=n)
    length = 10 ** rng.uniform(-2, 2, n)
    stacked = torch.from_numpy(np.stack(theta, 1))
    return Problems(family, stacked, torch.from_numpy(x), torch.from_numpy(length))


def slope(family: str, theta: Tensor, x: Tensor) -> Tensor:
    """f'(x; θ), 0-d."""
    return torch.func.grad(lambda x: value(family, theta, x))(x)


def direction(problems: Problems) -> Tensor:
    """What is subtracted: downhill, with a random length: (n,)."""
    at = torch.vmap(lambda theta, x: slope(problems.family, theta, x))(problems.theta, problems.x)
    return torch.sign(at) * problems.length


class Line(NamedTuple):
    """One problem as plain functions of a Python float."""

    family: str
    theta: Tensor
    x: Tensor
    u: Tensor

    def value(self, a: float) -> float:
        """φ(a)."""
        return value(self.family, self.theta, self.x - a * self.u).item()

    def slope(self, a: float) -> float:
        """φ'(a)."""
        return (-self.u * slope(self.family, self.theta, self.x - a * self.u)).item()

    def objective(self, x: Any) -> Tensor:
        """The function of x."""
        return value(self.family, self.theta, x)


def lines(family: str, n: int, seed: int) -> list[Line]:
    """Problems one by one."""
    p = draw(family, n, seed)
    u = direction(p)
    return [Line(family, p.theta[i], p.x[i], u[i]) for i in range(n)]
