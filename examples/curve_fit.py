"""500 noisy spectra, two peaks on a background each, fitted at once by vmapped Levenberg-Marquardt, next to SciPy."""

import time
import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.optimize import OptimizeWarning, curve_fit
from torch import Tensor

import torchzero as tz

NOISE = 0.05
LOW = torch.tensor([0.5, 2.0, 0.3, 0.5, 5.5, 0.3, 0.1], dtype=torch.float64)  # height, place, width, twice; background
HIGH = torch.tensor([2.0, 4.0, 0.8, 2.0, 7.5, 0.8, 0.5], dtype=torch.float64)
START = (LOW + HIGH) / 2
x = torch.linspace(0, 10, 100, dtype=torch.float64)


def model(p: Any, x: Any = x, exp: Any = torch.exp) -> Any:
    """From seven parameters to the curve at x."""
    first = p[0] * exp(-0.5 * ((x - p[1]) / p[2]) ** 2)
    return first + p[3] * exp(-0.5 * ((x - p[4]) / p[5]) ** 2) + p[6]


def fit(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The parameters (7,), their standard errors (7,) from JᵀJ, and the steps taken."""
    found = tz.minimize(lambda p: model(p) - y, START, "lm", tol=1e-6, differentiate=None)
    _, J = tz.FunctionObjective(model).jacobian(found.x)
    variance = 2 * found.value / (len(x) - len(START))  # the value is half the sum of squares
    return found.x, (variance * torch.linalg.inv(J.mT @ J)).diagonal().sqrt(), found.iterations


def ordered(p: Tensor, like: Tensor) -> Tensor:
    """`p` with the two peaks exchanged where they are in `like`."""
    return torch.where(like[:, 1:2] > like[:, 4:5], p[:, [3, 4, 5, 0, 1, 2, 6]], p)


def main(curves: int = 500) -> tuple[float, float]:
    """The largest difference to SciPy in standard errors, and how often the truth is within 1.96 of them."""
    g = torch.Generator().manual_seed(0)
    truth = LOW + (HIGH - LOW) * torch.rand(curves, 7, generator=g, dtype=torch.float64)
    y = torch.vmap(model)(truth) + NOISE * torch.randn(curves, len(x), generator=g, dtype=torch.float64)
    torch.vmap(fit)(y[:2])  # torch imports some of itself when first used
    clock = [time.perf_counter()]
    p, error, steps = torch.vmap(fit)(y)
    clock.append(time.perf_counter())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # of some fits that go astray
        q = [curve_fit(lambda x, *p: model(p, x, np.exp), x.numpy(), row, START)[0] for row in y.numpy()]
    clock.append(time.perf_counter())
    few = [fit(row) for row in y[:20]]
    clock.append(time.perf_counter())
    q = torch.tensor(np.stack(q))
    ours, theirs, alone = (1e3 * s / n for s, n in zip(np.diff(clock), (curves, curves, len(few)), strict=True))

    cost, cost_q = (((torch.vmap(model)(z) - y) ** 2).sum(1) for z in (p, q))
    p, error, q = ordered(p, p).abs(), ordered(error, p), ordered(q, q).abs()  # a width of either sign is the same
    away = ((p - q) / error)[cost_q < 1.001 * cost].abs().max().item()
    inside = ((p - truth).abs() < 1.96 * error).double().mean().item()
    print(f"a fit in {steps.min()} to {steps.max()} steps: {ours:.2f} ms vmapped; {alone:.2f} ms in a loop,", end=" ")
    print(f"{alone / ours:.0f} times as long; {theirs:.2f} ms by SciPy, {theirs / ours:.1f} times")
    print(f"in a worse minimum: {(cost > 1.001 * cost_q).sum()} of ours, {(cost_q > 1.001 * cost).sum()} of SciPy's;")
    print(f"others agree to {away:.1e} standard errors; {inside:.1%} of the truth is within 1.96 of them")

    plt.figure(figsize=(6, 3.6), layout="constrained")
    plt.plot(x, y[:4].T + 2 * torch.arange(4), ".", ms=3, color="gray")
    plt.plot(x, torch.vmap(model)(p[:4]).T + 2 * torch.arange(4))
    plt.title(f"Four of {curves} spectra and their fits")
    plt.savefig("curve_fit.png", dpi=120)
    plt.close()
    return away, inside


if __name__ == "__main__":
    main()
