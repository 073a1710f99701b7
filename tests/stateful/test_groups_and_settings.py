"""param_groups: what is set there, over the modules' own values, from the next step on."""

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import (
    Both,
    Epsilon,
    Halving,
    Momentum,
    close,
    equal,
    fixed_gradients,
    leaves,
    loss_of,
    net,
    train,
    values,
)


def test_faq_groups_have_their_own_lr_and_eps():
    def groups(model):
        return [{"params": model[0].parameters(), "lr": 1e-2, "eps": 1e-5}, {"params": model[2].parameters()}]

    model, reference = net(), net()
    train(tz.Modular(groups(model), [tz.m.Adam(), tz.m.LR(1e-3)]), model, 5)
    train(torch.optim.Adam(groups(reference), lr=1e-3), reference, 5)
    close(model, reference)


def test_group_values_are_the_same_bits_as_separate_optimizers():
    model, reference = net(), net()
    groups = [
        {"params": model[0].parameters(), "lr": 0.3, "beta1": 0.5},
        {"params": model[2].parameters(), "weight_decay": 0.1},
    ]
    train(tz.Modular(groups, tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.01)), model, 4)
    first = tz.Modular(reference[0].parameters(), tz.m.Adam(beta1=0.5), tz.m.LR(0.3), tz.m.WeightDecay(0.01))
    second = tz.Modular(reference[2].parameters(), tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.1))
    for i in range(4):
        loss_of(reference, i).backward()
        first.step()
        second.step()
        reference.zero_grad()
    assert equal(model, reference)


def test_reading_falls_back_to_the_modules_and_deleting_restores_them():
    opt = tz.Modular([{"params": leaves((2,)), "eps": 1e-3}], tz.m.Adam(), tz.m.LR(0.1))
    group = opt.param_groups[0]
    assert (group["lr"], group["eps"], group["beta1"]) == (0.1, 1e-3, 0.9)
    assert {"params", "lr", "eps", "beta2", "alpha"} <= set(group)
    assert group.get("nothing", 7) == 7
    group["lr"] = 0.5
    assert group["lr"] == 0.5
    del group["lr"]
    assert group["lr"] == 0.1
    with pytest.raises(KeyError):
        group["nothing"]


def test_a_group_looks_like_a_dict():
    (p,) = leaves((2,))
    group = tz.Modular([{"params": [p], "lr": 0.2}], tz.m.WeightDecay(0.5), tz.m.LR(0.1)).param_groups[0]
    assert dict(group.items()) == {"params": [p], "lr": 0.2, "weight_decay": 0.5, "ord": 2}
    assert {k: group[k] for k in group} == dict(zip(group.keys(), group.values(), strict=True)) == group.copy()
    assert len(group) == 4
    assert "'lr': 0.2" in repr(group)
    assert group.setdefault("lr", 9) == 0.2
    assert group.pop("lr") == 0.2
    assert group["lr"] == 0.1


def test_writing_any_hyperparameter_takes_effect_at_the_next_step_and_removing_it_undoes_it():
    params = leaves((3,))
    opt = tz.Modular(params, Epsilon(1.0), tz.m.LR(1.0))

    def moved():
        before = values(params)[0]
        params[0].grad = torch.zeros_like(before)
        opt.step()
        return (before - params[0].detach())[0].item()

    assert moved() == pytest.approx(1.0)
    opt.param_groups[0]["eps"] = 2.0
    assert moved() == pytest.approx(2.0)
    opt.param_groups[0]["lr"] = 0.5
    assert moved() == pytest.approx(1.0)
    del opt.param_groups[0]["eps"]
    del opt.param_groups[0]["lr"]
    assert moved() == pytest.approx(1.0)
    opt.param_groups[0].update(eps=4.0)
    assert moved() == pytest.approx(4.0)


def test_nested_modules_see_group_settings():
    params = leaves((3,))
    opt = tz.Modular([{"params": params, "lr": 0.25}], Both([Both(tz.m.LR(1.0))]))
    fixed_gradients(params, 0)
    before = values(params)[0]
    opt.step()
    torch.testing.assert_close(before - params[0].detach(), 0.25 * params[0].grad)


def test_keys_of_schedulers_and_labels_bother_no_module():
    params = leaves((2,))
    group = {"params": params, "name": "head", "initial_lr": 0.3, "max_lr": 1.0}
    opt = tz.Modular([group], tz.m.Adam(), tz.m.LR(0.1))
    assert opt.param_groups[0]["name"] == "head"
    fixed_gradients(params, 0)
    opt.step()


def test_betas_reads_and_writes_both_decays():
    opt = tz.Modular([{"params": leaves((2,)), "betas": (0.5, 0.6)}], tz.m.Adam(), tz.m.LR(0.1))
    group = opt.param_groups[0]
    assert (group["beta1"], group["beta2"]) == (0.5, 0.6)
    group["betas"] = (0.7, 0.8)
    assert (group["beta1"], group["beta2"], group["betas"]) == (0.7, 0.8, (0.7, 0.8))
    with pytest.raises(ValueError, match="betas is the pair"):
        group["betas"] = (0.1,)


@pytest.mark.parametrize("lr", [lambda: torch.tensor(0.1), lambda: torch.tensor(0.1, dtype=torch.float64)])
def test_lr_may_be_a_tensor(lr):
    model, reference = net(), net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(lr()))
    train(opt, model, 3)
    train(torch.optim.Adam(reference.parameters(), lr=float(lr()), foreach=False), reference, 3)
    close(model, reference)
    opt.param_groups[0]["lr"].fill_(0.0)
    before = values(model)
    train(opt, model, 1)
    assert equal(model, before)


def test_tensor_settings_of_one_group_are_not_those_of_another():
    a, b = leaves((2,), (3,))
    opt = tz.Modular([{"params": [a]}, {"params": [b]}], tz.m.LR(torch.tensor(0.1)))
    opt.param_groups[0]["lr"].fill_(0.5)
    assert opt.param_groups[1]["lr"] == torch.tensor(0.1)


def test_tensor_settings_of_one_module_are_not_those_of_another():
    params = leaves((2,))
    opt = tz.Modular(params, Epsilon(torch.tensor(1.0)), Epsilon(torch.tensor(2.0)), tz.m.LR(torch.tensor(1.0)))
    params[0].grad, before = torch.zeros_like(params[0]), values(params)[0]
    opt.step()
    torch.testing.assert_close(before - params[0].detach(), torch.full_like(before, 3.0))
    opt.param_groups[0]["eps"] = 4.0
    before = values(params)[0]
    opt.step()
    torch.testing.assert_close(before - params[0].detach(), torch.full_like(before, 8.0))


def test_a_schedule_is_a_setting():
    params = leaves((2,))
    opt = tz.Modular(params, tz.m.LR(Halving(0.4)))
    moved = []
    for _ in range(3):
        before = values(params)[0]
        params[0].grad = torch.ones_like(before)
        opt.step()
        moved.append((before - params[0].detach())[0].item())
    assert moved == pytest.approx([0.4, 0.2, 0.1])


def test_momentum_of_a_group():
    model, reference = net(), net()
    train(tz.Modular([{"params": model.parameters(), "momentum": 0.5}], Momentum(), tz.m.LR(0.1)), model, 4)
    train(torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.5), reference, 4)
    close(model, reference)


def test_a_hyperparameter_may_be_a_tree_of_one_value_per_parameter():
    params = leaves((2,), (3,))
    lr = tz.tree.Leaves([0.5, 0.25], ("0", "1"))
    opt = tz.Modular(params, tz.m.LR(lr))
    fixed_gradients(params, 0)
    before = values(params)
    opt.step()
    for p, x, c in zip(params, before, lr, strict=True):
        torch.testing.assert_close(x - p.detach(), c * p.grad)


def test_one_value_per_parameter_and_a_group_that_says_otherwise():
    a, b, c = leaves((2,), (3,), (1,))
    lr = tz.tree.Leaves([0.5, 0.25, 0.125], ("0", "1", "2"))
    opt = tz.Modular([{"params": [a]}, {"params": [b], "lr": 2.0}, {"params": [c]}], tz.m.LR(lr))
    fixed_gradients([a, b, c], 0)
    before = values([a, b, c])
    opt.step()
    for p, x, rate in zip((a, b, c), before, (0.5, 2.0, 0.125), strict=True):
        torch.testing.assert_close(x - p.detach(), rate * p.grad)
