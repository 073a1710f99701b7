"""Adam against torch.optim, over runs on fixed gradients."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Step, decays, directions, epsilons, runs


def unroll_torch(make: Any, run: list[Step]) -> list[list[torch.Tensor]]:
    """The directions of a torch optimizer with lr=1 on given gradients."""
    params = [torch.from_numpy(x.copy()).requires_grad_() for x in run[0].p]
    opt, out = make(params), []
    for step in run:
        for p, g in zip(params, step.u, strict=True):
            p.grad = torch.from_numpy(g.copy())
        before = [p.detach().clone() for p in params]
        opt.step()
        out.append([b - p.detach() for b, p in zip(before, params, strict=True)])
    return out


@settings(max_examples=20)
@given(run=runs(), beta1=decays, beta2=decays, eps=epsilons, amsgrad=st.booleans())
def test_agrees_with_torch(run: list[Step], beta1: float, beta2: float, eps: float, amsgrad: bool) -> None:
    def make(params: Any) -> torch.optim.Adam:
        return torch.optim.Adam(params, lr=1.0, betas=(beta1, beta2), eps=eps, amsgrad=amsgrad)

    theirs = unroll_torch(make, run)
    mine = directions(tz.m.Adam(beta1, beta2, eps, amsgrad), run)
    for a, b in zip(mine, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(torch.from_numpy(x.copy()), y, rtol=1e-6, atol=1e-6)


def test_a_bad_decay_is_named_with_its_module_value_and_range() -> None:
    with pytest.raises(ValueError, match=r"Adam\(beta2=1.5\): must lie in \[0, 1\)"):
        tz.m.Adam(beta2=1.5)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_a_module_on_the_mean_square_is_seen_by_the_root(amsgrad: bool) -> None:
    plain, scaled = tz.m.Adam(amsgrad=amsgrad), tz.m.Adam(amsgrad=amsgrad, exp_avg_sq_tfm=tz.m.LR(4.0))
    params = torch.zeros(3, dtype=torch.float64)
    a, b = plain.init(params), scaled.init(params)
    for k in range(3):
        var = tz.Var(params, grad=torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64) / (k + 1))
        a, mine = plain.step(a, var)
        b, theirs = scaled.step(b, var)
        torch.testing.assert_close(mine.update, 2 * theirs.update, rtol=1e-6, atol=0)
