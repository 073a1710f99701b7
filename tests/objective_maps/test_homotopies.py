"""Homotopies: what they show is the function of the loss with its true derivatives."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz

ROWS: dict[str, tuple[tz.Module, Callable[[Tensor], Tensor]]] = {
    "square": (tz.m.SquareHomotopy(), lambda f: torch.sign(f) * f**2),
    "sqrt": (tz.m.SqrtHomotopy(), lambda f: torch.sqrt(f + 1e-12)),
    "log": (tz.m.LogHomotopy(), lambda f: torch.log(f + 1e-12)),
    "exp": (tz.m.ExpHomotopy(), torch.exp),
    "lambda": (tz.m.LambdaHomotopy(lambda f: f.sin() + f**3), lambda f: f.sin() + f**3),
}


def f(x: Tensor) -> Tensor:
    return 0.3 + 0.2 * (x**4).sum() + 0.1 * x.prod()


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**31 - 1))
def test_is_the_function_of_the_loss(name: str, seed: int) -> None:
    """Value, gradient, Hessian and its products: by autograd through the composition."""
    module, phi = ROWS[name]
    g = torch.Generator().manual_seed(seed)
    x, v = (torch.randn(3, dtype=torch.float64, generator=g) for _ in range(2))
    sign = -1.0 if name in ("square", "exp", "lambda") and seed % 2 else 1.0

    def inner(y: Tensor) -> Tensor:
        return sign * f(y)

    var = module.step((), tz.Var(x, objective=inner))[1]
    seen = var.need_objective(None)
    plain = tz.FunctionObjective(lambda y: phi(inner(y)))
    if not bool(torch.isfinite(plain.value(x))):
        return
    close = {"rtol": 1e-8, "atol": 1e-10}
    torch.testing.assert_close(seen.value(x), plain.value(x), **close)
    torch.testing.assert_close(var.loss, plain.value(x), **close)
    torch.testing.assert_close(var.update, plain.value_and_grad(x)[1], **close)
    torch.testing.assert_close(seen.hvp(x, v), plain.hvp(x, v), **close)
    torch.testing.assert_close(seen.hessian(x), plain.hessian(x), **close)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), c=st.floats(-3, 3))
def test_a_fixed_loss_has_the_gradient_of_its_logarithm(seed: int, c: float) -> None:
    x = torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))

    def positive(y: Tensor) -> Tensor:
        return f(y) ** 2 + 0.1

    var = tz.m.FixedLossHomotopy(c).step((), tz.Var(x, objective=positive))[1]
    log = tz.FunctionObjective(lambda y: c * torch.log(positive(y)))
    assert var.loss.item() == pytest.approx(c)
    torch.testing.assert_close(var.update, log.value_and_grad(x)[1])
    torch.testing.assert_close(var.need_objective(None).hessian(x), log.hessian(x))


def test_the_map_acts_on_what_was_known_before() -> None:
    """A loss and a gradient evaluated earlier are those of the old objective, and are forgotten."""
    x = torch.tensor([2.0])
    var = tz.Var(x, objective=lambda y: (y**2).sum())
    assert (var.loss, var.grad) == (4.0, torch.tensor([4.0]))
    after = tz.m.SquareHomotopy().step((), var)[1]
    assert (after.loss, after.grad) == (16.0, torch.tensor([32.0]))
    assert (var.loss, var.grad) == (4.0, torch.tensor([4.0]))


def test_a_direction_set_before_stays() -> None:
    x = torch.tensor([2.0])
    chain = tz.Chain(tz.m.Sign(), tz.m.SquareHomotopy())
    assert chain.step(chain.init(x), tz.Var(x, objective=lambda y: (y**2).sum()))[1].update == 1.0


def test_they_compose() -> None:
    x = torch.tensor([2.0], dtype=torch.float64)
    chain = tz.Chain(tz.m.SquareHomotopy(), tz.m.LogHomotopy())
    update = chain.step(chain.init(x), tz.Var(x, objective=lambda y: (y**2).sum()))[1].update
    torch.testing.assert_close(update, 4 / x)  # log (x²)²


def test_through_a_closure_the_value_alone_needs_no_backward() -> None:
    p = torch.tensor([2.0], requires_grad=True)
    asked = []

    class Look(tz.Module):
        needs = frozenset({"objective"})

        def apply(self, state: tuple[()], var: tz.Var) -> tz.Var:
            value = var.need_objective(self).value(var.params)
            return var.replace(update=torch.utils._pytree.tree_map(lambda q: value + 0 * q, var.params))

    def closure(backward: bool = True) -> Tensor:
        asked.append(backward)
        return (p**2).sum()

    opt = tz.Modular([p], tz.m.SquareHomotopy(), Look())
    assert opt.step(closure).item() == 4.0
    assert asked == [False]
    assert p.item() == 2.0 - 16.0
