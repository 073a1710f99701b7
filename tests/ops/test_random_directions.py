"""Random directions: their moments, their seeds, and their streams."""

import math

import pytest
import torch
from torch import Tensor

import torchzero as tz

N = 40_000


def draw(module: tz.Module, n: int = N, steps: int = 1) -> Tensor:
    """The direction of the last of so many steps."""
    params = torch.zeros(n, dtype=torch.float64)
    state, var = module.init(params), tz.Var(params)
    for _ in range(steps):
        state, var = module.step(state, tz.Var(params))
    return var.update


@pytest.mark.parametrize("variance", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("distribution", ["normal", "gaussian", "uniform", "rademacher", "sphere"])
def test_samples_have_their_variance(distribution: str, variance: float) -> None:
    x = draw(tz.m.RandomSample(distribution, variance, seed=5))
    error = math.sqrt(variance / N)
    assert abs(x.mean().item()) < 5 * error
    assert (x**2).mean().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / N))


def test_samples_without_a_variance() -> None:
    uniform = draw(tz.m.RandomSample("uniform", seed=0))
    assert uniform.abs().max() <= 1
    assert (uniform**2).mean().item() == pytest.approx(1 / 3, rel=0.02)
    torch.testing.assert_close(draw(tz.m.RandomSample("sphere", seed=0)).norm(), torch.tensor(1.0, dtype=torch.float64))
    assert set(draw(tz.m.RandomSample("rademacher", seed=0)).tolist()) == {-1.0, 1.0}
    assert draw(tz.m.RandomSample(seed=0)).std().item() == pytest.approx(1, rel=0.02)


def test_the_sphere_is_that_of_all_tensors_together() -> None:
    params = {"a": torch.zeros(3, dtype=torch.float64), "b": torch.zeros(2, 2, dtype=torch.float64)}
    module = tz.m.RandomSample("sphere", variance=4.0, seed=1)
    out = module.step(module.init(params), tz.Var(params))[1].update
    assert tz.tree.norm(out).item() == pytest.approx(2 * math.sqrt(7))


def test_randn_is_standard_normal() -> None:
    x = draw(tz.m.Randn(seed=3))
    for moment, wanted in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        assert (x**moment).mean().item() == pytest.approx(wanted, abs=0.15)
    assert (x.abs() < 1).double().mean().item() == pytest.approx(0.6827, abs=0.01)


def test_uniform_is_uniform() -> None:
    x = draw(tz.m.Uniform(-1.0, 3.0, seed=4))
    assert x.min() >= -1
    assert x.max() <= 3
    counts = torch.histc(x, bins=8, min=-1, max=3) / N
    torch.testing.assert_close(counts, torch.full_like(counts, 1 / 8), atol=0.01, rtol=0)


MODULES = [
    lambda seed=None: tz.m.RandomSample(seed=seed),
    lambda seed=None: tz.m.Randn(seed=seed),
    lambda seed=None: tz.m.Uniform(0, 1, seed),
]


@pytest.mark.parametrize("make", MODULES)
def test_a_seed_fixes_the_draws_and_every_step_has_its_own(make: type[tz.Module]) -> None:
    torch.testing.assert_close(draw(make(7)), draw(make(7)), rtol=0, atol=0)
    assert not torch.equal(draw(make(7)), draw(make(8)))
    assert not torch.equal(draw(make(7)), draw(make(7), steps=2))
    assert not torch.equal(draw(make()), draw(make()))


@pytest.mark.parametrize("make", MODULES)
def test_tensors_have_streams_of_their_own_and_no_gradient_is_asked_for(make: type[tz.Module]) -> None:
    params, module = [torch.zeros(5), torch.zeros(5)], make(1)

    def never(p: object) -> Tensor:
        raise AssertionError("evaluated")

    a, b = module.step(module.init(params), tz.Var(params, objective=never))[1].update
    assert not torch.equal(a, b)


def test_a_vmapped_seed_gives_every_lane_its_own_draws() -> None:
    def first(seed: Tensor) -> Tensor:
        module = tz.m.Randn(seed=seed)
        return module.step(module.init(torch.zeros(4)), tz.Var(torch.zeros(4)))[1].update

    batch = torch.vmap(first)(torch.arange(3))
    for i in range(3):
        torch.testing.assert_close(batch[i], first(torch.tensor(i)), rtol=0, atol=0)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"RandomSample\(variance=-1\): must lie in \[0, inf\)"):
        tz.m.RandomSample(variance=-1)
    with pytest.raises(ValueError, match=r"RandomSample\(distribution='cauchy'\): must be one of 'normal'"):
        tz.m.RandomSample("cauchy")
    with pytest.raises(ValueError, match=r"Uniform\(low=2, high=1\)"):
        tz.m.Uniform(2, 1)
