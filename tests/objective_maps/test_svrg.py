"""SVRG: Johnson and Zhang's algorithm in NumPy, the rounds, and full objectives brought along."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz

Array = np.ndarray[Any, Any]


class Data:
    """Least squares by minibatches."""

    def __init__(self, seed: int, batches: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.a, self.b = rng.normal(size=(batches, 4, 2)), rng.normal(size=(batches, 4))
        self.n = batches

    def f(self, i: int, x: Array) -> float:
        return 0.5 * float(((self.a[i] @ x - self.b[i]) ** 2).sum())

    def g(self, i: int, x: Array) -> Array:
        return self.a[i].T @ (self.a[i] @ x - self.b[i])

    def torch(self, i: int) -> Any:
        a, b = torch.from_numpy(self.a[i]), torch.from_numpy(self.b[i])
        return lambda x: 0.5 * ((a @ x - b) ** 2).sum()

    def full(self, x: Tensor) -> Tensor:
        return sum((self.torch(i)(x) for i in range(self.n)), torch.zeros(())) / self.n


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    m=st.integers(1, 4),
    accum=st.one_of(st.none(), st.integers(1, 3)),
    alpha=st.floats(0, 1.5),
    with_loss=st.booleans(),
)
def test_agrees_with_the_paper(seed: int, m: int, accum: int | None, alpha: float, with_loss: bool) -> None:
    data, lr = Data(seed), 0.02
    opt = tz.Chain(tz.m.SVRG(m, accum, svrg_loss=with_loss, alpha=alpha), tz.m.LR(lr))
    p = torch.tensor([1.0, -2.0], dtype=torch.float64)
    state = opt.init(p)
    x, n = p.numpy().copy(), m if accum is None else accum
    reference, full_g, full_f, gathered, left = x, np.zeros(2), 0.0, [], 0
    for k in range(14):
        i = k % data.n
        state, var = opt.step(state, tz.Var(p, objective=data.torch(i)))
        if left == 0:
            gathered.append((data.f(i, x), data.g(i, x)))
            if len(gathered) == n:
                reference, left = x, m
                full_f, full_g = np.mean([f for f, _ in gathered]), np.mean([g for _, g in gathered], 0)
                gathered = []
        assert bool(var.skip_update) == (left == 0)
        if left:
            g = data.g(i, x) - alpha * (data.g(i, reference) - full_g)
            f = data.f(i, x) - alpha * (data.f(i, reference) - full_f) * with_loss
            np.testing.assert_allclose(var.update, lr * g, rtol=1e-9, atol=1e-12)
            assert var.loss.item() == pytest.approx(f)
            x, left = x - lr * g, left - 1
        p = tz.apply_update(var)
        np.testing.assert_allclose(p, x, rtol=1e-9, atol=1e-12)


def test_a_full_objective_costs_no_calls() -> None:
    data, m, lr = Data(0), 3, 0.02
    opt = tz.Chain(tz.m.SVRG(m), tz.m.LR(lr))
    p = torch.tensor([1.0, -2.0], dtype=torch.float64)
    state, x, reference = opt.init(p), p.numpy().copy(), p.numpy()
    for k in range(8):
        if k % m == 0:
            reference = x
        i = k % data.n
        state, var = opt.step(state, tz.Var(p, objective=data.torch(i), storage={"full_closure": data.full}))
        p = tz.apply_update(var)
        full = np.mean([data.g(j, reference) for j in range(data.n)], 0)
        x = x - lr * (data.g(i, x) - data.g(i, reference) + full)
        np.testing.assert_allclose(p, x, rtol=1e-9)


def test_a_full_closure_through_modular_is_evaluated_once_a_round() -> None:
    data, lr = Data(1), 0.02
    p = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    opt = tz.Modular([p], tz.m.SVRG(2), tz.m.LR(lr))
    asked: list[str] = []

    def closure_of(name: str, f: Any) -> Any:
        def closure(backward: bool = True) -> Tensor:
            asked.append(name)
            loss = f(p)
            if backward:
                opt.zero_grad()
                loss.backward()
            return loss

        return closure

    x = p.detach().numpy().copy()
    for k in range(4):
        reference = x if k % 2 == 0 else reference  # noqa: F821
        opt.step(closure_of("batch", data.torch(k % 3)), full_closure=closure_of("full", data.full))
        full = np.mean([data.g(j, reference) for j in range(3)], 0)
        x = x - lr * (data.g(k % 3, x) - data.g(k % 3, reference) + full)
        np.testing.assert_allclose(p.detach(), x, rtol=1e-9)
    assert asked == ["full", "batch", "batch", "batch"] * 2


def test_gathering_calls_leave_parameters_and_later_modules_alone() -> None:
    data = Data(2)
    p = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    opt = tz.Modular([p], tz.m.SVRG(2, accum_steps=3, reset_before_accum=False), tz.m.Adam(), tz.m.LR(0.1))
    moved, calls = [], []
    for k in range(8):
        before = p.detach().clone()

        def closure(backward: bool = True, k: int = k) -> Tensor:
            calls.append(k)
            loss = data.torch(k % 3)(p)
            if backward:
                opt.zero_grad()
                loss.backward()
            return loss

        opt.step(closure)
        moved.append(not torch.equal(p.detach(), before))
    assert moved == [False, False, True, True, False, False, True, True]
    assert [calls.count(k) for k in range(8)] == [1, 1, 1, 2, 1, 1, 1, 2]
    assert int(tz.tree.leaves(opt._state["1.Adam"].t)[0]) == 4


def test_inner_modules_start_afresh_with_each_reference() -> None:
    data = Data(3)
    for reset, wanted in ((True, [0, 1, 2, 0, 1, 2]), (False, [0, 1, 2, 2, 3, 4])):
        module = tz.m.SVRG(2, reset_before_accum=reset, modules=[tz.m.Adam(), tz.m.LR(0.1)])
        p = torch.tensor([1.0, -2.0], dtype=torch.float64)
        state, counts = module.init(p), []
        for k in range(6):
            p, state = module(p, state, data.torch(k % 3))
            counts.append(int(state.children["modules"]["0.Adam"].t))
        assert counts == wanted


def test_other_links_start_afresh_with_each_reference() -> None:
    data = Data(3)
    for reset, wanted in ((True, [0, 1, 2, 0, 1, 2]), (False, [0, 1, 2, 2, 3, 4])):
        opt = tz.Chain(tz.m.SVRG(2, reset_before_accum=reset), tz.m.Adam(), tz.m.LR(0.1))
        p = torch.tensor([1.0, -2.0], dtype=torch.float64)
        state, counts = opt.init(p), []
        for k in range(6):
            p, state = opt(p, state, data.torch(k % 3))
            counts.append(int(state["1.Adam"].t))
        assert counts == wanted


def test_converges_to_the_full_minimum_where_plain_minibatches_do_not() -> None:
    data, lr = Data(4), 0.03
    p = torch.zeros(2, dtype=torch.float64)
    best = np.linalg.lstsq(data.a.reshape(-1, 2), data.b.reshape(-1), rcond=None)[0]
    ends = []
    for opt in (tz.Chain(tz.m.SVRG(6, 3), tz.m.LR(lr)), tz.Chain(tz.m.LR(lr))):
        x, state = p, opt.init(p)
        for k in range(1500):
            x, state = opt(x, state, data.torch(k % 3))
        ends.append(np.linalg.norm(x.numpy() - best))
    assert ends[0] < 1e-6 < 1e-3 < ends[1]


def test_a_reference_that_was_not_finite_is_forgotten() -> None:
    opt = tz.Chain(tz.m.SVRG(1), tz.m.LR(0.1))
    p = torch.tensor([1.0])
    state = opt.init(p)
    _, state = opt(p, state, lambda x: (x / 0).sum())
    q, state = opt(p, state, lambda x: (x**2).sum())
    torch.testing.assert_close(q, torch.tensor([0.8]))
