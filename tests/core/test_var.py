"""Var: immutable, evaluated when asked, remembered once."""

import copy
import pickle
from typing import Any

import optree
import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.core.var import where


class Counting(tz.Objective):
    """A parabola that counts."""

    def __init__(self) -> None:
        self.values = self.gradients = 0

    def value(self, params: Any) -> Tensor:
        self.values += 1
        return (params**2).sum()

    def value_and_grad(self, params: Any) -> tuple[Tensor, Tensor]:
        self.gradients += 1
        return (params**2).sum(), 2 * params


X = torch.tensor([1.0, -2.0])


def test_is_immutable() -> None:
    var = tz.Var(X)
    for name in ("params", "update", "grad", "stop", "anything"):
        with pytest.raises(AttributeError, match=rf"Var is immutable: use var.replace\({name}=...\)"):
            setattr(var, name, 1)
    other = var.replace(update=X, stop=True)
    assert not var.has_update
    assert var.stop is False
    assert other.update is X
    assert other.stop is True


def test_is_evaluated_when_asked_and_only_once() -> None:
    f = Counting()
    var = tz.Var(X, objective=f)
    assert (var.has_grad, var.has_loss, var.has_update) == (False, False, False)
    assert (f.values, f.gradients) == (0, 0)
    assert var.grad.tolist() == [2, -4]
    assert var.loss == 5
    assert var.update is var.grad
    assert (f.values, f.gradients) == (0, 1)


def test_the_memory_is_shared_with_what_replace_makes() -> None:
    f = Counting()
    var = tz.Var(X, objective=f)
    later = var.replace(update=X, stop=True)
    assert later.loss == 5
    assert var.has_grad
    assert var.loss == 5
    assert f.gradients == 1


def test_other_params_or_another_objective_are_evaluated_anew() -> None:
    f, g = Counting(), Counting()
    var = tz.Var(X, objective=f)
    assert var.loss == 5
    assert var.replace(params=2 * X).loss == 20
    assert var.replace(objective=g).loss == 5
    assert var.replace(objective=lambda x: x.sum()).loss == -1
    assert var.replace(params=X, objective=f).loss == 5  # the same objects: nothing to forget
    assert (f.gradients, g.gradients) == (2, 1)
    assert var.loss == 5


def test_a_loss_alone_needs_no_gradient_when_nobody_wants_one() -> None:
    f = Counting()
    var = tz.Var(X, objective=f, storage={"wants_grad": False})
    assert var.loss == 5
    assert (f.values, f.gradients) == (1, 0)
    given = tz.Var(X, objective=f, grad=X)
    assert given.loss == 5
    assert given.grad is X
    assert (f.values, f.gradients) == (2, 0)


def test_replacing_grad_or_loss_does_not_write_into_the_original() -> None:
    var = tz.Var(X, objective=Counting(), grad=X)
    other = var.replace(grad=2 * X, loss=torch.tensor(1.0))
    assert var.grad is X
    assert not var.has_loss
    assert other.loss == 1
    moved = var.replace(params=0 * X, grad=3 * X)
    assert moved.grad.tolist() == [3, -6]


def test_errors_say_what_to_give() -> None:
    var = tz.Var(X)
    with pytest.raises(
        RuntimeError, match=r"Var.grad: there is no gradient and no objective.*Var\(objective=...\).*closure"
    ):
        _ = var.grad
    with pytest.raises(RuntimeError, match=r"Var.grad"):
        _ = var.update
    with pytest.raises(RuntimeError, match=r"Var.loss: there is no loss and no objective"):
        _ = tz.Var(X, grad=X).loss
    with pytest.raises(RuntimeError, match=r"LR: must evaluate the objective, and there is none"):
        var.need_objective(tz.m.LR(0.1))
    with pytest.raises(ValueError, match=r"Var\(grad=...\): must have the structure of params"):
        tz.Var([X], grad={"x": X})


def test_apply_update() -> None:
    var = tz.Var({"x": X.bfloat16()}, update={"x": torch.tensor([0.5, 0.5], dtype=torch.float64)})
    new = tz.apply_update(var)
    assert new["x"].dtype == torch.bfloat16
    assert new["x"].tolist() == [0.5, -2.5]
    assert tz.apply_update(var.replace(skip_update=True)) is var.params
    assert tz.apply_update(var.replace(skip_update=torch.tensor(True)))["x"].tolist() == [1, -2]
    assert tz.apply_update(tz.Var(X, objective=Counting())).tolist() == [-1, 2]
    lanes = torch.vmap(lambda s: tz.apply_update(tz.Var(X, update=X, skip_update=s)))(torch.tensor([True, False]))
    assert lanes.tolist() == [[1, -2], [0, 0]]


def test_is_a_node_whose_leaves_are_what_is_known() -> None:
    var = tz.Var([X], grad=[X + 1], attrs={"k": torch.tensor(3)}, stop=torch.tensor(True), step=4)
    assert len(optree.tree_leaves(var)) == 4
    doubled = optree.tree_map(lambda x: x + x, var)
    assert doubled.grad[0].tolist() == [4, -2]
    assert not doubled.has_loss
    assert not doubled.has_update
    assert doubled.step == 4
    assert doubled.attrs["k"] == 6
    out = torch.vmap(lambda x: tz.Var(x, update=2 * x, should_terminate=x.sum() > 0))(torch.ones(3, 2))
    assert out.update.shape == (3, 2)
    assert out.should_terminate.tolist() == [True] * 3
    assert out.stop is False
    steps = torch.vmap(lambda k: tz.Var(X, update=X, step=k))(torch.arange(2)).step
    assert steps.tolist() == [0, 1]


def test_where_chooses_between_two() -> None:
    a = tz.Var(X, update=X, attrs={"r": torch.tensor(1.0), "only": 1})
    b = a.replace(update=2 * X, skip_update=True, attrs={"r": torch.tensor(2.0)})
    for flag, expected in ((True, X), (False, 2 * X)):
        out = where(torch.tensor(flag), a, b)
        assert torch.equal(out.update, expected)
        assert out.skip_update == (not flag)
        assert out.stop is False
        assert out.attrs["r"] == (1 if flag else 2)
        assert out.attrs["only"] == 1


def test_copies() -> None:
    var = tz.Var(X, grad=X + 1, attrs={"k": 1})
    for other in (copy.deepcopy(var), pickle.loads(pickle.dumps(var)), copy.copy(var)):
        assert torch.equal(other.grad, var.grad)
        assert other.attrs == {"k": 1}
    assert "known=['grad']" in repr(var)
