"""A parameter whose .grad is None is skipped, parameter and state, as in torch."""

import torch

import torchzero as tz
from tests.stateful.toys import Mean, close, equal, fixed_gradients, leaves, values


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
