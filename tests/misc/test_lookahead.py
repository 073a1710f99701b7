"""Lookahead against optax, and what it does around the end of a round."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz


@settings(max_examples=10)
@given(st.integers(1, 4), st.floats(0, 1), st.floats(0.01, 0.3), st.integers(0, 2**31))
def test_agrees_with_optax(k: int, alpha: float, lr: float, seed: int) -> None:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    rng = np.random.default_rng(seed)
    x0, grads = rng.normal(size=3), rng.normal(size=(9, 3))
    with jax.enable_x64(True):
        theirs = optax.lookahead(optax.sgd(lr, momentum=0.7), sync_period=k, slow_step_size=alpha)
        params = optax.LookaheadParams.init_synced(jax.numpy.asarray(x0))
        state, wanted = theirs.init(params), []
        for g in grads:
            updates, state = theirs.update(jax.numpy.asarray(g), state, params)
            params = optax.apply_updates(params, updates)
            wanted.append((np.asarray(params.fast), np.asarray(params.slow)))
    opt = tz.m.Lookahead([tz.m.HeavyBall(0.7), tz.m.LR(lr)], k, alpha)
    p = torch.from_numpy(x0)
    mine = opt.init(p)
    for g, (fast, slow) in zip(grads, wanted, strict=True):
        p, mine = opt(p, mine, grad=torch.from_numpy(g))
        np.testing.assert_allclose(p.numpy(), fast, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(opt.eval_params(mine, p).numpy(), slow, rtol=1e-9, atol=1e-12)


def test_the_way_back_is_gone_also_where_the_inner_optimizer_waits() -> None:
    opt = tz.m.Lookahead([tz.m.GradientAccumulation(2), tz.m.LR(1.0)], k=3, alpha=0.5)
    p = torch.zeros(())
    state, seen = opt.init(p), []
    for _ in range(6):
        p, state = opt(p, state, grad=torch.tensor(-1.0))
        seen.append(p.item())
    assert seen == [0.0, 1.0, 0.5, 1.5, 1.5, 1.5]


def test_k_may_differ_between_parameters() -> None:
    opt = tz.m.Lookahead(tz.m.LR(1.0), k=[1, 2], alpha=0.5)  # pyright: ignore[reportArgumentType]
    p = [torch.zeros(()), torch.zeros(())]
    state, seen = opt.init(p), []
    for _ in range(2):
        p, state = opt(p, state, grad=[torch.tensor(-1.0)] * 2)
        seen.append([x.item() for x in p])
    assert seen == [[0.5, 1.0], [1.0, 1.0]]
