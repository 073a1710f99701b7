"""Safe arithmetic: the value as always, and a derivative that is finite at zero."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from torchzero.core.safe import safe_div, safe_norm, safe_pow, safe_sqrt

ZEROS = torch.tensor([0.0, 4.0, 0.25], dtype=torch.float64)

CASES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "sqrt": (safe_sqrt, torch.sqrt),
    "pow": (lambda x: safe_pow(x, 0.3), lambda x: x**0.3),
    "pow_tensor": (lambda x: safe_pow(x, torch.tensor(1.7)), lambda x: x**1.7),
    "div": (lambda x: safe_div(x, x), lambda x: torch.where(x == 0, 0.0, 1.0).to(x.dtype)),
    "norm": (lambda x: safe_norm(x)[None], lambda x: torch.linalg.vector_norm(x)[None]),
    "norm3": (lambda x: safe_norm(x, 3)[None], lambda x: torch.linalg.vector_norm(x, 3)[None]),
}


@pytest.mark.parametrize("name", CASES)
def test_value_eager_differentiated_and_compiled(name: str) -> None:
    safe, plain = CASES[name]
    expected = plain(ZEROS)
    torch.testing.assert_close(safe(ZEROS), expected)
    torch.testing.assert_close(safe(ZEROS.clone().requires_grad_()).detach(), expected)
    torch.testing.assert_close(torch.vmap(safe)(torch.stack([ZEROS, ZEROS]))[1], expected)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(safe, fullgraph=True, backend="eager")(ZEROS), expected)


@pytest.mark.parametrize("name", CASES)
def test_derivative_is_finite_at_zero_and_right_elsewhere(name: str) -> None:
    safe, plain = CASES[name]
    for x in (ZEROS, torch.zeros(3, dtype=torch.float64)):
        grad = torch.func.grad(lambda x: safe(x).sum())(x)
        assert torch.isfinite(grad).all()
        second = torch.func.grad(lambda x: torch.func.grad(lambda x: safe(x).sum())(x).sum())(x)
        assert torch.isfinite(second).all()
    away = ZEROS + 1
    expected = torch.func.grad(lambda x: plain(x).sum())(away)
    torch.testing.assert_close(torch.func.grad(lambda x: safe(x).sum())(away), expected)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's, in forward mode
@pytest.mark.parametrize("name", CASES)
def test_derivative_is_finite_at_zero_in_and_around_vmap(name: str) -> None:
    safe, _ = CASES[name]
    stack = torch.stack([ZEROS, torch.zeros_like(ZEROS)])
    expected = torch.stack([torch.func.grad(lambda x: safe(x).sum())(x) for x in stack])
    assert torch.isfinite(expected).all()
    inside = torch.vmap(torch.func.grad(lambda x: safe(x).sum()))
    around = torch.func.grad(lambda x: torch.vmap(safe)(x).sum())
    twice = torch.func.grad(lambda x: torch.vmap(torch.vmap(safe))(x).sum())
    torch.testing.assert_close(inside(stack), expected)
    torch.testing.assert_close(around(stack), expected)
    torch.testing.assert_close(torch.vmap(inside)(stack[None])[0], expected)
    torch.testing.assert_close(torch.vmap(around)(stack[None])[0], expected)
    torch.testing.assert_close(twice(stack[None])[0], expected)
    leaf = stack.clone().requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(torch.vmap(safe)(leaf).sum(), leaf)[0], expected)
    tangent = torch.func.jvp(torch.vmap(safe), (stack,), (torch.ones_like(stack),))[1]
    assert torch.isfinite(tangent).all()
    assert torch.isfinite(torch.vmap(lambda x: torch.func.jvp(safe, (x,), (torch.ones_like(x),))[1])(stack)).all()


def test_root_of_a_negative_number_stays_nan() -> None:
    assert safe_sqrt(torch.tensor(-1.0)).isnan()
    assert torch.vmap(safe_sqrt)(torch.tensor([-1.0])).isnan()


@pytest.mark.parametrize("ord", [0, 1, 2, 3, math.inf, -math.inf])
@pytest.mark.parametrize("dim", [None, (0,), (1,), (0, 1)])
def test_norms_over_dimensions(ord: float, dim: tuple[int, ...] | None) -> None:
    x = torch.arange(-3.0, 3.0, dtype=torch.float64).reshape(2, 3)
    for keepdim in (False, True):
        expected = torch.linalg.vector_norm(x, ord, dim, keepdim)
        torch.testing.assert_close(safe_norm(x, ord, dim, keepdim), expected)
        torch.testing.assert_close(safe_norm(x.clone().requires_grad_(), ord, dim, keepdim).detach(), expected)


def test_one_zero_row_does_not_spoil_the_derivative_of_the_others() -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    grad = torch.func.grad(lambda x: safe_norm(x, dim=(1,)).sum())(x)
    torch.testing.assert_close(grad, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))


def test_norm_of_nothing() -> None:
    assert safe_norm(torch.zeros(0)) == 0
    assert safe_norm(torch.zeros(0, 3), dim=(0,)).tolist() == [0, 0, 0]


def test_tiny_numbers_do_not_vanish() -> None:
    x = torch.tensor([3e-160, 4e-160], dtype=torch.float64)
    assert safe_norm(x[:1]) > 0
    assert safe_div(x[:1], x[1:]) == 0.75
