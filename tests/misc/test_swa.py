"""SWA against a loop."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import torchzero as tz


@given(st.integers(0, 5), st.integers(1, 3), st.integers(0, 8), st.integers(0, 2**31))
def test_is_the_mean_of_the_parameters_sampled(start: int, freq: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    opt = tz.Chain(tz.m.LR(0.5), tz.m.SWA(start, freq))
    p = torch.from_numpy(rng.normal(size=3))
    state, visited = opt.init(p), [p.numpy()]
    for _ in range(steps):
        p, state = opt(p, state, grad=torch.from_numpy(rng.normal(size=3)))
        visited.append(p.numpy())
    sampled = visited[start::freq]
    wanted = np.mean(sampled, axis=0) if sampled else visited[-1]
    np.testing.assert_allclose(opt.eval_params(state, p).numpy(), wanted, rtol=1e-9, atol=1e-12)


def test_agrees_with_torch_swa_utils() -> None:
    model = torch.nn.Linear(2, 1, dtype=torch.float64)
    theirs = torch.optim.swa_utils.AveragedModel(model)
    opt = tz.Chain(tz.m.LR(0.1), tz.m.SWA(start=3, freq=2))
    params = {k: v.detach().clone() for k, v in model.named_parameters()}
    state = opt.init(params)
    for t in range(1, 9):
        grad = tz.tree.map(lambda p, t=t: torch.cos(p * t), params)
        params, state = opt(params, state, grad=grad)
        if t >= 3 and (t - 3) % 2 == 0:
            model.load_state_dict(params)
            theirs.update_parameters(model)
    mean = opt.eval_params(state, params)
    for name, p in theirs.module.named_parameters():
        torch.testing.assert_close(mean[name], p.detach())
