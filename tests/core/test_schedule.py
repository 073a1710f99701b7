"""Schedules as hyperparameters: a pure function of the module's own count."""

from typing import Any

import optree
import pytest
import torch
import torch.utils._pytree as torch_pytree
from torch import Tensor

import torchzero as tz
from torchzero.core.hyper import Hyper, number


class Ramp(tz.core.Schedule):
    """low + slope·k."""

    low: Hyper = number(1.0)
    slope: Hyper = number(1.0)

    def value(self, k: Tensor) -> Tensor:
        return self.low + self.slope * k


ONE = torch.ones(1)


def steps(opt: tz.Module, n: int) -> list[float]:
    state, out = opt.init(ONE), []
    for _ in range(n):
        state, var = opt.step(state, tz.Var(ONE, grad=ONE))
        out.append(var.update.item())
    return out


def test_counts_from_zero() -> None:
    assert steps(tz.m.LR(Ramp()), 4) == [1, 2, 3, 4]


def test_update_moves_it_on_and_apply_does_not() -> None:
    opt, var = tz.m.LR(Ramp()), tz.Var(ONE, grad=ONE)
    state = opt.init(ONE)
    assert opt.apply(state, var).update == 1  # before the first update: its first value
    state = opt.update(state, var)
    assert [opt.apply(state, var).update.item() for _ in range(3)] == [1, 1, 1]
    state = opt.update(opt.update(state, var), var)
    assert opt.apply(state, var).update == 3
    stepped, out = opt.step(state, var)
    assert out.update == opt.apply(stepped, var).update == 4


def test_each_module_counts_for_itself() -> None:
    chain = tz.Chain(tz.m.LR(Ramp()), tz.m.LR(Ramp(slope=0.5)))
    assert steps(chain, 3) == [1, 3, 6]


def test_several_in_one_module_and_beside_other_leaves() -> None:
    adam = tz.m.Adam(beta1=Ramp(0.5, 0.1), eps=Ramp(1.0, 1.0), alpha=2.0)
    state = adam.init(ONE)
    assert state.k == 0
    assert len(optree.tree_leaves(adam)) == 6
    fixed = tz.m.Adam(beta1=0.5, eps=1.0, alpha=2.0)
    assert steps(adam, 1) == steps(fixed, 1)


def test_in_a_prefix_tree() -> None:
    opt = tz.m.LR({"a": Ramp(), "b": 10.0})
    params = {"a": ONE, "b": ONE}
    state = opt.init(params)
    for k in range(3):
        state, var = opt.step(state, tz.Var(params, grad=params))
        assert (var.update["a"].item(), var.update["b"].item()) == (k + 1, 10)


def test_its_numbers_are_leaves() -> None:
    ramp = Ramp(torch.tensor(1.0), torch.tensor(2.0))
    assert [x.item() for x in optree.tree_leaves(ramp)] == [1, 2]
    assert [x.item() for x in torch_pytree.tree_leaves(tz.m.LR(ramp))] == [1, 2]

    def after(ramp: Ramp) -> Tensor:
        opt = tz.m.LR(ramp)
        params, state = ONE, opt.init(ONE)
        for _ in range(3):
            params, state = opt(params, state, grad=ONE)
        return params.sum()

    assert after(ramp) == 1 - (1 + 3 + 5)
    grad = torch.func.grad(after)(ramp)
    assert (grad.low, grad.slope) == (-3, -3)
    sweep = Ramp(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 1.0]))
    assert torch.vmap(after)(sweep).tolist() == [-8, -2]


def test_compiled_without_recompiling() -> None:
    torch._dynamo.reset()
    opt, params = tz.m.LR(Ramp(0.0, 1.0)), torch.ones(1)
    counter = torch._dynamo.testing.CompileCounter()

    def step(params: Tensor, state: Any) -> Any:
        return opt(params, state, grad=ONE)

    run, state = torch.compile(step, fullgraph=True, backend=counter), opt.init(params)
    for _ in range(5):
        params, state = run(params, state)
    assert params == 1 - (0 + 1 + 2 + 3 + 4)
    assert counter.frame_count == 1


def test_reset_for_online_keeps_the_count() -> None:
    opt = tz.m.LR(Ramp())
    state = opt.update(opt.init(ONE), tz.Var(ONE, grad=ONE))
    assert opt.reset_for_online(state).k == 1


def test_an_unfinished_one_says_so() -> None:
    class Nothing(tz.core.Schedule):
        """No value."""

    with pytest.raises(TypeError, match=r"Nothing must implement value\(k\)"):
        Nothing()(torch.tensor(0))
