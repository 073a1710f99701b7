"""add_param_group: newcomers during training."""

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import Epsilon, Mean, close, fixed_gradients, leaves, net, train, values


def grow(make, model):
    opt = make(model[0].parameters())
    train(opt, model, 2)
    model.zero_grad()
    opt.add_param_group({"params": model[2].parameters(), "lr": 0.3})
    train(opt, model, 3, start=2)
    return opt


def test_newcomers_start_from_fresh_state_as_in_torch():
    model, reference = net(), net()
    opt = grow(lambda p: tz.Modular(p, tz.m.Adam(), tz.m.LR(0.1)), model)
    grow(lambda p: torch.optim.Adam(p, lr=0.1), reference)
    close(model, reference)
    assert [int(opt.state[p]["step"]) for p in model.parameters()] == [5, 5, 3, 3]


def test_accepts_what_the_constructor_accepts():
    a, b, c, d = leaves((1,), (2,), (3,), (4,))
    opt = tz.Modular([a], tz.m.LR(1.0))
    opt.add_param_group({"params": b})
    opt.add_param_group({"params": [("c", c), ("d", d)], "lr": 0.5})
    opt.add_param_group({"params": net()})
    assert opt.param_groups[3]["param_names"] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert opt.param_groups[2]["param_names"] == ["c", "d"]
    fixed_gradients([a, b, c, d], 0)
    before = values([a, b, c, d])
    opt.step()
    moved = [x - p.detach() for x, p in zip(before, (a, b, c, d), strict=True)]
    close(moved, [a.grad, b.grad, 0.5 * c.grad, 0.5 * d.grad])


def test_module_wide_state_goes_on():
    a, b = leaves((2,), (3,))
    opt = tz.Modular([a], Mean(), tz.m.LR(1.0))
    fixed_gradients([a, b], 0)
    opt.step()
    opt.add_param_group({"params": [b]})
    fixed_gradients([a, b], 1)
    opt.step()
    want = torch.cat([a.grad, b.grad]).mean()
    torch.testing.assert_close(opt.state[b]["0.Mean/mean"], want)


def test_a_known_parameter_is_refused():
    (a,) = leaves((2,))
    opt = tz.Modular([a], tz.m.LR(1.0))
    with pytest.raises(ValueError, match="is in another group already"):
        opt.add_param_group({"params": [a]})


def test_equal_names_in_two_groups_stay_apart():
    a, b = leaves((2,), (3,))
    opt = tz.Modular([{"params": [("w", a)]}, {"params": [("w", b)]}], tz.m.Adam(), tz.m.LR(0.1))
    fixed_gradients([a, b], 0)
    opt.step()
    assert opt.state[a]["0.Adam/m"].shape == (2,)
    assert opt.state[b]["0.Adam/m"].shape == (3,)


def test_a_learning_rate_handle_follows():
    a, b = leaves((2,), (3,))
    opt = tz.Modular([a], Epsilon(1.0), tz.m.LR(1.0))
    handle = opt.get_lr_module()
    opt.add_param_group({"params": [b], "lr": 0.5})
    assert [g["lr"] for g in handle.param_groups] == [1.0, 0.5]
    handle.param_groups[1]["lr"] = 0.25
    before = values([b])[0]
    for p in (a, b):
        p.grad = torch.zeros_like(p)
    opt.step()
    torch.testing.assert_close(before - b.detach(), torch.full_like(before, 0.25))
