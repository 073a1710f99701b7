"""MSAM: the weights' trajectory, the perturbation, and that it cancels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from tests import oracle


@settings(max_examples=20)
@given(run=oracle.runs(), momentum=oracle.decays, rho=oracle.factors, decay=st.floats(0.0, 0.3), nesterov=st.booleans())
def test_agrees_with_the_paper_around_an_optimizer(
    run: list[oracle.Step], momentum: float, rho: float, decay: float, nesterov: bool
) -> None:
    inner = tz.m.Chain(tz.m.Adam(0.8, 0.9), tz.m.LR(0.1))
    mine = oracle.directions(tz.m.MSAM(inner, momentum, rho, decay, nesterov), run)
    theirs = oracle.directions(inner, run)
    v = [np.zeros_like(u) for u in run[0].u]
    e = [np.zeros_like(u) for u in run[0].u]
    for k, step in enumerate(run):
        v = [momentum * a + u for a, u in zip(v, step.u, strict=True)]
        n = [momentum * a + u for a, u in zip(v, step.u, strict=True)] if nesterov else v
        length = np.sqrt(sum((x**2).sum() for x in n))
        new = [rho * x / length for x in n]
        for d, x, a, b, p in zip(mine[k], theirs[k], new, e, step.p, strict=True):
            np.testing.assert_allclose(d, x + a - b + decay * (p + b), rtol=1e-9, atol=1e-11)
        e = new


def quadratic(x: Tensor) -> Tensor:
    return (torch.tensor([1.0, 10.0], dtype=x.dtype) * x * x).sum()


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_weights_are_those_of_the_paper_and_the_parameters_lie_ahead(nesterov: bool) -> None:
    """Gradients at w - rho n/|n|, steps of w: the perturbations cancel, whatever the momentum is."""
    lr, mu, rho = 0.01, 0.9, 0.1
    opt = tz.m.MSAMMomentum(lr, mu, rho, nesterov=nesterov)
    p = torch.tensor([1.0, -1.0], dtype=torch.float64)
    state = opt.init(p)
    w = p.numpy().copy()
    v, n = np.zeros(2), np.zeros(2)
    for _ in range(30):
        p, state = opt(p, state, quadratic)
        length = np.linalg.norm(n)
        g = np.array([2.0, 20.0]) * (w - (rho * n / length if length else 0))
        v = mu * v + g
        n = mu * v + g if nesterov else v
        w = w - lr * n
        np.testing.assert_allclose(opt.eval_params(state, p), w, rtol=1e-10, atol=1e-12)
        assert torch.linalg.vector_norm(p - opt.eval_params(state, p)).item() == pytest.approx(rho)


def test_without_perturbation_it_is_heavy_ball() -> None:
    p = torch.tensor([1.0, -1.0], dtype=torch.float64)
    a, b = tz.m.MSAMMomentum(0.02, 0.8, rho=0.0), tz.Chain(tz.m.HeavyBall(0.8), tz.m.LR(0.02))
    x = y = p
    s, t = a.init(p), b.init(p)
    for _ in range(5):
        x, s = a(x, s, quadratic)
        y, t = b(y, t, quadratic)
        torch.testing.assert_close(x, y)


def test_a_rho_that_changes_still_cancels() -> None:
    class Growing(tz.core.Schedule):
        def value(self, k: Tensor) -> Tensor:
            return 0.1 * (1 + k)

    opt = tz.m.MSAMMomentum(0.1, 0.0, rho=Growing())
    p = torch.zeros(2, dtype=torch.float64)
    state = opt.init(p)
    for k in range(4):
        p, state = opt(p, state, grad=torch.tensor([3.0, 4.0], dtype=torch.float64))
        wanted = -0.1 * (k + 1) * torch.tensor([3.0, 4.0], dtype=torch.float64)
        torch.testing.assert_close(opt.eval_params(state, p), wanted)
