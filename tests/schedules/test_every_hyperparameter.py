"""A schedule stands wherever a number does: in every module, in operands, in groups, and over a number."""

import pytest
import torch

import torchzero as tz
from tests import registry

START = {"a": torch.arange(6.0, dtype=torch.float64).reshape(3, 2) / 4 - 1, "b": torch.tensor([0.5, -2.0]).double()}


def loss_fn(p):
    return (p["a"] ** 2).sum() + 0.3 * ((p["b"] - 1) ** 2).sum() + (p["a"][0] * p["b"]).sum()


def run(opt, steps=3):
    params, state = START, opt.init(START)
    for _ in range(steps):
        params, state = opt(params, state, loss_fn)
    return params


def numbers(module):
    return {k: v for k, v in module.hypers().items() if isinstance(v, int | float) and k != "seed"}


@pytest.mark.parametrize("name", [name for name, entry in registry.entries().items() if numbers(entry.row.make())])
def test_a_constant_schedule_is_the_number(name):
    make = registry.entries()[name].row.make
    module = make()
    scheduled = module.evolve(**{k: tz.schedules.Constant(v) for k, v in numbers(module).items()})
    torch.testing.assert_close(run(scheduled), run(module), equal_nan=True)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "RSub", "RDiv", "Clip", "CopySign", "Lerp"])
def test_an_operand_may_be_a_schedule(op):
    special = {"Lerp": lambda x: tz.m.Lerp(tz.m.Sign(), x), "Clip": lambda x: tz.m.Clip(None, x)}
    made = special.get(op, getattr(tz.m, op))
    halves = made(tz.schedules.Linear(1.0, 0.0, steps=4))
    u = torch.tensor([3.0, -0.2])
    state = halves.init(u)
    for value in (1.0, 0.75, 0.5):
        state, var = halves.step(state, tz.Var(u, grad=u))
        plain = made(value)
        expected = plain.step(plain.init(u), tz.Var(u, grad=u))[1].update
        torch.testing.assert_close(var.update, expected)


def test_a_sum_takes_schedules_and_its_modules_keep_their_own():
    slow, fast = tz.schedules.Linear(1.0, 0.0, steps=4), tz.schedules.Linear(1.0, 0.0, steps=2)
    opt = tz.m.Sum(slow, tz.m.LR(fast))
    u = torch.tensor([8.0])
    state = opt.init(u)
    for expected in (9.0, 4.75, 0.5):
        state, var = opt.step(state, tz.Var(u, grad=u))
        assert var.update.item() == expected


def test_a_module_that_only_applies_counts_for_its_schedule():
    opt = tz.m.Fill(tz.schedules.Linear(1.0, 0.0, steps=4))
    u = torch.zeros(1)
    state = opt.init(u)
    for expected in (1.0, 0.75, 0.5):
        state, var = opt.step(state, tz.Var(u, grad=u))
        assert var.update.item() == expected


def test_a_number_may_take_the_place_of_a_schedule():
    scheduled, plain = tz.m.LR(tz.schedules.Linear(1.0, 0.0, steps=4)), tz.m.LR(0.125)
    u = torch.tensor([8.0])
    state, _ = scheduled.step(scheduled.init(u), tz.Var(u, grad=u))
    state, var = plain.step(state, tz.Var(u, grad=u))
    assert var.update.item() == 1.0
    _, var = scheduled.step(state, tz.Var(u, grad=u))  # counted on
    assert var.update.item() == 4.0


def test_a_schedule_in_the_place_of_a_number_is_refused():
    u = torch.tensor([8.0])
    with pytest.raises(TypeError, match=r"LR\(lr=Constant.*: has a schedule, and its state was made without one"):
        tz.m.LR(tz.schedules.Constant(1.0)).step(tz.m.LR(1.0).init(u), tz.Var(u, grad=u))


def _grouped(start):
    ps = [torch.nn.Parameter(x.clone()) for x in start]
    groups = [{"params": ps[:1], "lr": tz.schedules.Linear(1.0, 0.0, steps=8)}, {"params": ps[1:]}]
    return ps, tz.Modular(groups, tz.m.Lookahead([tz.m.Adam(), tz.m.LR(0.1)], k=2))


def _steps(ps, opt, n):
    for _ in range(n):
        opt.zero_grad()
        loss_fn(dict(zip("ab", ps, strict=True))).backward()
        opt.step()


def test_a_groups_schedule_goes_on_after_loading():
    ps, opt = _grouped(START.values())
    _steps(ps, opt, 3)
    again, other = _grouped(ps)
    other.load_state_dict(opt.state_dict())
    _steps(ps, opt, 3)
    _steps(again, other, 3)
    assert all(torch.equal(p, q) for p, q in zip(ps, again, strict=True))


def test_a_number_written_over_a_schedule_takes_effect():
    p = torch.nn.Parameter(torch.tensor([8.0]))
    opt = tz.Modular([p], tz.m.LR(tz.schedules.Constant(1.0)))
    for lr in (1.0, 0.5):
        opt.param_groups[0]["lr"] = lr
        p.grad = torch.ones(1)
        before = p.item()
        opt.step()
        assert p.item() == before - lr
