"""How much faster a vmapped minimisation is than a loop: python -m tests.bench.batched_against_loop."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

import torchzero as tz


def rosenbrock5(x: Tensor) -> Tensor:
    """The chained Rosenbrock function of five variables."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def newton(x0: Tensor) -> tuple[Tensor, Tensor]:
    """A damped Newton solve to convergence."""
    found = tz.minimize(rosenbrock5, x0, "newton", tol=1e-8, max_iterations=200, differentiate=None)
    return found.x, found.status


def starts(n: int) -> Tensor:
    """Random points near the usual starting point."""
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.5


def logistic(n: int) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """`n` resamples of a logistic regression with 200 rows and 20 features, and the fit of one by L-BFGS."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(200, 20, generator=g, dtype=torch.float64)
    y = torch.sign(
        x @ torch.randn(20, generator=g, dtype=torch.float64) + torch.randn(200, generator=g, dtype=torch.float64)
    )
    draws = torch.randint(200, (n, 200), generator=g)

    def fit(rows: Tensor) -> tuple[Tensor, Tensor]:
        def loss(w: Tensor) -> Tensor:
            return torch.nn.functional.softplus(-y[rows] * (x[rows] @ w)).mean() + 0.005 * w.square().sum()

        start = torch.zeros(20, dtype=torch.float64)
        found = tz.minimize(loss, start, "lbfgs", tol=1e-6, max_iterations=200, differentiate=None)
        return found.x, found.status

    return draws, fit


def compare(title: str, fit: Callable[[Tensor], tuple[Tensor, Tensor]], data: Tensor, rounds: int, part: int) -> None:
    """Paired rounds: the whole batch by vmap, then `part` of it by a loop, scaled up."""
    ratios, worst = [], 0.0
    for _ in range(rounds):
        begun = time.perf_counter()
        batched, status = torch.vmap(fit)(data)
        together = time.perf_counter() - begun
        begun = time.perf_counter()
        looped = [fit(row) for row in data[:part]]
        alone = (time.perf_counter() - begun) * len(data) / part
        ratios.append(alone / together)
        worst = max(worst, (batched[:part] - torch.stack([x for x, _ in looped])).abs().max().item())
    done = int((status == 1).sum())  # pyright: ignore[reportPossiblyUnboundVariable]
    print(f"{title}: {statistics.median(ratios):.1f} x faster than the loop; {done} of {len(data)} converged; ", end="")
    print(f"largest difference {worst:.1e}")


def main() -> None:
    """Print both ratios."""
    compare("64 damped Newton solves", newton, starts(64), rounds=5, part=16)
    draws, fit = logistic(256)
    compare("256 L-BFGS fits", fit, draws, rounds=3, part=16)


if __name__ == "__main__":
    main()
