"""SumOfSquares is squaring and summing by hand."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from torchzero.least_squares.sum_of_squares import Squared


def residuals(x: Tensor) -> Tensor:
    return torch.stack([1 - x[0], 10 * (x[1] - x[0] ** 2), x[0] * x[1]])


@settings(max_examples=20)
@given(seed=st.integers(0, 9999), lr=st.floats(1e-4, 1e-2), momentum=st.floats(0, 0.9))
def test_is_the_sum_of_squares_by_hand(seed: int, lr: float, momentum: float) -> None:
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=2))
    p = x.clone().requires_grad_()
    theirs = torch.optim.SGD([p], lr=lr, momentum=momentum)
    mine = tz.Chain(tz.m.SumOfSquares(), tz.m.HeavyBall(momentum), tz.m.LR(lr))
    state = mine.init(x)
    for _ in range(4):
        theirs.zero_grad()
        (residuals(p) ** 2).sum().backward()
        theirs.step()
        x, state = mine(x, state, residuals)
    torch.testing.assert_close(x, p.detach(), rtol=1e-9, atol=1e-12)


def test_every_derivative_is_that_of_the_sum() -> None:
    x, v = torch.tensor([0.5, -1.5], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    mine, theirs = Squared(tz.FunctionObjective(residuals)), tz.FunctionObjective(lambda x: (residuals(x) ** 2).sum())
    torch.testing.assert_close(mine.value(x), theirs.value(x))
    torch.testing.assert_close(mine.value_and_grad(x)[1], theirs.value_and_grad(x)[1])
    torch.testing.assert_close(mine.hessian(x), theirs.hessian(x))
    torch.testing.assert_close(mine.hvp(x, v), theirs.hvp(x, v))
    torch.testing.assert_close(mine.linearize(x)[1](v), theirs.hvp(x, v))
    r, J = mine.jacobian(x)
    torch.testing.assert_close(0.5 * r @ r, mine.value(x))
    torch.testing.assert_close(J.mT @ r, mine.value_and_grad(x)[1])
    torch.testing.assert_close(mine.residuals(x), r)
