"""RandomStepSize: one uniform factor for all, or one for each tensor, from a seed."""

import torch
from torch import Tensor

import torchzero as tz


def factors(module: tz.Module, steps: int, tensors: int = 3) -> Tensor:
    """The factor of every step and tensor: (steps, tensors)."""
    params = [torch.ones(2, dtype=torch.float64) for _ in range(tensors)]
    state, rows = module.init(params), []
    for _ in range(steps):
        state, var = module.step(state, tz.Var(params, grad=params))
        for u in var.update:
            assert u[0] == u[1]
        rows.append(torch.stack([u[0] for u in var.update]))
    return torch.stack(rows)


def test_factors_are_uniform() -> None:
    """Kolmogorov's distance of 3000 draws from U(low, high) is below its 99.9 % point."""
    draws = factors(tz.m.RandomStepSize(-1.0, 3.0, parameterwise=True, seed=0), 1000).flatten()
    assert draws.min() >= -1
    assert draws.max() < 3
    ranks = torch.arange(1, draws.numel() + 1) / draws.numel()
    distance = (draws.sort().values.add(1).div(4) - ranks).abs().max()
    assert distance < 1.95 / draws.numel() ** 0.5


def test_factors_of_steps_and_tensors_are_unrelated() -> None:
    """Correlations of 1000 draws are within four standard errors of zero."""
    draws = factors(tz.m.RandomStepSize(parameterwise=True, seed=1), 1000)
    series = torch.stack([draws[1:, 0], draws[1:, 1], draws[1:, 2], draws[:-1, 0], draws[:-1, 1]])
    correlations = torch.corrcoef(series) - torch.eye(5)
    assert correlations.abs().max() < 4 / 1000**0.5


def test_one_factor_for_all_unless_parameterwise() -> None:
    """And a new one in every step."""
    draws = factors(tz.m.RandomStepSize(seed=2), 5)
    assert (draws == draws[:, :1]).all()
    assert draws[:, 0].unique().numel() == 5


def test_seeds_repeat_and_differ() -> None:
    """A seed gives the same factors, another one others, and none takes one from torch's generator."""
    assert torch.equal(factors(tz.m.RandomStepSize(seed=3), 4), factors(tz.m.RandomStepSize(seed=3), 4))
    assert not torch.equal(factors(tz.m.RandomStepSize(seed=3), 4), factors(tz.m.RandomStepSize(seed=4), 4))
    torch.manual_seed(5)
    one = tz.m.RandomStepSize()
    torch.manual_seed(5)
    assert torch.equal(factors(one, 4), factors(tz.m.RandomStepSize(), 4))
