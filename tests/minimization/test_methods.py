"""What the named methods of tz.minimize promise beside a minimum."""

import pytest
import torch

import torchzero as tz
from torchzero.minimization import METHODS
from torchzero.minimization.result import CONVERGED
from torchzero.minimization.run_by_values import by_values

SUPERLINEAR = [name for name in METHODS if name not in ("adam", "gd", "lm") and not by_values(METHODS[name]())]


def chained_rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@pytest.mark.parametrize("method", SUPERLINEAR)
def test_the_default_tolerance_is_met_in_double_precision(method: str) -> None:
    """Newton's equations must be solved further than any tolerance of their solver, or the last steps creep."""
    found = tz.minimize(chained_rosenbrock, torch.zeros(5, dtype=torch.float64), method, differentiate=None)
    assert bool(found.success), found.message
    assert int(found.iterations) <= 120


@pytest.mark.parametrize("method", SUPERLINEAR)
@pytest.mark.parametrize("x0", [1.0, 100.0])
def test_a_badly_scaled_start_is_no_obstacle(method: str, x0: float) -> None:
    """The gradient of 1e6 x⁴ is up to 4e12; the step must not be that long, nor shrink from it in halves."""
    start = torch.tensor([x0, -x0], dtype=torch.float64)
    found = tz.minimize(lambda x: (1e6 * x**4).sum(), start, method, tol=1e-6, differentiate=None)
    assert bool(found.success), found.message
    assert int(found.evaluations) <= 100


def test_a_batch_of_newton_solves_converges_to_the_last() -> None:
    """Near a minimum that is not zero a decrease is hidden by rounding, and only slopes tell the way."""

    def solve(x0: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = tz.minimize(chained_rosenbrock, x0, "newton", tol=1e-8, max_iterations=200, differentiate=None)
        return found.status, found.value

    x0 = torch.randn(64, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.5
    status, value = torch.vmap(solve)(x0)
    assert (status == CONVERGED).all()
    assert (value > 1).any()  # the local minimum near (-1, 1, ..., 1)


def test_least_squares_evaluates_once_a_trial() -> None:
    """Moré's method: one evaluation at the start and one at each trial, whatever is done with the gradient."""
    points = []

    def residuals(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])

    class Watched(tz.FunctionObjective):
        def value(self, params: torch.Tensor) -> torch.Tensor:
            points.append("value")
            return super().value(params)

    x0 = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    found = tz.minimize(Watched(residuals), x0, "lm", differentiate=None)
    assert bool(found.success)
    assert len(points) == int(found.evaluations) <= 20


def test_a_batch_of_fits_with_far_too_long_first_steps_goes_astray_nowhere() -> None:
    """Two peaks on a background: a long step may lower the loss on the way to a peak outside of the data."""
    t = torch.linspace(0, 10, 100, dtype=torch.float64)
    low = torch.tensor([0.5, 2.0, 0.3, 0.5, 5.5, 0.3, 0.1], dtype=torch.float64)
    high = torch.tensor([2.0, 4.0, 0.8, 2.0, 7.5, 0.8, 0.5], dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    truth = low + (high - low) * torch.rand(300, 7, generator=g, dtype=torch.float64)

    def model(p: torch.Tensor) -> torch.Tensor:
        first = p[0] * torch.exp(-0.5 * ((t - p[1]) / p[2]) ** 2)
        return first + p[3] * torch.exp(-0.5 * ((t - p[4]) / p[5]) ** 2) + p[6]

    y = torch.vmap(model)(truth) + 0.05 * torch.randn(300, 100, generator=g, dtype=torch.float64)

    def fit(y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = tz.minimize(lambda p: model(p) - y, (low + high) / 2, "lm", tol=1e-6, differentiate=None)
        return found.status, found.value, found.iterations

    status, value, iterations = torch.vmap(fit)(y)
    assert (status == CONVERGED).all()
    assert (value < 0.3).all()
    assert iterations.max() <= 20
