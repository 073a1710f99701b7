"""Copies and pickles of the optimizer object itself: whole, and independent of the original."""

import copy
import io
import pickle

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR

import torchzero as tz
from tests.stateful.toys import Average, Both, Epsilon, Halving, Momentum, closure_for, equal, net, train, values

CHAINS = {
    "adam": lambda: [tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.01)],
    "nested": lambda: [tz.m.Adam(exp_avg_tfm=Both(tz.m.Adam())), Both([Momentum(), Epsilon(1e-3)]), tz.m.LR(0.1)],
    "average": lambda: [Average(), tz.m.Adam(amsgrad=True), tz.m.LR(0.1)],
    "schedule": lambda: [Momentum(), tz.m.LR(Halving(0.4))],
    "tensor": lambda: [tz.m.Adam(), tz.m.LR(torch.tensor(0.1))],
    "scheduler": lambda: [tz.m.Adam(), tz.m.LR(0.1, scheduler_cls=ExponentialLR, gamma=0.5)],
}


def through_pickle(x):
    return pickle.loads(pickle.dumps(x))


def through_torch_save(x):
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, through_pickle, through_torch_save])
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_model_and_optimizer_go_on_together(chain, duplicate):
    model = net()
    opt = tz.Modular([{"params": model[0].parameters(), "lr": 0.2}, {"params": model[2].parameters()}], chain())
    train(opt, model, 3)
    other_model, other = duplicate((model, opt))
    assert {id(p) for p in other_model.parameters()} == {id(p) for g in other.param_groups for p in g["params"]}
    train(opt, model, 3, start=3)
    copied = values(other_model)
    train(other, other_model, 3, start=3)
    assert equal(model, other_model)
    assert not equal(other_model, copied)
    assert (other.current_step, other.num_evaluations) == (6, 6)


def test_before_the_first_step():
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    other_model, other = through_pickle((model, opt))
    train(opt, model, 2)
    train(other, other_model, 2)
    assert equal(model, other_model)


def test_a_copy_is_a_working_optimizer():
    model = net()
    eps = Epsilon(0.0).set_params([{"params": model[0].parameters(), "eps": 0.1}])
    opt = tz.Modular(model, eps, tz.m.LR(0.1))
    handle = opt.get_lr_module()
    handle.param_groups[0]["lr"] = 0.3
    train(opt, model, 1)
    model2, opt2 = copy.deepcopy((model, opt))
    assert opt2.model is model2
    assert opt2.get_lr_module().param_groups[0]["lr"] == 0.3
    opt2.zero_grad()
    train(opt, model, 1, start=1)
    train(opt2, model2, 1, start=1)
    assert equal(model, model2)
    opt2.param_groups[0]["eps"] = 5.0
    opt2.get_lr_module().param_groups[0]["lr"] = 0.0
    before = values(model2)
    train(opt2, model2, 1)
    assert equal(model2, before)
    seen = []
    opt2.register_step_post_hook(lambda *_: seen.append(1))
    scheduler = ExponentialLR(opt2, 0.5)
    opt2.step(closure_for(opt2, model2, 0))
    scheduler.step()
    opt2.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    assert seen == [1]
    assert opt2.load_state_dict(opt2.state_dict()) is None
    assert repr(opt2) == repr(opt)


def test_an_old_setting_does_not_stick_in_a_copy():
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.LR(0.1))
    opt.param_groups[0]["lr"] = 0.2
    _, other = copy.deepcopy((model, opt))
    del other.param_groups[0]["lr"]
    assert other.param_groups[0]["lr"] == 0.1
    assert opt.param_groups[0]["lr"] == 0.2
