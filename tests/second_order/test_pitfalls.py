"""Mistakes that second-order code is known to make."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from tests.second_order.rows import ROWS

ITERATIVE = {
    "NewtonCG": lambda inner: tz.m.NewtonCG(inner=inner),
    "NewtonCG, minres": lambda inner: tz.m.NewtonCG(solver="minres", inner=inner),
    "NewtonCGSteihaug": lambda inner: tz.m.NewtonCGSteihaug(inner=inner),
    "NystromPCG": lambda inner: tz.m.NystromPCG(rank=2, inner=inner, seed=0),
}
Make = Callable[[object], tz.Module]


@pytest.mark.parametrize("make", ITERATIVE.values(), ids=ITERATIVE.keys())
def test_a_chain_inside_makes_the_direction_that_is_solved_for(make: Make) -> None:
    x = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    f = lambda x: 0.5 * (torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64) * x * x).sum()  # noqa: E731
    opt = make([tz.m.Mul(2.0), tz.m.Mul(0.05)])
    _, var = opt.step(opt.init(x), tz.Var(x, objective=f))
    torch.testing.assert_close(var.update, 0.1 * x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", ITERATIVE.values(), ids=ITERATIVE.keys())
@pytest.mark.parametrize("c", [1.0, 3.0])
def test_a_solve_that_ends_at_once_and_one_with_nothing_to_solve_are_finite(make: Make, c: float) -> None:
    """On ½c‖x‖² one iteration is exact; at the minimum there is nothing to do."""
    opt = make(None)
    x = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    state = opt.init(x)
    for _ in range(4):
        x, state = opt(x, state, lambda x: 0.5 * c * (x * x).sum())
        assert torch.isfinite(x).all()
    torch.testing.assert_close(x, torch.zeros_like(x), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_at_a_minimum_nothing_moves_and_nothing_is_nan(name: str) -> None:
    for make in (ROWS[name].make, *ROWS[name].more):
        opt, x = make(), torch.zeros(4, dtype=torch.float64)
        state = opt.init(x)
        for _ in range(3):
            x, state = opt(x, state, lambda x: (x * x).sum() + (x**4).sum())
        assert x.abs().max() < 1e-9, make


def test_improved_newton_uses_its_correction_with_a_function_of_eigenvalues_too() -> None:
    """A first step leaves nothing to compare with; from the second on P is not the Hessian, nor symmetric."""

    def f(x: Tensor) -> Tensor:
        return (x**4).sum() + 0.5 * (x[0] * x[1]) ** 2 + (x**2).sum()

    x0, x1 = (torch.tensor(p, dtype=torch.float64) for p in ([1.0, 2.0], [0.5, 1.5]))
    kinds: tuple[dict[str, Any], ...] = ({}, {"eigval_fn": torch.abs}, {"eigv_tol": 0.0}, {"truncate": 2})
    for options in kinds:
        opt, plain = tz.m.ImprovedNewton(**options), tz.m.Newton(**options)
        state = opt.init(x0)
        first = opt.step(state, tz.Var(x0, objective=f))
        torch.testing.assert_close(
            first[1].update, plain.step(plain.init(x0), tz.Var(x0, objective=f))[1].update, rtol=1e-9, atol=1e-12
        )
        second = opt.step(first[0], tz.Var(x1, objective=f))[1].update
        newton = plain.step(plain.init(x1), tz.Var(x1, objective=f))[1].update
        assert (second - newton).abs().max() > 1e-3 * newton.abs().max(), options


def test_the_model_of_the_inverse_free_method_is_that_of_its_direction_from_the_first_step_on() -> None:
    x = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    opt = tz.m.InverseFreeNewton()
    state = opt.init(x)
    for _ in range(3):
        state, var = opt.step(state, tz.Var(x, objective=lambda x: (x**4).sum() + 0.5 * x.sum() ** 2))
        torch.testing.assert_close(opt.operator(state).solve(var.grad), var.update)
        x = x - 0.1 * var.update


@pytest.mark.parametrize("kind", ["orthonormal", "common_directions", "mixed", "rows", "rademacher"])
def test_a_sketch_has_as_many_columns_as_asked_for(kind: str) -> None:
    opt, x = tz.m.SubspaceNewton(sketch_size=4, sketch_type=kind, seed=0), torch.linspace(-1, 2, 7, dtype=torch.float64)
    state = opt.init(x)
    for _ in range(8):
        x, state = opt(x, state, lambda x: (x**4).sum() + 0.5 * (x**2).sum())
    columns = opt.operator(state).Q
    assert columns.shape == (7, 4)
    assert (columns.norm(dim=0) > 0.5).sum() <= 4
    gram = columns.mT @ columns
    torch.testing.assert_close(gram, torch.diag(gram.diagonal().round()), rtol=0, atol=1e-8)
