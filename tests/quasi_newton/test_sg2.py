"""SG2: its estimates by definition, and what they tend to."""

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.core import random

A = torch.tensor([[3.0, 1.0, 0.5], [1.0, 2.0, 0.2], [0.5, 0.2, 1.0]], dtype=torch.float64)


def f(x: Tensor) -> Tensor:
    return 0.5 * x @ A @ x + 0.1 * (x**4).sum()


def estimate(x: Tensor, seed: int, call: int, samples: int, h: float) -> Tensor:
    slope, H = torch.func.grad(f), torch.zeros(3, 3, dtype=torch.float64)
    for key in random.split(random.fold_in(random.key(seed), call), samples):
        signs = random.rademacher(key, (3,), torch.float64)
        change = slope(x + h * signs) - slope(x - h * signs)
        rows = torch.stack([change / (2 * h * signs[j]) for j in range(3)], 1)
        H += (rows + rows.T) / 2 / samples
    return H


@pytest.mark.parametrize("beta", [None, 0.3])
def test_estimates_by_their_definition(beta: float | None) -> None:
    opt = tz.m.SG2(n_samples=2, n_first_step_samples=3, start_step=2, beta=beta, damping=0.1, h=0.2, seed=5)
    state, H = opt.init(torch.zeros(3).double()), torch.zeros(3, 3).double()
    for k in range(4):
        x = torch.linspace(-1, k, 3, dtype=torch.float64)
        state, var = opt.step(state, tz.Var(x, objective=f))
        new = estimate(x, 5, k, 2 if k else 3, 0.2) + 0.1 * torch.eye(3)
        weight = 0.0 if k == 0 else k / (k + 1) if beta is None else beta
        weight = (k + 1) / (k + 2) if k and beta is None else weight
        H = weight * H + (1 - weight) * new
        torch.testing.assert_close(state.H, H)
        u = torch.func.grad(f)(x)
        expected = u / H.trace().abs() if k < 2 else torch.linalg.lstsq(H, u.unsqueeze(1))[0].squeeze(1)
        torch.testing.assert_close(var.update, expected)
        assert opt.evaluations(state) == (4 if k else 6)


def test_many_samples_give_the_hessian() -> None:
    opt = tz.m.SG2(n_first_step_samples=2000, damping=0.0, seed=0)
    x = torch.ones(3, dtype=torch.float64)
    state = opt.update(opt.init(x), tz.Var(x, objective=f))
    torch.testing.assert_close(state.H, A + 1.2 * torch.eye(3, dtype=torch.float64), rtol=0, atol=0.25)


def test_between_estimates_nothing_is_evaluated() -> None:
    opt = tz.m.SG2(update_freq=2, seed=0)
    x = torch.ones(3, dtype=torch.float64)
    state = opt.init(x)
    counts = []
    for _ in range(4):
        state = opt.update(state, tz.Var(x, objective=f))
        counts.append(int(opt.evaluations(state)))
    assert counts == [20, 0, 2, 0]
