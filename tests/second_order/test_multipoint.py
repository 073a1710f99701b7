"""The multipoint methods: the published formulas with inverses written out, and their order."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import torchzero as tz
from tests.second_order.problems import Array, Quartic, pack, quartics, run


def two_point(f: Quartic, x: Array) -> Array:
    inverse = np.linalg.inv(f.hessian(x))
    y = x - inverse @ f.grad(x)
    return x - inverse @ (f.grad(x) + f.grad(y))


def three(f: Quartic, x: Array) -> Array:
    y = x - np.linalg.inv(f.hessian(x)) @ f.grad(x)
    inverse = np.linalg.inv(f.hessian(y))
    z = y - inverse @ f.grad(y)
    return y - inverse @ (f.grad(y) + f.grad(z))


def three_m2(f: Quartic, x: Array) -> Array:
    inverse = np.linalg.inv(f.hessian(x))
    y = x - inverse @ f.grad(x)
    T = (2 * np.eye(5) - inverse @ f.hessian(y)) @ inverse
    z = y - T @ f.grad(y)
    return z - T @ f.grad(z)


def five(f: Quartic, x: Array) -> Array:
    y = x - np.linalg.inv(f.hessian(x)) @ f.grad(x)
    A = f.hessian(x) + 2 * f.hessian((x + y) / 2) + f.hessian(y)
    z = y - 4 * np.linalg.inv(A) @ f.grad(y)
    B = f.hessian(x) + 2 * f.hessian((x + z) / 2) + f.hessian(z)
    return z - 4 * np.linalg.inv(B) @ f.grad(z)


TABLE: dict[str, tuple[Callable[[Quartic, Array], Array], int, int]] = {
    "TwoPointNewton": (two_point, 3, 1),
    "SixthOrder3P": (three, 6, 3),
    "SixthOrder3PM2": (three_m2, 6, 3),
    "SixthOrder5P": (five, 4, 6),
}


@pytest.mark.parametrize("name", TABLE)
@settings(max_examples=15)
@given(case=quartics())
def test_agrees_with_the_formula(name: str, case: tuple[Quartic, Array]) -> None:
    f, x = case
    for mine in run(getattr(tz.m, name)(), f, x, 2):
        x = TABLE[name][0](f, x)
        np.testing.assert_allclose(mine, x, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", TABLE)
def test_the_error_falls_with_the_order_that_is_claimed(name: str) -> None:
    module = getattr(tz.m, name)()

    def error(start: float) -> float:
        x = torch.tensor([start], dtype=torch.float64)
        return module(x, module.init(x), lambda x: (x.exp() - x).sum())[0].abs().item()

    assert error(0.1) / error(0.05) > 2 ** (TABLE[name][1] - 0.6)


@pytest.mark.parametrize("name", TABLE)
def test_evaluations_are_counted(name: str) -> None:
    module, x = getattr(tz.m, name)(), pack(np.ones(5))
    state, _ = module.step(module.init(x), tz.Var(x, objective=Quartic(np.eye(5), np.ones(5), 1.0)))
    assert module.evaluations(state).item() == TABLE[name][2]
