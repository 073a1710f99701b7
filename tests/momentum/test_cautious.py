"""Cautious: masks by the sign of update and gradient, over all parameters at once when it normalises."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, runs


def by_loops(u: list[Array], g: list[Array], mode: str, normalize: bool, eps: float) -> list[Array]:
    """Element by element."""
    elements = [
        (float(a), float(b)) for x, y in zip(u, g, strict=True) for a, b in zip(x.ravel(), y.ravel(), strict=True)
    ]
    kept = sum(1 for a, b in elements if (a > 0 and b > 0) or (a < 0 and b < 0))
    out = []
    for x, y in zip(u, g, strict=True):
        z = np.zeros(x.size)
        for i, (a, b) in enumerate(zip(x.ravel(), y.ravel(), strict=True)):
            agree = np.sign(a) * np.sign(b) > 0
            if mode == "zero":
                z[i] = (a if agree else 0.0) / (max(kept / len(elements), eps) if normalize else 1.0)
            elif mode == "grad":
                z[i] = a if agree else b
            else:
                z[i] = a if agree else -a
        out.append(z.reshape(x.shape))
    return out


@settings(max_examples=40)
@given(data=st.data(), mode=st.sampled_from(["zero", "grad", "backtrack"]), normalize=st.booleans())
def test_agrees_with_the_formula(data: Any, mode: str, normalize: bool) -> None:
    """The direction and the gradient are two independent draws."""
    run = data.draw(runs(steps=2))
    eps = data.draw(st.floats(1e-8, 0.9))
    u, g = run[0].u, run[1].u
    module = tz.m.Cautious(normalize, eps, mode)
    tensors = [[torch.from_numpy(x.copy()) for x in xs] for xs in (run[0].p, g, u)]
    var = tz.Var(tensors[0], grad=tensors[1], update=tensors[2])
    mine = module.apply(module.init(tensors[0]), var).update
    for x, y in zip(mine, by_loops(u, g, mode, normalize, eps), strict=True):
        np.testing.assert_allclose(x.numpy(), y, rtol=1e-12)


def test_nothing_kept_divides_by_eps() -> None:
    """The smallest fraction to divide by is what keeps it finite."""
    p = torch.zeros(2)
    var = tz.Var(p, grad=torch.ones(2), update=-torch.ones(2))
    out = tz.m.Cautious(normalize=True).apply((), var).update
    assert torch.equal(out, torch.zeros(2))


def test_an_infinite_element_that_disagrees_is_zeroed() -> None:
    """Not multiplied by zero, which would be NaN."""
    var = tz.Var(torch.zeros(1), grad=torch.ones(1), update=torch.tensor([-torch.inf]))
    assert tz.m.Cautious().apply((), var).update.item() == 0


def test_an_unknown_mode_is_named() -> None:
    """The error says what is allowed."""
    with pytest.raises(ValueError, match=r"Cautious\(mode='sign'\): must be one of 'zero', 'grad', 'backtrack'"):
        tz.m.Cautious(mode="sign")
