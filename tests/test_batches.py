"""A batch of optimizations is a loop over them, and costs as many steps of each loop inside as its slowest lane."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from tests import registry

# Their kernels add up in the same order in a batch and alone; matrix products do not.
TO_THE_BIT = {
    "conjugate_gradient",
    "grad_approximation",
    "line_search",
    "objective_maps",
    "restarts",
    "termination",
}
TO_THE_LAST_PLACE = {"least_squares", "quasi_newton", "second_order", "trust_region"}
METHODS = {
    name: make
    for name, make, _ in registry.instances()
    if registry.entries()[name.split(".")[0]].family in TO_THE_BIT | TO_THE_LAST_PLACE
    and not any(module.host_side for module in make().walk())
}
LANES = torch.tensor(
    [[-1.2, 1.0, 0.4, -0.7], [1.5, -0.5, 1.0, 1.0], [0.9, 1.1, 0.0, 0.1], [0.3, 0.2, -1.0, 2.0]], dtype=torch.float64
)


class Counted:
    """An objective, and how often it was called: in a batch once for all lanes."""

    calls = 0

    def __call__(self, p: list[Tensor]) -> Tensor:
        self.calls += 1
        x, y = p
        a, b, c = 1 - x[0], x[1] - x[0] * x[0], y - x[0]
        return a * a + 3 * b * b + 0.5 * (c * c).sum() + (y * y * (y * y)).sum()


def run(make: Callable[[], tz.Module], x: Tensor, steps: int = 3) -> tuple[Tensor, list[int]]:
    """All points, and the calls of every step."""
    opt, p, calls, points = tz.Chain(make()), [x[:2], x[2:].reshape(1, 2)], [], []
    state = opt.init(p)
    for _ in range(steps):
        f = Counted()
        p, state = opt(p, state, f)
        calls.append(f.calls)
        points.append(torch.cat([v.flatten() for v in p]))
    return torch.stack(points), calls


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_batch_is_a_loop_and_ends_with_its_slowest_lane(name: str) -> None:
    together: list[int] = []

    def lane(x: Tensor) -> Tensor:
        points, calls = run(METHODS[name], x)
        together[:] = calls
        return points

    batched = torch.vmap(lane)(LANES)
    alone = [run(METHODS[name], x) for x in LANES]
    looped = torch.stack([points for points, _ in alone])
    if registry.entries()[name.split(".")[0]].family in TO_THE_BIT and not name.startswith("ProjectedGradientMethod"):
        torch.testing.assert_close(batched, looped, rtol=0, atol=0, equal_nan=True)
    else:
        torch.testing.assert_close(batched, looped, rtol=1e-10, atol=1e-12 * looped.abs().max().item())
    calls = [lanes for _, lanes in alone]
    if name == "NewtonCGSteihaug.1":  # loops in a loop: the slowest lane need not be the same one in all of them
        slowest = [max(lanes) for lanes in zip(*calls, strict=True)]
        assert all(a <= b <= 1.5 * a for a, b in zip(slowest, together, strict=True))
    else:
        assert together == [max(lanes) for lanes in zip(*calls, strict=True)]


@pytest.mark.parametrize("method", ["bfgs", "lbfgs", "newton", "cg"])
def test_a_minimisation_of_many_waits_for_nobody_who_is_done(method: str) -> None:
    """Each iteration costs what it costs the slowest lane of those that are still on their way."""
    f = Counted()

    def one(x: Tensor, **options: Any) -> Any:
        found = tz.minimize(lambda z: f([z[:2], z[2:].reshape(1, 2)]), x, method=method, tol=1e-6, **options)
        return found.x, found.iterations

    points, iterations = torch.vmap(one)(LANES)
    together, costs, last = f.calls, [], []
    for i, x in enumerate(LANES):
        f.calls, after = 0, []
        point, n = one(x, callback=lambda _, after=after: after.append(f.calls))
        costs.append([b - a for a, b in itertools.pairwise([0, *after])])
        last.append(f.calls - after[-1])
        torch.testing.assert_close(points[i], point, rtol=1e-5, atol=1e-6)
        assert iterations[i] == n == len(after)
    slowest = sum(max(step) for step in itertools.zip_longest(*costs, fillvalue=0))
    assert together == slowest + max(last)  # the last for the derivative of the minimum
    assert len(iterations.unique()) > 1
