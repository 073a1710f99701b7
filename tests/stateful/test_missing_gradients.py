"""A parameter whose .grad is None is skipped, parameter and state, as in torch."""

from typing import NamedTuple

import torch

import torchzero as tz
from tests.stateful.toys import Mean, Vector, close, equal, fixed_gradients, leaves, values


def sometimes(params, i):
    """Step `i` has a gradient for parameter k unless i + k is divisible by three."""
    fixed_gradients(params, i)
    for k, p in enumerate(params):
        if (i + k) % 3 == 0:
            p.grad = None


def test_the_trajectory_is_that_of_torch_whose_adam_counts_steps_per_parameter():
    mine, theirs = leaves((2,), (3, 2), ()), leaves((2,), (3, 2), ())
    opt = tz.Modular(mine, tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.0))
    other = torch.optim.Adam(theirs, lr=0.1)
    for i in range(8):
        for params, o in ((mine, opt), (theirs, other)):
            sometimes(params, i)
            o.step()
        close(mine, theirs)
    assert [int(opt.state[p]["step"]) for p in mine] == [int(other.state[p]["step"]) for p in theirs]
    for p, q in zip(mine, theirs, strict=True):
        close([opt.state[p]["0.Adam/m"]], [other.state[q]["exp_avg"]])


def test_weight_decay_skips_it_too():
    a, b = leaves((2,), (3,))
    opt = tz.Modular([a, b], tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.5))
    fixed_gradients([a], 0)
    before = values([b])
    opt.step()
    assert equal([b], before)
    assert b not in opt.state or int(opt.state[b]["step"]) == 0


def test_nothing_anywhere_is_no_step_but_counts():
    params = leaves((2,), (3,))
    opt = tz.Modular(params, tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.5))
    before = values(params)
    opt.step()
    opt.step()
    assert equal(params, before)
    assert opt.current_step == 2
    fixed_gradients(params, 0)
    opt.step()
    assert [int(opt.state[p]["0.Adam/t"]) for p in params] == [1, 1]


def test_module_wide_state_sees_those_that_are_there():
    a, b = leaves((2,), (3,))
    opt = tz.Modular([a, b], Mean(), tz.m.LR(1.0))
    a.grad, before = torch.tensor([1.0, 3.0], dtype=torch.float64), values([a, b])
    opt.step()
    torch.testing.assert_close(before[0] - a.detach(), torch.tensor([-1.0, 1.0], dtype=torch.float64))
    assert equal([b], before[1:])


def test_a_module_over_one_vector_sees_zeros():
    class Whole(Mean):
        """A mean whose state belongs to all parameters together."""

        whole = True

    a, b = leaves((2,), (2,))
    opt = tz.Modular([a, b], Whole(), tz.m.LR(1.0))
    a.grad, before = torch.tensor([1.0, 3.0], dtype=torch.float64), values([a, b])
    opt.step()
    torch.testing.assert_close(before[0] - a.detach(), torch.tensor([0.0, 2.0], dtype=torch.float64))
    torch.testing.assert_close(before[1] - b.detach(), torch.tensor([-1.0, -1.0], dtype=torch.float64))
    assert b.grad is None


def test_the_first_gradient_may_come_late():
    mine, theirs = leaves((2,), (3,)), leaves((2,), (3,))
    opt, other = tz.Modular(mine, tz.m.Adam(), tz.m.LR(0.1)), torch.optim.Adam(theirs, lr=0.1)
    for i in range(6):
        for params, o in ((mine, opt), (theirs, other)):
            fixed_gradients(params, i)
            if i < 3:
                params[1].grad = None
            o.step()
    close(mine, theirs)


def test_no_gradient_anywhere_is_no_step_for_a_module_over_one_vector_either():
    params = leaves((2,), (2,))
    opt = tz.Modular(params, Vector(), tz.m.LR(1.0))
    fixed_gradients(params, 0)
    opt.step()
    before = values(params)
    opt.zero_grad()
    opt.step()
    assert equal(params, before)


def test_slots_that_only_some_parameters_have():
    class Matrices(tz.TensorwiseTransform):
        """Heavy ball on matrices; vectors have no buffer."""

        class State(NamedTuple):
            """State of one tensor."""

            m: torch.Tensor | tuple[()]  # like param   sum of past directions; () for vectors

        def init_tensor(self, param):
            return self.State(torch.zeros_like(param) if param.ndim == 2 else ())

        def update_tensor(self, state, u, at):
            return self.State(0.9 * state.m + u) if isinstance(state.m, torch.Tensor) else state

        def apply_tensor(self, state, u, at):
            return state.m if isinstance(state.m, torch.Tensor) else u

    for skipped in (0, 1):
        both, alone = leaves((2, 2), (3,)), leaves((2, 2), (3,))
        opt = tz.Modular(both, Matrices(), tz.m.LR(0.1))
        others = [tz.Modular([p], Matrices(), tz.m.LR(0.1)) for p in alone]
        for i in range(5):
            fixed_gradients(both, i)
            fixed_gradients(alone, i)
            if i % 2 == 0:
                both[skipped].grad = alone[skipped].grad = None
            opt.step()
            for other in others:
                other.step()
        assert equal(both, alone)
