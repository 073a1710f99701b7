"""set_params (set_param_groups): settings for one module alone, which win over everything."""

import torch

import torchzero as tz
from tests.stateful.toys import Epsilon, equal, leaves, net, train, values


def step_with_zero_gradient(opt, params):
    before = values(params)
    for p in params:
        p.grad = torch.zeros_like(p)
    opt.step()
    return [round((x - p.detach()).flatten()[0].item(), 12) for x, p in zip(before, params, strict=True)]


def test_as_a_statement_and_as_an_expression_before_the_optimizer_is_built():
    a, b = leaves((2,), (3,))
    eps = Epsilon(1.0)
    eps.set_params([{"params": [a], "eps": 2.0}, {"params": [b]}])
    assert step_with_zero_gradient(tz.Modular([a, b], [eps]), [a, b]) == [2.0, 1.0]
    opt = tz.Modular([a, b], Epsilon(1.0).set_param_groups([{"params": [b], "eps": 3.0}]), Epsilon(10.0))
    assert step_with_zero_gradient(opt, [a, b]) == [11.0, 13.0]


def test_after_the_optimizer_is_built_and_again():
    a, b = leaves((2,), (3,))
    eps = Epsilon(1.0)
    opt = tz.Modular([a, b], eps)
    assert step_with_zero_gradient(opt, [a, b]) == [1.0, 1.0]
    for value in (2.0, 3.0, 4.0, 5.0):
        eps.set_params({"params": a, "eps": value})
        eps.set_params({"params": a, "eps": -value})
        eps.set_params({"params": a, "eps": value})
        assert step_with_zero_gradient(opt, [a, b]) == [value, 1.0]
    eps.set_params([])
    assert step_with_zero_gradient(opt, [a, b]) == [1.0, 1.0]


def test_wins_over_groups_and_schedulers():
    a, b = leaves((2,), (3,))
    lr = tz.m.LR(1.0)
    lr.set_params([{"params": [a], "lr": 0.5}])
    opt = tz.Modular([a, b], Epsilon(1.0), lr)
    opt.param_groups[0]["lr"] = 0.25
    scheduler = torch.optim.lr_scheduler.ExponentialLR(opt, 0.5)
    assert step_with_zero_gradient(opt, [a, b]) == [0.5, 0.25]
    scheduler.step()
    assert step_with_zero_gradient(opt, [a, b]) == [0.5, 0.125]


def test_faq_snippet_where_lr_for_adam_means_nothing():
    model, reference = net(), net()
    groups = [{"params": model[0].parameters(), "lr": 1e-2, "eps": 1e-5}, {"params": model[2].parameters()}]
    adam = tz.m.Adam()
    adam.set_params(groups)
    train(tz.Modular(model.parameters(), [adam, tz.m.LR(1e-3), tz.m.WeightDecay()]), model, 3)
    groups = [{"params": reference[0].parameters(), "eps": 1e-5}, {"params": reference[2].parameters()}]
    train(tz.Modular(groups, [tz.m.Adam(), tz.m.LR(1e-3), tz.m.WeightDecay()]), reference, 3)
    assert equal(model, reference)


def test_one_module_in_two_optimizers_uses_the_groups_of_each():
    a, b = leaves((2,), (3,))
    eps = Epsilon(1.0).set_params([{"params": [a], "eps": 2.0}, {"params": [b], "eps": 3.0}])
    first, second = tz.Modular([a], eps), tz.Modular([b], eps)
    assert step_with_zero_gradient(first, [a]) + step_with_zero_gradient(second, [b]) == [2.0, 3.0]


def test_returns_the_module():
    adam = tz.m.Adam()
    assert adam.set_params([]) is adam
    assert adam.set_param_groups([]) is adam


def test_named_parameters():
    model = net()
    eps = Epsilon(0.0).set_params([{"params": model[0].named_parameters(), "eps": 1.0}])
    params = list(model.parameters())
    assert step_with_zero_gradient(tz.Modular(model, eps), params) == [1.0, 1.0, 0.0, 0.0]


def test_parameters_of_nobody_are_ignored():
    a, b = leaves((2,), (3,))
    eps = Epsilon(1.0).set_params([{"params": [b], "eps": 2.0}])
    assert step_with_zero_gradient(tz.Modular([a], eps), [a]) == [1.0]
