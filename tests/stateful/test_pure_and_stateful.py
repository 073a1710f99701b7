"""The shell adds nothing: the chain run by hand has the same bits, and optimizers share nothing."""

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import (
    Average,
    BestOf,
    Both,
    Delay,
    Differences,
    ExtraGradient,
    Flag,
    Halving,
    Mean,
    Momentum,
    NeedsLoss,
    close,
    equal,
    leaves,
    values,
)

CHAINS = {
    "adam": lambda: [tz.m.Adam(amsgrad=True), tz.m.WeightDecay(0.01), tz.m.LR(0.1)],
    "nested": lambda: [Both([tz.m.Adam(exp_avg_tfm=Both(Momentum())), Delay()]), tz.m.LR(0.1)],
    "module-wide": lambda: [Mean(), tz.m.LR(0.1)],
    "evaluating": lambda: [tz.m.Adam(), BestOf(), tz.m.LR(0.1)],
    "elsewhere": lambda: [ExtraGradient(), Momentum(), tz.m.LR(0.1)],
    "from scratch": lambda: [Differences(), tz.m.Adam(), tz.m.LR(0.1)],
    "loss": lambda: [NeedsLoss(), tz.m.LR(0.1)],
    "schedule": lambda: [tz.m.Adam(), tz.m.LR(Halving(0.4))],
    "stop": lambda: [Flag("stop", tensor=True), tz.m.LR(0.1)],
    "skip": lambda: [tz.m.Adam(), Flag("skip_update", tensor=True), tz.m.LR(0.1)],
    "average": lambda: [Average(), tz.m.LR(0.1)],
}
SHAPES = ((2,), (3, 2), (), (0,))


def f(params):
    return sum(((p - i) ** 2).sum() + 0.1 * (p * p.sum().sin()).sum() for i, p in enumerate(params))


def closure_for(opt, params):
    def closure(backward=True):
        loss = f(params)
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_by_hand_and_by_modular_have_the_same_bits(chain):
    live = leaves(*SHAPES)
    opt = tz.Modular(live, chain())
    pure, params = tz.Chain(*chain()), values(live)
    state = pure.init(params)
    for _ in range(5):
        opt.step(closure_for(opt, live))
        params, state = pure(params, state, f)
        assert equal(live, params)
    assert equal(opt.eval_params(), pure.eval_params(state, params))


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_one_module_object_in_two_optimizers_shares_nothing(chain):
    modules = chain()
    first, second, alone = leaves(*SHAPES), leaves((4,), (1, 2)), leaves(*SHAPES)
    a, b, c = (tz.Modular(p, m) for p, m in ((first, modules), (second, modules), (alone, chain())))
    for _ in range(3):
        a.step(closure_for(a, first))
        b.step(closure_for(b, second))
        c.step(closure_for(c, alone))
    assert equal(first, alone)
    a.param_groups[0]["lr"] = 0.0
    before = values(second)
    b.step(closure_for(b, second))
    assert not equal(second, before)


@pytest.mark.parametrize("twice", [lambda m: [m, m], lambda m: [m, Both(m)]])
def test_one_module_object_twice_in_a_chain_has_two_states(twice):
    def run(modules):
        params = leaves((3,))
        opt = tz.Modular(params, modules, tz.m.LR(0.1))
        for _ in range(3):
            opt.step(closure_for(opt, params))
        return params

    assert equal(run(twice(tz.m.Adam())), run([tz.m.Adam(), tz.m.Adam()]))


def test_modules_are_left_as_they_were():
    adam = tz.m.Adam()
    before = dict(adam.__dict__)
    params = leaves((3,))
    opt = tz.Modular([{"params": params, "eps": 0.5}], adam, tz.m.LR(0.1))
    opt.step(closure_for(opt, params))
    opt.load_state_dict(opt.state_dict())
    assert {k: v for k, v in adam.__dict__.items() if k != "_scheduled"} == {
        k: v for k, v in before.items() if k != "_scheduled"
    }


def test_against_torch_over_a_long_run():
    mine, theirs = leaves(*SHAPES), leaves(*SHAPES)
    opt = tz.Modular(mine, tz.m.WeightDecay(0.1), tz.m.Adam(0.8, 0.99, 1e-6, amsgrad=True), tz.m.LR(0.05))
    other = torch.optim.Adam(theirs, 0.05, (0.8, 0.99), 1e-6, 0.1, amsgrad=True)
    for _ in range(100):
        opt.step(closure_for(opt, mine))
        other.step(closure_for(other, theirs))
    close(mine, theirs, rtol=1e-8)
