"""What a projection's children see, and what comes back."""

from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz


class Reversed(tz.m.ProjectionBase):
    """All coordinates in reverse order."""

    def project(self, x: Any, params: Any) -> Any:
        return tz.tree.map(lambda t: t.flip(0), x)

    def unproject(self, z: Any, params: Any) -> Any:
        return tz.tree.map(lambda t: t.flip(0), z)


class Look(tz.Module):
    """Write down what is seen."""

    seen: Any = None

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        self.seen["var"] = var
        return var


def loss(x: Tensor) -> Tensor:
    return (torch.tensor([1.0, 2.0, 3.0]) * x**2).sum()


X = torch.tensor([1.0, 0.5, -1.0])
U = torch.tensor([4.0, 5.0, 6.0])


def look(update: Tensor | None = U, grad: Tensor | None = None, objective: Any = loss, **flags: bool) -> tz.Var:
    seen: dict[str, tz.Var] = {}
    Reversed(Look(seen), **flags).step((), tz.Var(X, objective=objective, update=update, grad=grad))
    return seen["var"]


def test_children_see_what_the_flags_say() -> None:
    var = look(project_update=True, project_params=True, project_grad=True, grad=U + 1)
    assert torch.equal(var.update, U.flip(0))
    assert torch.equal(var.params, X.flip(0))
    assert torch.equal(var.grad, (U + 1).flip(0))
    hidden = look(project_update=False)
    assert torch.equal(hidden.params, torch.zeros(3))
    assert not hidden.has_update
    assert torch.equal(hidden.update, torch.func.grad(loss)(X).flip(0))


def test_the_objective_is_a_function_of_projected_parameters() -> None:
    var = look(project_params=True)
    z, v = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, -1.0, 2.0])

    def mapped(z: Tensor) -> Tensor:
        return loss(z.flip(0))

    reference = tz.FunctionObjective(mapped)
    value, grad = var.objective.value_and_grad(z)
    assert torch.allclose(value, mapped(z))
    assert torch.allclose(var.objective.value(z), mapped(z))
    assert torch.allclose(grad, torch.func.grad(mapped)(z))
    assert torch.allclose(var.objective.hvp(z, v), reference.hvp(z, v))
    assert torch.allclose(var.objective.hessian(z), reference.hessian(z))


def test_residuals_and_jacobian() -> None:
    def residuals(x: Tensor) -> Tensor:
        return torch.stack([x[0] * x[1], x[2] ** 2])

    var = look(project_params=True, objective=residuals)
    z = torch.tensor([0.1, 0.2, 0.3])
    r, jacobian = var.objective.jacobian(z)
    assert torch.allclose(r, residuals(z.flip(0)))
    assert torch.allclose(var.objective.residuals(z), r)
    assert torch.allclose(jacobian, torch.func.jacrev(lambda z: residuals(z.flip(0)))(z))


def test_without_params_the_objective_is_known_at_x0_only() -> None:
    var = look()
    assert torch.equal(var.loss, loss(X))
    assert torch.equal(var.grad, torch.func.grad(loss)(X).flip(0))
    with pytest.raises(RuntimeError, match=r"Reversed\(project_params=False\).*give project_params=True"):
        var.objective.value(torch.zeros(3))


def test_an_evaluation_inside_is_remembered_outside() -> None:
    calls = []

    class Count(tz.Objective):
        def value_and_grad(self, params: Any) -> Any:
            calls.append(1)
            return loss(params), torch.func.grad(loss)(params)

    class Needy(tz.Module):
        def update(self, state: Any, var: tz.Var) -> Any:
            assert var.grad is not None
            assert torch.equal(var.objective.value(var.params), var.loss)
            return state

    var = tz.Var(X, objective=Count())
    _, out = tz.Chain(Reversed(Needy(), project_params=True), Reversed(Needy(), project_params=True)).step(
        {"0.Reversed": (), "1.Reversed": ()}, var
    )
    assert torch.equal(out.update, torch.func.grad(loss)(X))
    assert len(calls) == 1


def test_a_child_that_sets_no_update_leaves_it_alone() -> None:
    var = tz.Var(X, update=U)
    assert Reversed(Look({})).step((), var)[1].update is U
    assert not Reversed(Look({})).step((), tz.Var(X, objective=loss))[1].has_update


def test_flags_and_published_values_come_back_and_stop_does_not() -> None:
    class Say(tz.Module):
        def apply(self, state: Any, var: tz.Var) -> tz.Var:
            attrs = {**var.attrs, "best": var.params, "radius": torch.tensor(2.0)}
            return var.replace(attrs=attrs, skip_update=True, should_terminate=True, stop=True)

    _, out = Reversed(Say(), project_params=True).step((), tz.Var(X, update=U))
    assert torch.equal(out.attrs["best"], X)
    assert out.attrs["radius"] == 2
    assert (out.skip_update, out.should_terminate, out.stop) == (True, True, False)


def test_the_average_to_evaluate_at_comes_back() -> None:
    class Half(tz.Module):
        def eval_params(self, state: Any, params: Any) -> Any:
            return params * torch.tensor([1.0, 2.0, 3.0])

    assert torch.equal(Reversed(Half(), project_params=True).eval_params((), X), X * torch.tensor([3.0, 2.0, 1.0]))
    assert Reversed(Half()).eval_params((), X) is X
