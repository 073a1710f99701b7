"""The learning rate of one module: schedulers on get_lr_module(), and schedulers inside LR."""

import warnings

import pytest
import torch
from torch.optim.lr_scheduler import CyclicLR, ExponentialLR, OneCycleLR, StepLR

import torchzero as tz
from tests.stateful.toys import Both, Epsilon, Momentum, close, equal, leaves, loss_of, net, train, values


def test_faq_one_cycle_on_the_lr_module():
    model = net()
    opt = tz.Modular(model.parameters(), [tz.m.Adam(), tz.m.LR(1e-3), tz.m.WeightDecay()])
    scheduler = OneCycleLR(opt.get_lr_module(), max_lr=1e-1, total_steps=60_000)
    assert opt.get_lr_module().param_groups[0]["lr"] == pytest.approx(0.1 / 25)
    train(opt, model, 3, after=scheduler.step)
    assert scheduler.get_last_lr()[0] > 0.1 / 25


def test_drives_that_module_and_does_not_cycle_momentum():
    model, reference = net(), net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(1e-3))
    scheduler = OneCycleLR(opt.get_lr_module(), max_lr=1e-1, total_steps=10)
    other = torch.optim.Adam(reference.parameters(), lr=1e-3)
    other_scheduler = OneCycleLR(other, max_lr=1e-1, total_steps=10, cycle_momentum=False)
    train(opt, model, 9, after=scheduler.step)
    train(other, reference, 9, after=other_scheduler.step)
    assert scheduler.get_last_lr() == other_scheduler.get_last_lr()
    assert opt.param_groups[0]["beta1"] == 0.9
    close(model, reference)


def test_of_several_the_last_or_the_first_nested_ones_included():
    with pytest.warns(UserWarning, match="several modules have a setting called lr"):
        opt = tz.Modular(leaves((2,)), tz.m.LR(0.5), Both([tz.m.Adam(), tz.m.LR(0.25)]))
    assert opt.get_lr_module().module.lr == 0.25
    assert opt.get_lr_module(last=False).module.lr == 0.5
    assert opt.get_lr_module() is opt.get_lr_module()


def test_follows_the_groups_until_something_is_written():
    params = leaves((2,))
    opt = tz.Modular([{"params": params, "lr": 0.5}], Epsilon(1.0), tz.m.LR(1.0))
    handle = opt.get_lr_module()
    assert handle.param_groups[0]["lr"] == 0.5

    def moved():
        before = values(params)[0]
        params[0].grad = torch.zeros_like(before)
        opt.step()
        return (before - params[0].detach())[0].item()

    assert moved() == pytest.approx(0.5)
    opt.param_groups[0]["lr"] = 0.25
    assert moved() == pytest.approx(0.25)
    handle.param_groups[0]["lr"] = 2.0
    assert moved() == pytest.approx(2.0)


def test_groups_of_the_handle_are_those_of_the_optimizer():
    model, reference = net(), net()

    def groups(m):
        return [{"params": m[0].parameters(), "lr": 0.2}, {"params": m[2].parameters()}]

    opt = tz.Modular(groups(model), tz.m.Adam(), tz.m.LR(0.1))
    other = torch.optim.Adam(groups(reference), lr=0.1)
    train(opt, model, 5, after=ExponentialLR(opt.get_lr_module(), 0.5).step)
    train(other, reference, 5, after=ExponentialLR(other, 0.5).step)
    close(model, reference)


# ---------------------------------------------------------------------- LR(scheduler_cls=...)


def test_faq_scheduler_cls_as_written():
    model = net()
    opt = tz.Modular(
        model.parameters(),
        tz.m.Adam(),
        tz.m.LR(1e-1, scheduler_cls=lambda opt: OneCycleLR(opt, max_lr=1e-1, total_steps=60_000)),
        tz.m.WeightDecay(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(opt, model, 3)
    assert opt.get_lr_module().param_groups[0]["lr"] > 0.1 / 25


@pytest.mark.parametrize("kind", ["Adam", "SGD"])
@pytest.mark.parametrize(
    "make",
    [lambda o: OneCycleLR(o, max_lr=0.3, total_steps=12), lambda o: CyclicLR(o, 0.01, 0.2, step_size_up=3)],
    ids=["OneCycleLR", "CyclicLR"],
)
def test_cycles_momentum_of_the_same_step_as_torch_does(kind, make):
    model, reference = net(), net()
    if kind == "Adam":
        opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1, scheduler_cls=make))
        other = torch.optim.Adam(reference.parameters(), lr=0.1)
    else:
        opt = tz.Modular(model.parameters(), Both(Momentum()), tz.m.LR(0.1, make))
        other = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    train(opt, model, 10)
    train(other, reference, 10, after=make(other).step)
    close(model, reference)


def test_momentum_and_beta1_of_all_modules_are_cycled():
    model = net()
    make = lambda o: OneCycleLR(o, max_lr=0.3, total_steps=5)  # noqa: E731
    opt = tz.Modular(model.parameters(), tz.m.Adam(), Both(Momentum()), tz.m.LR(0.1, make))
    seen = []
    train(opt, model, 4, after=lambda: seen.append((opt.param_groups[0]["momentum"], opt.param_groups[0]["beta1"])))
    assert seen[0] == pytest.approx((0.95, 0.95))
    assert min(seen) == pytest.approx((0.85, 0.85), abs=0.01)


def test_momentum_is_left_alone_when_asked():
    model, reference = net(), net()
    make = lambda o: OneCycleLR(o, max_lr=0.3, total_steps=12)  # noqa: E731
    train(tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1, make, cycle_momentum=False)), model, 10)
    other = torch.optim.Adam(reference.parameters(), lr=0.1)
    train(other, reference, 10, after=OneCycleLR(other, 0.3, total_steps=12, cycle_momentum=False).step)
    close(model, reference)


def test_a_class_with_keyword_arguments_and_a_period():
    model, seen = net(), []
    lr = tz.m.LR(1.0, scheduler_cls=StepLR, sheduler_step_every=2, step_size=1, gamma=0.5)
    opt = tz.Modular(model.parameters(), Epsilon(0.0), lr)
    for i in range(7):
        loss_of(model, i).backward()
        opt.step()
        seen.append(opt.get_lr_module().param_groups[0]["lr"])
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_one_module_in_two_optimizers_has_a_scheduler_in_each():
    lr = tz.m.LR(0.1, scheduler_cls=ExponentialLR, gamma=0.5)
    model, other, reference = net(), net(), net()
    first, second = tz.Modular(model.parameters(), lr), tz.Modular(other.parameters(), lr)
    train(first, model, 4)
    train(second, other, 4)
    opt = torch.optim.SGD(reference.parameters(), lr=0.1)
    train(opt, reference, 4, after=ExponentialLR(opt, 0.5).step)
    close(model, reference)
    assert equal(model, other)


def test_the_modules_own_groups_win_over_a_scheduler_on_it():
    a, b = leaves((2,), (3,))
    lr = tz.m.LR(1.0).set_params([{"params": [a], "lr": 0.5}])
    opt = tz.Modular([a, b], Epsilon(1.0), lr)
    scheduler = ExponentialLR(opt.get_lr_module(), 0.5)
    for want in ((0.5, 1.0), (0.5, 0.5)):
        before = values([a, b])
        for p in (a, b):
            p.grad = torch.zeros_like(p)
        opt.step()
        scheduler.step()
        for x, p, d in zip(before, (a, b), want, strict=True):
            torch.testing.assert_close(x - p.detach(), torch.full_like(x, d))


def test_the_handle_reads_what_the_optimizer_says_now():
    opt = tz.Modular(leaves((2,)), tz.m.LR(1.0))
    handle = opt.get_lr_module()
    opt.param_groups[0]["lr"] = 0.5
    assert handle.param_groups[0]["lr"] == 0.5
    assert ExponentialLR(handle, 0.5).base_lrs == [0.5]


def test_each_of_two_modules_has_its_own_rate():
    with pytest.warns(UserWarning, match="several modules have a setting called lr"):
        opt = tz.Modular(leaves((2,)), tz.m.LR(0.5), tz.m.LR(0.25))
    assert opt.get_lr_module(last=False).param_groups[0]["lr"] == 0.5
    assert opt.get_lr_module().param_groups[0]["lr"] == 0.25


def test_a_step_that_fails_and_is_repeated_does_not_advance_the_scheduler_twice():
    def run(fail):
        model = net()
        opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1, scheduler_cls=ExponentialLR, gamma=0.5))
        for i in range(4):
            if fail:
                with pytest.raises(ZeroDivisionError):
                    opt.step(lambda backward=True: 1 / 0)
            loss_of(model, i).backward()
            opt.step()
            opt.zero_grad()
        return model

    assert equal(run(fail=True), run(fail=False))


def test_a_scheduler_that_needs_a_metric_is_refused():
    with pytest.raises(TypeError, match=r"needs a metric at every step; build it on opt.get_lr_module\(\)"):
        tz.Modular(leaves((2,)), tz.m.LR(0.1, scheduler_cls=torch.optim.lr_scheduler.ReduceLROnPlateau))
    model, reference = net(), net()
    for m, opt, target in (
        (model, o := tz.Modular(model.parameters(), tz.m.LR(0.1)), o.get_lr_module()),
        (reference, o := torch.optim.SGD(reference.parameters(), lr=0.1), o),
    ):
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(target, factor=0.5, patience=0)
        train(opt, m, 5, after=lambda s=scheduler: s.step(1.0))
    close(model, reference)
