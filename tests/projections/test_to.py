"""To: where the state lives, and bad arguments."""

import pytest
import torch

import torchzero as tz


def test_the_state_is_kept_and_computed_in_the_other_dtype() -> None:
    param = torch.ones(2, dtype=torch.bfloat16)
    opt = tz.m.To(tz.m.Adam(), torch.float32)
    state = opt.init(param)
    new, state = opt(param, state, grad=torch.full((2,), 0.1, dtype=torch.bfloat16))
    assert state.m.dtype == torch.float32
    assert new.dtype == torch.bfloat16


def test_the_objective_is_evaluated_in_the_parameters_own() -> None:
    seen = []

    def loss(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.dtype)
        return (x**2).sum()

    var = tz.m.To(tz.m.LR(1.0), torch.float32).projected(tz.Var(torch.ones(2, dtype=torch.float64), objective=loss))
    assert var.grad.dtype == torch.float32
    assert var.objective.value_and_grad(torch.zeros(2))[1].dtype == torch.float32
    assert set(seen) == {torch.float64}


def test_a_device_in_the_place_of_the_dtype() -> None:
    with pytest.raises(
        TypeError, match=r"To\(dtype='cpu'\): must be a torch.dtype or None; for a device write device='cpu'"
    ):
        tz.m.To(tz.m.LR(1.0), "cpu")


def test_a_device_alone() -> None:
    opt = tz.m.To(tz.m.LR(0.5), None, "cpu")
    assert opt(torch.ones(1), opt.init(torch.ones(1)), grad=torch.ones(1))[0] == 0.5
