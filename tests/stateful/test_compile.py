"""A training step under torch.compile that calls opt.step is right."""

import copy

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import BestOf, Both, Delay, Momentum, closure_for, equal, loss_of, net, train


@pytest.fixture(autouse=True)
def fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


CHAINS = {
    "adam": lambda: [tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.01)],
    "nested": lambda: [Both([Momentum(), Delay()]), tz.m.LR(0.1)],
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_a_compiled_training_step(chain):
    model, reference = net(), net()
    opt = tz.Modular(model.parameters(), chain())

    @torch.compile(backend="eager")
    def step(i):
        loss_of(model, i).backward()
        opt.step()
        opt.zero_grad()

    for i in range(4):
        step(i)
    train(tz.Modular(reference.parameters(), chain()), reference, 4)
    torch.testing.assert_close(
        dict(model.named_parameters()), dict(reference.named_parameters()), rtol=1e-12, atol=1e-12
    )
    assert opt.current_step == 4


def test_a_compiled_step_with_a_scheduler_sees_every_rate():
    model, reference = net(), net()

    def build(m):
        opt = tz.Modular(m.parameters(), tz.m.Adam(), tz.m.LR(0.1))
        return opt, torch.optim.lr_scheduler.ExponentialLR(opt, 0.5)

    opt, scheduler = build(model)
    step = torch.compile(opt.step, backend="eager")
    for i in range(4):
        loss_of(model, i).backward()
        step()
        opt.zero_grad()
        scheduler.step()
    other, other_scheduler = build(reference)
    train(other, reference, 4, after=other_scheduler.step)
    assert equal(model, reference)


def test_a_compiled_model_with_a_closure():
    model, reference = net(), net()
    compiled = torch.compile(model, backend="eager")
    opt, other = (tz.Modular(m.parameters(), BestOf(), tz.m.LR(0.1)) for m in (model, reference))
    for i in range(3):
        opt.step(closure_for(opt, compiled, i))
        other.step(closure_for(other, reference, i))
    assert equal(model, reference)


def test_an_optimizer_of_a_compiled_model():
    model = torch.compile(net(), backend="eager")
    reference = copy.deepcopy(net())
    train(tz.Modular(model, tz.m.Adam(), tz.m.LR(0.1)), model, 3)
    train(tz.Modular(reference, tz.m.Adam(), tz.m.LR(0.1)), reference, 3)
    assert equal(model, reference)
