"""Dogleg: where on its path a step ends."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, quartics
from torchzero.linalg.operators import Dense


def step(H: Array, g: Array, radius: float) -> Array:
    B, u = Dense(torch.from_numpy(H)), torch.from_numpy(g)
    module = tz.m.Dogleg(tz.m.Newton())
    prepared, _ = module.prepare(B, u, torch.zeros(()), None)
    return module.subproblem(B, u, torch.tensor(radius, dtype=torch.float64), prepared).numpy()


@settings(max_examples=60)
@given(case=quartics(definite=False), radius=st.floats(0.02, 8))
def test_the_step_lies_on_the_path(case: tuple[Quartic, Array], radius: float) -> None:
    f, x = case
    H, g = f.hessian(x), f.grad(x)
    d, curvature = step(H, g, radius), g @ H @ g
    cauchy, newton = g * (g @ g) / curvature, np.linalg.solve(H, g)

    def gain(d: Array) -> float:
        return g @ d - 0.5 * d @ H @ d

    if curvature <= 0 or np.linalg.norm(cauchy) >= radius:
        expected = radius * g / np.linalg.norm(g)
    elif gain(newton) < gain(cauchy):
        expected = cauchy
    elif np.linalg.norm(newton) <= radius:
        expected = newton
    else:
        a, b, c = (newton - cauchy) @ (newton - cauchy), cauchy @ (newton - cauchy), cauchy @ cauchy - radius**2
        expected = cauchy + (-b + np.sqrt(b * b - a * c)) / a * (newton - cauchy)
    np.testing.assert_allclose(d, expected, rtol=1e-6, atol=1e-8)
    assert np.linalg.norm(d) <= radius * (1 + 1e-9)
    assert gain(d) >= -1e-12


def test_the_interior_newton_step_is_taken() -> None:
    x = torch.tensor([1e-3], dtype=torch.float64)
    module = tz.m.Dogleg(tz.m.Newton())
    torch.testing.assert_close(
        module(x, module.init(x), lambda x: (x**2).sum())[0], torch.zeros_like(x), atol=1e-15, rtol=0
    )
