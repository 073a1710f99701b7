"""Parameters that do not require grad are left out, and may come and go during training."""

import torch

import torchzero as tz
from tests.stateful.toys import BestOf, Mean, Vector, close, closure_for, equal, net, train, values


def freeze_and_thaw(opt, model):
    train(opt, model, 2)
    model[0].requires_grad_(False)
    train(opt, model, 2, start=2)
    model[0].requires_grad_(True)
    train(opt, model, 2, start=4)


def test_freezing_and_thawing_during_training_is_what_torch_does():
    model, reference = net(), net()
    freeze_and_thaw(tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1)), model)
    freeze_and_thaw(torch.optim.Adam(reference.parameters(), lr=0.1), reference)
    close(model, reference)


def test_frozen_from_the_start():
    model, reference = net(), net()
    for m, make in (
        (model, lambda p: tz.Modular(p, tz.m.Adam(), tz.m.LR(0.1))),
        (reference, lambda p: torch.optim.Adam(p, lr=0.1)),
    ):
        m[0].requires_grad_(False)
        opt = make(m.parameters())
        train(opt, m, 2)
        m[0].requires_grad_(True)
        train(opt, m, 2, start=2)
    close(model, reference)


def test_a_left_over_gradient_of_a_frozen_parameter_is_not_used():
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.1))
    train(opt, model, 1)
    model[0].weight.requires_grad_(False)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before = values([model[0].weight])
    train(opt, model, 2)
    assert equal([model[0].weight], before)
    assert int(opt.state[model[0].weight]["step"]) == 1


def test_modules_do_not_see_frozen_parameters():
    for module, lr in ((Mean(), 0.1), (BestOf(), 1.0)):
        model, alone = net(), net()
        for m in (model, alone):
            m[0].requires_grad_(False)
        opt = tz.Modular(model.parameters(), module, tz.m.LR(lr))
        other = tz.Modular(alone[2].parameters(), module, tz.m.LR(lr))
        for i in range(3):
            opt.step(closure_for(opt, model, i))
            other.step(closure_for(other, alone, i))
        assert equal(model, alone)


def test_freezing_with_closures():
    model = net()
    opt = tz.Modular(model.parameters(), BestOf(), tz.m.Adam(), tz.m.LR(0.1))
    opt.step(closure_for(opt, model, 0))
    model[2].requires_grad_(False)
    before = values(model[2])
    opt.step(closure_for(opt, model, 1))
    assert equal(model[2], before)
    model[2].requires_grad_(True)
    opt.step(closure_for(opt, model, 2))
    assert not equal(model[2], before)


def test_a_module_over_one_vector_keeps_what_it_has_seen_and_frozen_parameters_stay():
    model, reference = net(), net()
    opt = tz.Modular(model.parameters(), Vector(), tz.m.LR(0.1))
    other = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    for m, o in ((model, opt), (reference, other)):
        train(o, m, 2)
        m[0].requires_grad_(False)
        train(o, m, 2, start=2)
    close(model, reference)
    assert [int(opt.state[p]["step"]) for p in model.parameters()] == [2, 2, 4, 4]
    thawed = net()
    thawed.load_state_dict(model.state_dict())
    fresh = tz.Modular(thawed.parameters(), Vector(), tz.m.LR(0.1))
    fresh.load_state_dict(opt.state_dict())
    model[0].requires_grad_(True)
    train(opt, model, 2, start=4)
    train(fresh, thawed, 2, start=4)
    assert equal(model, thawed)


def test_a_module_over_one_vector_starts_afresh_when_the_vector_grows():
    model, reference = net(), net()
    model[0].requires_grad_(False)
    opt = tz.Modular(model.parameters(), Vector(), tz.m.LR(0.1))
    train(opt, model, 2)
    reference.load_state_dict(model.state_dict())
    model[0].requires_grad_(True)
    train(opt, model, 3)
    train(tz.Modular(reference.parameters(), Vector(), tz.m.LR(0.1)), reference, 3)
    assert equal(model, reference)
