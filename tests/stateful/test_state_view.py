"""opt.state: what the chain keeps for each parameter."""

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import Both, Mean, fixed_gradients, leaves, net, train


def test_shows_every_slot_by_module_path():
    a, b = leaves((2,), (3, 2))
    opt = tz.Modular([a, b], Both(tz.m.Adam()), Mean(), tz.m.LR(0.1))
    fixed_gradients([a, b], 0)
    opt.step()
    fixed_gradients([a], 1)
    b.grad = None
    opt.step()
    shown = opt.state[a]
    assert set(shown) == {"step", *(f"0.Both/modules/{s}" for s in "tmv"), "1.Mean/mean"}
    assert shown["0.Both/modules/m"].shape == a.shape
    assert [int(opt.state[p]["step"]) for p in (a, b)] == [2, 1]
    assert shown["1.Mean/mean"].shape == ()
    assert set(opt.state) == {a, b}
    assert a in opt.state
    assert len(opt.state) == 2


def test_agrees_with_what_torch_keeps():
    model, reference = net(), net()
    opt, other = (
        tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1)),
        torch.optim.Adam(reference.parameters(), lr=0.1),
    )
    train(opt, model, 3)
    train(other, reference, 3)
    for p, q in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(opt.state[p]["0.Adam/m"], other.state[q]["exp_avg"])
        torch.testing.assert_close(opt.state[p]["0.Adam/v"], other.state[q]["exp_avg_sq"])
        assert opt.state[p]["step"] == other.state[q]["step"]


def test_may_be_looked_at_before_the_first_step_and_is_read_only():
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    assert all(int(s["step"]) == 0 for s in opt.state.values())
    with pytest.raises(KeyError):
        opt.state[torch.zeros(1)]
    with pytest.raises(TypeError):
        opt.state[model[0].weight] = {}


def test_reset_forgets_the_state_and_keeps_counters_and_settings():
    model = net()
    opt = tz.Modular([{"params": model.parameters(), "lr": 0.2}], tz.m.Adam(), tz.m.LR(0.1))
    train(opt, model, 2)
    opt.reset()
    assert opt.current_step == 2
    assert opt.param_groups[0]["lr"] == 0.2
    train(opt, model, 1)
    assert all(int(s["0.Adam/t"]) == 1 for s in opt.state.values())
