"""DirectWeightDecay: changes the parameters, not the update."""

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import runs
from tests.weight_decay.oracles import powers, pull, strengths


@settings(max_examples=20)
@given(data=st.data(), strength=strengths, ord=powers, lr=st.floats(0, 1))
def test_agrees_with_the_formula(data: Any, strength: float, ord: float, lr: float) -> None:
    """θ - λ sign(θ)|θ|^(p-1) - η u, wherever it stands."""
    step = data.draw(runs(steps=1))[0]
    params = [torch.from_numpy(x.copy()) for x in step.p]
    grads = [torch.from_numpy(x.copy()) for x in step.u]
    decay = tz.m.DirectWeightDecay(strength, ord)
    for opt in (tz.Chain(decay, tz.m.LR(lr)), tz.Chain(tz.m.LR(lr), decay)):
        new, _ = opt(params, opt.init(params), grad=grads)
        for x, p, u in zip(new, step.p, step.u, strict=True):
            wanted = p - strength * np.vectorize(lambda v: pull(v, ord), otypes=[float])(p) - lr * u
            np.testing.assert_allclose(x.numpy(), wanted, rtol=1e-12, atol=1e-14)


def test_the_update_passes_and_later_modules_see_the_decayed_parameters() -> None:
    """The direction is what came in; a WeightDecay after it decays what is left."""
    p, g = torch.tensor([4.0]), torch.tensor([1.0])
    var = tz.m.DirectWeightDecay(0.5).apply((), tz.Var(p, grad=g))
    assert var.update is g
    opt = tz.Chain(tz.m.DirectWeightDecay(0.5), tz.m.WeightDecay(0.25))
    assert opt.step(opt.init(p), tz.Var(p, grad=torch.zeros(1)))[1].update.item() == 0.5


def test_a_gradient_that_is_not_known_yet_is_evaluated_at_the_decayed_parameters() -> None:
    """And one that is known stays."""
    p, f = torch.tensor([4.0]), lambda x: (x**2).sum()
    decay = tz.m.DirectWeightDecay(0.5)
    assert decay.apply((), tz.Var(p, objective=f)).grad.item() == 4
    known = tz.Var(p, objective=f)
    assert known.grad.item() == 8
    assert decay.apply((), known).grad.item() == 8
