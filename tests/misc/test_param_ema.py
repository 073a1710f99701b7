"""ParamEMA against a loop."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import torchzero as tz


@given(st.floats(0, 0.99), st.booleans(), st.integers(1, 6), st.integers(0, 2**31))
def test_is_the_weighted_mean_of_the_parameters_visited(beta: float, debias: bool, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    opt = tz.Chain(tz.m.LR(0.5), tz.m.ParamEMA(beta, debias))
    p = torch.from_numpy(rng.normal(size=3))
    state, visited = opt.init(p), [p.numpy()]
    for _ in range(steps):
        p, state = opt(p, state, grad=torch.from_numpy(rng.normal(size=3)))
        visited.append(p.numpy())
    weights = np.array([beta**steps] + [(1 - beta) * beta ** (steps - k) for k in range(1, steps + 1)])
    if debias:
        weights[0] = 0
        weights /= weights.sum()
    wanted = sum(w * x for w, x in zip(weights, visited, strict=True))
    np.testing.assert_allclose(opt.eval_params(state, p).numpy(), wanted, rtol=1e-9, atol=1e-12)


def test_before_the_first_step_these_are_the_parameters() -> None:
    p = torch.tensor([3.0])
    for debias in (False, True):
        opt = tz.m.ParamEMA(0.9, debias)
        assert torch.equal(opt.eval_params(opt.init(p), p), p)


def test_a_long_average_of_half_precision_parameters_still_moves() -> None:
    opt = tz.m.ParamEMA(0.999)
    p = torch.zeros(1, dtype=torch.bfloat16)
    state = opt.init(p)
    for _ in range(1000):
        state, _ = opt.step(state, tz.Var(p, grad=-torch.ones(1, dtype=torch.bfloat16)))
    out = opt.eval_params(state, p)
    assert out.dtype == torch.bfloat16
    assert abs(out.item() - (1 - 0.999**1000)) < 1e-2


def test_a_skipped_step_adds_the_parameters_as_they_are() -> None:
    opt = tz.m.ParamEMA(0.5)
    p = torch.zeros(1)
    state, _ = opt.step(opt.init(p), tz.Var(p, grad=torch.ones(1), skip_update=torch.tensor(True)))
    assert opt.eval_params(state, p).item() == 0.0


def test_beta_may_be_scheduled() -> None:
    opt = tz.m.ParamEMA(tz.schedules.Linear(0.0, 1.0, 2), debias=True)
    p = torch.zeros(1)
    state = opt.init(p)
    for u in (-1.0, -3.0):
        state, _ = opt.step(state, tz.Var(p, grad=torch.tensor([u])))
    # β is 0 at the first step and 1/2 at the second
    assert opt.eval_params(state, p).item() == 2.0
