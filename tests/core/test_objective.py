"""Objectives given as functions: derivatives at any point, under vmap, grad and compile."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import torchzero as tz
from torchzero.core.objective import as_objective


def loss(p: dict[str, Tensor]) -> Tensor:
    return (p["x"] ** 4).sum() + p["x"].sum() * p["y"].exp().sum()


def point() -> dict[str, Tensor]:
    return {"x": torch.tensor([1.0, -2.0], dtype=torch.float64), "y": torch.tensor([[0.5]], dtype=torch.float64)}


def dense() -> Tensor:
    flat, unravel = tz.tree.ravel(point())
    return torch.func.jacrev(torch.func.grad(lambda v: loss(unravel(v))))(flat)


def test_value_gradient_and_curvature() -> None:
    f, p = tz.FunctionObjective(loss), point()
    value, grad = f.value_and_grad(p)
    assert value == f.value(p) == loss(p)
    q = {k: v.clone().requires_grad_() for k, v in p.items()}
    loss(q).backward()
    for k in p:
        torch.testing.assert_close(grad[k], q[k].grad)
    v = tz.tree.map(lambda x: torch.ones_like(x) * 0.5, p)
    torch.testing.assert_close(tz.tree.ravel(f.hvp(p, v))[0], dense() @ tz.tree.ravel(v)[0])
    torch.testing.assert_close(f.hessian(p), dense())


def test_curvature_under_vmap_grad_and_compile() -> None:
    f, p = tz.FunctionObjective(loss), point()
    basis = torch.eye(3, dtype=torch.float64)
    unravel = tz.tree.ravel(p)[1]
    torch.testing.assert_close(torch.vmap(lambda e: tz.tree.ravel(f.hvp(p, unravel(e)))[0])(basis), dense())
    many = tz.tree.map(lambda x: torch.stack([x, 2 * x]), p)
    torch.testing.assert_close(torch.vmap(f.hessian)(many)[0], dense())
    trace = torch.func.grad(lambda p: f.hessian(p).diagonal().sum())(p)
    torch.testing.assert_close(trace["x"], 24 * p["x"] + p["y"].exp()[0])
    torch._dynamo.reset()
    run = torch.compile(lambda p, v: (f.value_and_grad(p), f.hvp(p, v)), fullgraph=True, backend="eager")
    torch.testing.assert_close(run(p, p), (f.value_and_grad(p), f.hvp(p, p)))


def test_residuals_are_half_a_sum_of_squares() -> None:
    def r(x: Tensor) -> Tensor:
        return torch.stack([1 - x[0], 10 * (x[1] - x[0] ** 2)])

    f, x = tz.FunctionObjective(r), torch.tensor([-1.2, 1.0], dtype=torch.float64)
    value, grad = f.value_and_grad(x)
    torch.testing.assert_close(value, 0.5 * (r(x) ** 2).sum())
    residuals, jacobian = f.jacobian(x)
    torch.testing.assert_close(residuals, r(x))
    torch.testing.assert_close(jacobian, torch.func.jacrev(r)(x))
    torch.testing.assert_close(grad, jacobian.T @ residuals)
    assert tz.FunctionObjective(loss).residuals(point()).shape == (1,)


@pytest.mark.parametrize("m", [1, 3, 40])
def test_a_jacobian_costs_no_more_products_than_its_shorter_side(m: int) -> None:
    t = torch.linspace(0, 1, m, dtype=torch.float64)
    f = tz.FunctionObjective(lambda x: x[0] * torch.exp(-x[1] * t) + x[2] ** 2 * t)
    x = torch.tensor([[1.0, 2.0, 3.0], [0.5, -1.0, 2.0]], dtype=torch.float64)
    for row, (_, J) in zip(x, map(f.jacobian, x), strict=True):
        torch.testing.assert_close(J, torch.func.jacrev(f.fn)(row))
    torch.testing.assert_close(torch.vmap(f.jacobian)(x)[1], torch.func.vmap(torch.func.jacrev(f.fn))(x))
    torch._dynamo.reset()
    run = torch.compile(lambda x: torch.func.grad(lambda x: f.jacobian(x)[1].sum())(x), fullgraph=True, backend="eager")
    torch.testing.assert_close(run(x[0]), torch.func.grad(lambda x: torch.func.jacrev(f.fn)(x).sum())(x[0]))

    class Sizes(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                self.largest = max(self.largest, out.numel())
            return out

    with Sizes() as sizes:
        f.jacobian(x[0])
    assert sizes.largest <= 3 * max(m, 3)


def test_parameters_the_loss_does_not_use_have_zero_gradients() -> None:
    _, grad = tz.FunctionObjective(lambda p: (p[0] ** 2).sum()).value_and_grad([torch.ones(2), torch.ones(3)])
    assert grad[1].tolist() == [0, 0, 0]


def test_holes_are_passed_through() -> None:
    _, grad = tz.FunctionObjective(lambda p: (p[0] ** 2).sum()).value_and_grad([torch.ones(2), ()])
    assert grad[1] == ()


def test_what_can_be_an_objective() -> None:
    f = tz.FunctionObjective(loss)
    assert as_objective(f) is f
    assert as_objective(None) is None
    assert isinstance(as_objective(loss), tz.FunctionObjective)
    bad: Any = 3
    with pytest.raises(TypeError, match=r"FunctionObjective\(fn=3\): must be a function"):
        as_objective(bad)


def test_an_objective_says_what_it_cannot_do() -> None:
    class ValueOnly(tz.Objective):
        def value(self, params: Any) -> Tensor:
            return params

    for call in ("value_and_grad", "hessian", "residuals", "jacobian"):
        with pytest.raises(TypeError, match="ValueOnly cannot evaluate"):
            getattr(ValueOnly(), call)(torch.ones(()))
    with pytest.raises(TypeError, match="ValueOnly cannot evaluate Hessian-vector products"):
        ValueOnly().hvp(torch.ones(()), torch.ones(()))
