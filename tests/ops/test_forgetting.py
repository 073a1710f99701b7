"""GradToNone and UpdateToNone."""

import pytest
import torch
from torch import Tensor

import torchzero as tz


class Counted(tz.FunctionObjective):
    """An objective that counts its gradients."""

    def __init__(self) -> None:
        super().__init__(lambda x: (x**2).sum())
        self.count = 0

    def value_and_grad(self, params: Tensor) -> tuple[Tensor, Tensor]:
        self.count += 1
        return super().value_and_grad(params)


def run(*modules: tz.Module, **known: Tensor) -> tuple[Tensor, int]:
    f, x, chain = Counted(), torch.tensor([3.0]), tz.Chain(*modules)
    update = chain.step(chain.init(x), tz.Var(x, objective=f, **known))[1].update
    return update, f.count


def test_the_gradient_is_evaluated_again() -> None:
    update, count = run(tz.m.GradToNone(), tz.m.Mul(2.0), grad=torch.tensor([1.0]))
    assert update.item() == 12
    assert count == 1
    assert run(tz.m.Mul(2.0), tz.m.GradToNone(), tz.m.Grad())[1] == 2


def test_a_direction_that_a_module_has_made_survives() -> None:
    assert run(tz.m.Sign(), tz.m.GradToNone())[0].item() == 1


def test_there_must_be_an_objective() -> None:
    with pytest.raises(RuntimeError, match="GradToNone: must evaluate the objective"):
        tz.m.GradToNone().step((), tz.Var(torch.zeros(1), grad=torch.zeros(1)))


def test_without_a_direction_the_next_module_starts_from_the_gradient() -> None:
    update, count = run(tz.m.Sign(), tz.m.UpdateToNone(), tz.m.Add(1.0))
    assert update.item() == 7
    assert count == 1
