"""Limited memory: what the compact forms are when nothing is forgotten, and what is kept."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from torchzero.quasi_newton import lbfgs
from torchzero.quasi_newton.lbfgs import LONG

seeds = st.integers(0, 2**32 - 1)


def trajectory(seed: int, n: int = 6, steps: int = 5) -> tuple[list[Tensor], list[Tensor]]:
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n))
    A = A @ A.T + 0.2 * np.eye(n)
    points = rng.normal(size=(steps, n))
    return [torch.from_numpy(x) for x in points], [torch.from_numpy(A @ x) for x in points]


def run(opt: tz.Module, points: list[Tensor], grads: list[Tensor]) -> tuple[Any, Tensor]:
    state = opt.init(points[0])
    for x, g in zip(points, grads, strict=True):
        state, var = opt.step(state, tz.Var(x, grad=g))
    return state, var.update


@settings(max_examples=20)
@given(seed=seeds)
def test_lbfgs_that_forgets_nothing_is_bfgs(seed: int) -> None:
    points, grads = trajectory(seed)
    s, y = points[-1] - points[-2], grads[-1] - grads[-2]
    dense = tz.m.BFGS(init_scale=(y @ y / (s @ y)).item())
    opt = tz.m.LBFGS()
    state, d = run(opt, points, grads)
    other, expected = run(dense, points, grads)
    torch.testing.assert_close(d, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(opt.operator(state).to_dense() @ other.P, torch.eye(6).double(), rtol=0, atol=1e-6)


@settings(max_examples=20)
@given(seed=seeds)
def test_lsr1_that_forgets_nothing_is_sr1(seed: int) -> None:
    points, grads = trajectory(seed)
    _, d = run(tz.m.LSR1(), points, grads)
    torch.testing.assert_close(d, run(tz.m.SR1(init_scale=1.0), points, grads)[1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("make", [tz.m.LBFGS, tz.m.LSR1, tz.m.LBFGSB], ids=lambda make: make.__name__)
def test_the_direction_is_that_of_the_operator(make) -> None:
    points, grads = trajectory(3)
    opt = make(history_size=3)
    state, d = run(opt, points, grads)
    torch.testing.assert_close(opt.operator(state).solve(grads[-1]), d, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(opt.operator(state).matvec(d), grads[-1], rtol=1e-6, atol=1e-7)


def test_products_of_the_pairs_are_those_of_the_rows() -> None:
    state, _ = run(tz.m.LBFGS(history_size=3), *trajectory(1, steps=7))
    torch.testing.assert_close(state.sy, torch.stack([s @ y for s, y in zip(state.S, state.Y, strict=True)]))


def quadratic_run(opt: tz.Module, n: int, steps: int) -> tuple[Any, Tensor, Tensor]:
    """Steps along a quadratic with n curvatures: the state, and the last gradient and direction."""
    g = torch.Generator().manual_seed(0)
    a, x = 0.1 + torch.rand(n, generator=g, dtype=torch.float64), torch.randn(n, generator=g, dtype=torch.float64)
    state, d = opt.init(x), x
    for _ in range(steps):
        state, var = opt.step(state, tz.Var(x, grad=a * x))
        d, x = var.update, x - 0.5 * var.update
    return state, a * (x + 0.5 * d), d


@pytest.mark.parametrize("steps", [1, 3, 9])
def test_long_vectors_take_the_direction_of_the_operator(steps: int) -> None:
    opt = tz.m.LBFGS(history_size=4, scale_first=False)
    state, g, d = quadratic_run(opt, LONG, steps)
    assert state.kept == min(steps - 1, 4)
    torch.testing.assert_close(d, opt.operator(state).solve(g), rtol=1e-9, atol=1e-12)


def test_long_vectors_are_vmapped_and_differentiated_like_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(1)
    a, starts = 0.5 + torch.rand(3, 6, generator=g).double(), torch.randn(3, 6, generator=g).double()
    opt = tz.Chain(tz.m.LBFGS(history_size=2), tz.m.LR(0.3))

    def end(x: Tensor, a: Tensor) -> Tensor:
        state = opt.init(x)
        for _ in range(6):
            x, state = opt(x, state, grad=a * x + x**3)
        return (x * x).sum()

    short = torch.vmap(torch.func.grad_and_value(end))(starts, a)
    monkeypatch.setattr(lbfgs, "LONG", 0)
    torch.testing.assert_close(torch.vmap(torch.func.grad_and_value(end))(starts, a), short)
    alone = [torch.func.grad_and_value(end)(x, b) for x, b in zip(starts, a, strict=True)]
    torch.testing.assert_close(torch.stack([v for _, v in alone]), short[1])


def test_a_long_direction_is_written_to_no_input() -> None:
    state, g, _ = quadratic_run(tz.m.LBFGS(history_size=3), LONG, 5)
    inputs = [g, *state.S, *state.Y]
    before = [(x._version, x.clone()) for x in inputs]
    lbfgs.two_loops(state, g)
    assert all(x._version == k and torch.equal(x, y) for x, (k, y) in zip(inputs, before, strict=True))


def test_steps_too_short_to_tell_add_up() -> None:
    opt = tz.m.LBFGS(ptol=0.5)
    state = opt.init(torch.zeros(1))
    for x in (0.0, 0.4, 0.8):
        state = opt.update(state, tz.Var(torch.tensor([x]), grad=torch.tensor([3 * x])))
    assert state.kept == 1
    torch.testing.assert_close(state.S[-1], torch.tensor([0.8]))


def test_a_pair_of_negative_curvature_moves_the_point_but_is_not_kept() -> None:
    opt = tz.m.LBFGS()
    state = opt.init(torch.zeros(1))
    for x, g in ((0.0, 0.0), (1.0, -1.0), (2.0, 1.0)):
        state = opt.update(state, tz.Var(torch.tensor([x]), grad=torch.tensor([g])))
    assert state.kept == 1
    assert (state.S[-1].item(), state.Y[-1].item()) == (1.0, 2.0)


def test_pairs_of_very_different_lengths_do_not_spoil_each_other() -> None:
    rng = np.random.default_rng(0)
    A = torch.diag(torch.linspace(1, 50, 8, dtype=torch.float64))
    x, opt = torch.from_numpy(rng.normal(size=8)), tz.m.LBFGS(history_size=8)
    state = opt.init(x)
    for k in range(9):
        state = opt.update(state, tz.Var(x, grad=A @ x))
        x = x + 10.0**-k * torch.from_numpy(rng.normal(size=8))
    model = opt.operator(state)
    for y in state.Y[-3:]:
        assert (model.matvec(model.solve(y)) - y).norm() < 1e-6 * y.norm()
    s, y = state.S[-1], state.Y[-1]
    assert (model.matvec(s) - y).norm() < 1e-6 * y.norm()


def test_a_batch_of_problems_is_a_loop() -> None:
    rng = np.random.default_rng(0)
    scales = torch.from_numpy(rng.uniform(0.5, 20, size=(4, 5)))
    starts = torch.from_numpy(rng.normal(size=(4, 5)))
    opt = tz.Chain(tz.m.LBFGS(history_size=3), tz.m.LR(0.3))

    def solve(x: Tensor, a: Tensor) -> Tensor:
        state = opt.init(x)
        for _ in range(8):
            x, state = opt(x, state, lambda x: (a * x * x).sum() + (x**4).sum())
        return x

    batched = torch.vmap(solve)(starts, scales)
    for i in range(4):
        torch.testing.assert_close(batched[i], solve(starts[i], scales[i]), rtol=1e-9, atol=1e-12)
