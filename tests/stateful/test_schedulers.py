"""Every scheduler of torch drives a chain as it drives torch's own optimizer: rates, momenta and parameters."""

import inspect

import pytest
import torch
from torch.optim import lr_scheduler as ls
from torch.optim.swa_utils import SWALR

import torchzero as tz
from tests.stateful.toys import Momentum, close, loss_of, net, train

LR = 0.1
SCHEDULERS = {
    "LambdaLR": lambda o: ls.LambdaLR(o, lambda k: 0.9**k),
    "LambdaLR, one function per group": lambda o: ls.LambdaLR(o, [lambda k: 0.9**k, lambda k: 1 / (k + 1)]),
    "MultiplicativeLR": lambda o: ls.MultiplicativeLR(o, lambda k: 0.95),
    "StepLR": lambda o: ls.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: ls.MultiStepLR(o, [2, 5], 0.3),
    "ConstantLR": lambda o: ls.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda o: ls.LinearLR(o, 0.1, 1.0, 5),
    "ExponentialLR": lambda o: ls.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda o: ls.PolynomialLR(o, 8, 2.0),
    "CosineAnnealingLR": lambda o: ls.CosineAnnealingLR(o, 6, 0.01),
    "CosineAnnealingWarmRestarts": lambda o: ls.CosineAnnealingWarmRestarts(o, 3, 2),
    "CyclicLR": lambda o: ls.CyclicLR(o, 0.01, 0.2, step_size_up=3),
    "CyclicLR, triangular2": lambda o: ls.CyclicLR(o, 0.01, 0.2, 2, mode="triangular2", cycle_momentum=False),
    "OneCycleLR": lambda o: ls.OneCycleLR(o, 0.3, total_steps=15),
    "OneCycleLR, a maximum per group": lambda o: ls.OneCycleLR(o, [0.3, 0.1], total_steps=15, three_phase=True),
    "OneCycleLR, lr only": lambda o: ls.OneCycleLR(o, 0.3, total_steps=15, cycle_momentum=False),
    "SequentialLR": lambda o: ls.SequentialLR(o, [ls.ConstantLR(o, 0.1, 3), ls.ExponentialLR(o, 0.9)], [4]),
    "ChainedScheduler": lambda o: ls.ChainedScheduler([ls.ConstantLR(o, 0.1, 3), ls.ExponentialLR(o, 0.9)]),
    "ReduceLROnPlateau": lambda o: ls.ReduceLROnPlateau(o, factor=0.5, patience=1),
    "SWALR": lambda o: SWALR(o, swa_lr=0.02, anneal_epochs=4),
}


def rates(group):
    return {k: group[k] for k in ("lr", "betas", "momentum") if k in group}


def run(opt, make, model, steps=12):
    """The settings of each group at every step, training as one does."""
    scheduler, seen = make(opt), []
    for i in range(steps):
        seen.append([rates(g) for g in opt.param_groups])
        opt.zero_grad()
        loss_of(model, i).backward()
        opt.step()
        plateau = isinstance(scheduler, ls.ReduceLROnPlateau)
        scheduler.step(1.0 if i < 9 else 0.1) if plateau else scheduler.step()
    return seen, scheduler


def groups(model):
    return [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.05}]


def test_none_is_forgotten():
    there = {n for n, c in inspect.getmembers(ls, inspect.isclass) if issubclass(c, ls.LRScheduler)}
    assert there - {"LRScheduler", "_LRScheduler"} <= {name.partition(",")[0] for name in SCHEDULERS}


@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS.keys())
@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_is_that_of_torch(make, kind):
    model, reference = net(), net()
    if kind == "Adam":
        opt = tz.Modular(groups(model), tz.m.Adam(), tz.m.LR(LR))
        other = torch.optim.Adam(groups(reference), lr=LR)
    else:
        opt = tz.Modular(groups(model), Momentum(), tz.m.LR(LR))
        other = torch.optim.SGD(groups(reference), lr=LR, momentum=0.9)
    mine, scheduler = run(opt, make, model)
    theirs, their_scheduler = run(other, make, reference)
    assert mine == theirs
    assert scheduler.get_last_lr() == their_scheduler.get_last_lr()
    close(model, reference)


@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS.keys())
def test_with_a_tensor_as_learning_rate(make):
    model, reference = net(), net()
    opt = tz.Modular(groups(model), tz.m.Adam(), tz.m.LR(torch.tensor(LR, dtype=torch.float64)))
    run(opt, make, model)
    run(tz.Modular(groups(reference), tz.m.Adam(), tz.m.LR(LR)), make, reference)
    close(model, reference, rtol=1e-6)


@pytest.mark.parametrize("make", SCHEDULERS.values(), ids=SCHEDULERS.keys())
def test_continues_from_state_dicts(make):
    def build(model):
        opt = tz.Modular(groups(model), tz.m.Adam(), tz.m.LR(LR))
        return opt, make(opt)

    def go(opt, scheduler, model, start, steps):
        for i in range(start, start + steps):
            loss_of(model, i).backward()
            opt.step()
            opt.zero_grad()
            scheduler.step(1.0) if isinstance(scheduler, ls.ReduceLROnPlateau) else scheduler.step()

    model, other = net(), net(seed=1)
    opt, scheduler = build(model)
    go(opt, scheduler, model, 0, 5)
    opt2, scheduler2 = build(other)
    other.load_state_dict(model.state_dict())
    opt2.load_state_dict(opt.state_dict())
    scheduler2.load_state_dict(scheduler.state_dict())
    go(opt, scheduler, model, 5, 4)
    go(opt2, scheduler2, other, 5, 4)
    close(model, other, rtol=0)


@pytest.mark.parametrize("name", [n for n in SCHEDULERS if n != "ReduceLROnPlateau"])
def test_inside_lr_it_is_the_same_also_through_a_checkpoint(name, tmp_path):
    make = SCHEDULERS[name]

    def build(model):
        return tz.Modular(groups(model), Momentum(), tz.m.LR(LR, scheduler_cls=make))

    reference, model, other = net(), net(), net(seed=1)
    run(torch.optim.SGD(groups(reference), lr=LR, momentum=0.9), make, reference, 10)
    opt = build(model)
    train(opt, model, 5)
    torch.save([model.state_dict(), opt.state_dict()], tmp_path / "5.pt")
    fresh, (weights, saved) = build(other), torch.load(tmp_path / "5.pt", weights_only=True)
    other.load_state_dict(weights)
    fresh.load_state_dict(saved)
    train(fresh, other, 5, start=5)
    close(other, reference)


def test_manual_writes_compose_with_a_scheduler():
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.LR(1.0))
    scheduler = ls.ExponentialLR(opt, 0.5)
    opt.step()
    opt.param_groups[0]["lr"] = 8.0
    scheduler.step()
    assert opt.param_groups[0]["lr"] == 4.0
    assert opt.param_groups[0]["initial_lr"] == 1.0


def test_a_scheduler_may_resume_from_an_epoch():
    model = net()
    opt = tz.Modular([{"params": model.parameters(), "initial_lr": 1.0}], tz.m.LR(1.0))
    scheduler = ls.StepLR(opt, 2, 0.1, last_epoch=3)
    assert scheduler.last_epoch == 4
