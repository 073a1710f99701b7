"""Schedule-free training against pytorch_optimizer and optax, and what is evaluated."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz

START = [0.7, -1.3, 2.0]


def _loss(x: Tensor) -> Tensor:
    return ((x - torch.tensor([1.0, 2.0, -0.5], dtype=x.dtype)) ** 2 * torch.tensor([1.0, 0.3, 2.0])).sum() + x.prod()


def _mine(opt: tz.Module, steps: int) -> tuple[list[Tensor], list[Tensor]]:
    y = torch.tensor(START, dtype=torch.float64)
    state, ys, xs = opt.init(y), [], []
    for _ in range(steps):
        y, state = opt(y, state, _loss)
        ys.append(y)
        xs.append(opt.eval_params(state, y))
    return ys, xs


def _theirs(make: Any, steps: int) -> tuple[list[Tensor], list[Tensor]]:
    y = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    opt, ys, xs = make([y]), [], []
    for _ in range(steps):
        opt.zero_grad()
        _loss(y).backward()
        opt.step()
        ys.append(y.detach().clone())
        opt.eval()
        xs.append(y.detach().clone())
        opt.train()
    return ys, xs


def _same(a: tuple[list[Tensor], list[Tensor]], b: tuple[list[Tensor], list[Tensor]]) -> None:
    for mine, theirs in zip(a, b, strict=True):
        torch.testing.assert_close(torch.stack(mine), torch.stack(theirs), rtol=1e-7, atol=1e-8)


settings_of_both = {
    "lr": st.floats(1e-3, 0.2),
    "weight_decay": st.floats(0.0, 0.2),
    "warmup_steps": st.integers(0, 5),
    "r": st.floats(0.0, 2.0),
    "weight_lr_power": st.floats(0.0, 3.0),
}


@settings(max_examples=15)
@given(hypers=st.fixed_dictionaries(settings_of_both), beta=st.floats(0.2, 0.98))
def test_sgd_agrees_with_pytorch_optimizer(hypers: dict[str, Any], beta: float) -> None:
    pytorch_optimizer = pytest.importorskip("pytorch_optimizer")
    theirs = _theirs(lambda p: pytorch_optimizer.ScheduleFreeSGD(p, momentum=beta, foreach=False, **hypers), 8)
    _same(_mine(tz.m.ScheduleFreeSGD(momentum=beta, **hypers), 8), theirs)


@settings(max_examples=15)
@given(
    hypers=st.fixed_dictionaries(settings_of_both),
    betas=st.tuples(st.floats(0.2, 0.98), st.floats(0.5, 0.999)),
    eps=st.floats(1e-10, 1e-3),
)
def test_adam_w_agrees_with_pytorch_optimizer(hypers: dict[str, Any], betas: tuple[float, float], eps: float) -> None:
    pytorch_optimizer = pytest.importorskip("pytorch_optimizer")

    # Theirs writes the parameters with the decay added to a gradient which it overwrites; so does the authors' code.
    theirs = _theirs(lambda p: pytorch_optimizer.ScheduleFreeAdamW(p, betas=betas, eps=eps, foreach=False, **hypers), 8)
    _same(_mine(tz.m.ScheduleFreeAdamW(beta1=betas[0], beta2=betas[1], eps=eps, **hypers), 8), theirs)


def test_agrees_with_optax() -> None:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    import optax.contrib as contrib

    rng = np.random.default_rng(0)
    grads = rng.normal(size=(6, 3)).astype(np.float32)
    theirs = contrib.schedule_free(optax.sgd(0.3), 0.3, b1=0.8, weight_lr_power=2.0)
    y = jax.numpy.asarray(np.asarray(START, np.float32))
    their_state = theirs.init(y)
    opt, mine = tz.m.ScheduleFree(tz.m.WeightDecay(0.0), lr=0.3, beta=0.8), torch.tensor(START)
    state = opt.init(mine)
    for g in grads:
        updates, their_state = theirs.update(jax.numpy.asarray(g), their_state, y)
        y = optax.apply_updates(y, updates)
        mine, state = opt(mine, state, grad=torch.from_numpy(g))
        x = contrib.schedule_free_eval_params(their_state, y)
        np.testing.assert_allclose(mine.numpy(), np.asarray(y), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(opt.eval_params(state, mine).numpy(), np.asarray(x), rtol=1e-5, atol=1e-6)


def test_with_beta_zero_and_constant_rate_x_is_the_mean_of_the_path() -> None:
    opt = tz.m.ScheduleFree(tz.m.Adagrad(), lr=0.1, beta=0.0)
    ys, xs = _mine(opt, 5)
    torch.testing.assert_close(xs[-1], torch.stack(ys).mean(0))
    plain, y = tz.Chain(tz.m.Adagrad(), tz.m.LR(0.1)), torch.tensor(START, dtype=torch.float64)
    state = plain.init(y)
    for step in ys:
        y, state = plain(y, state, _loss)
        torch.testing.assert_close(y, step)


def test_eval_params_reaches_through_a_chain() -> None:
    y = torch.tensor(START, dtype=torch.float64)
    opt = tz.Chain(tz.m.ClipNorm(1.0), tz.m.ScheduleFreeSGD(lr=0.1))
    state = opt.init(y)
    y, state = opt(y, state, _loss)
    y, state = opt(y, state, _loss)
    assert not torch.equal(opt.eval_params(state, y), y)
    torch.testing.assert_close(opt.eval_params(state, y), state["1.ScheduleFreeSGD"].x)


def test_a_rate_of_zero_moves_nothing() -> None:
    ys, xs = _mine(tz.m.ScheduleFreeSGD(lr=0.0), 3)
    for x in (*ys, *xs):
        torch.testing.assert_close(x, torch.tensor(START, dtype=torch.float64))
