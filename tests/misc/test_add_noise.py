"""AddNoise: how large the noise is."""

import pytest
import torch

import torchzero as tz

U = {"w": torch.tensor([[1.0, -3.0], [10.0, 30.0]]), "b": torch.tensor([100.0, 300.0])}


def _sizes(mode: str) -> dict[str, torch.Tensor]:
    """What the ±1 of a rademacher draw is multiplied by."""
    opt = tz.m.AddNoise(2.0, "rademacher", mode, seed=3)
    _, var = opt.step(opt.init(U), tz.Var(U, grad=U))
    return {k: (var.update[k] - U[k]).abs() / 2 for k in U}


@pytest.mark.parametrize(
    ("mode", "w", "b"),
    [
        ("absolute", [[1, 1], [1, 1]], [1, 1]),
        ("global", [[74, 74], [74, 74]], [74, 74]),
        ("param", [[11, 11], [11, 11]], [200, 200]),
        ("channel", [[2, 2], [20, 20]], [200, 200]),
    ],
)
def test_noise_is_in_proportion_to_the_size_that_the_mode_says(mode: str, w: list[list[int]], b: list[int]) -> None:
    sizes = _sizes(mode)
    torch.testing.assert_close(sizes["w"], torch.tensor(w, dtype=torch.float32))
    torch.testing.assert_close(sizes["b"], torch.tensor(b, dtype=torch.float32))


@pytest.mark.parametrize(("distribution", "variance"), [("normal", 1.0), ("uniform", 1 / 3)])
def test_the_draws_have_the_moments_of_their_distribution(distribution: str, variance: float) -> None:
    opt = tz.m.AddNoise(1.0, distribution, "absolute", seed=0)
    u = torch.zeros(20000, dtype=torch.float64)
    state, var = opt.step(opt.init(u), tz.Var(u, grad=u))
    first, second = var.update, opt.step(state, tz.Var(u, grad=u))[1].update
    assert abs(first.mean()) < 0.03
    assert abs(first.var() - variance) < 0.03
    assert abs((first * second).mean()) < 0.03  # the steps are independent


def test_seeds() -> None:
    a, b, c = (tz.m.AddNoise(seed=s) for s in (1, 1, 2))
    x, y, z = (m.step(m.init(U), tz.Var(U, grad=U))[1].update["w"] for m in (a, b, c))
    assert torch.equal(x, y)
    assert not torch.equal(x, z)
    assert tz.m.AddNoise().seed != tz.m.AddNoise().seed
