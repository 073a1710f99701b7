"""SPSA2: its estimates by definition, from losses alone."""

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.core import random
from torchzero.core.objective import Objective


class Counted(Objective):
    """A quartic that cannot be differentiated."""

    def __init__(self) -> None:
        self.count = 0

    def value(self, params: Tensor) -> Tensor:
        self.count += 1
        return (params**2 * torch.tensor([1.0, 4.0])).sum() + params.prod() + 0.1 * (params**4).sum()


def estimates(x: Tensor, seed: int, call: int, samples: int, h: float) -> tuple[Tensor, Tensor]:
    f, g, H = Counted().value, torch.zeros(2).double(), torch.zeros(2, 2).double()
    for key in random.split(random.fold_in(random.key(seed), call), samples):
        a, b = (random.rademacher(k, (2,), torch.float64) for k in random.split(key))
        plus, minus = x + h * a, x - h * a
        g += (f(plus) - f(minus)) / (2 * h * a) / samples
        change = (f(plus + h * b) - f(plus)) / (h * b) - (f(minus + h * b) - f(minus)) / (h * b)
        half = torch.outer(change, 1 / (2 * h * a))
        H += (half + half.T) / 2 / samples
    return g, H


@pytest.mark.parametrize("beta", [None, 0.3])
@pytest.mark.parametrize("how", ["lstsq", "solve", "abs"])
def test_estimates_by_their_definition(beta: float | None, how: str) -> None:
    fn = torch.abs if how == "abs" else None
    opt = tz.m.SPSA2(2, 0.3, beta, 0.2, fn, how == "lstsq", seed=7)
    state, H = opt.init(torch.zeros(2).double()), torch.zeros(2, 2).double()
    for k in range(4):
        x = torch.tensor([1.0 - k, 0.5 * k], dtype=torch.float64)
        objective = Counted()
        state, var = opt.step(state, tz.Var(x, objective=objective))
        g, new = estimates(x, 7, k, 2, 0.3)
        weight = 0.0 if k == 0 else k / (k + 1) if beta is None else beta
        H = weight * H + (1 - weight) * new
        shifted = H + 0.2 * torch.eye(2)
        if how == "abs":
            values, Q = torch.linalg.eigh(shifted)
            shifted = Q @ torch.diag(values.abs()) @ Q.T
        torch.testing.assert_close(var.update, torch.linalg.solve(shifted, g))
        assert objective.count == opt.evaluations(state) == 8


def test_inner_transforms_the_estimated_gradient() -> None:
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    plain, doubled = tz.m.SPSA2(seed=1), tz.m.SPSA2(seed=1, inner=tz.m.LR(2.0))
    a = plain.step(plain.init(x), tz.Var(x, objective=Counted()))[1].update
    b = doubled.step(doubled.init(x), tz.Var(x, objective=Counted()))[1].update
    torch.testing.assert_close(b, 2 * a)
