"""What Modular accepts as parameters and as modules."""

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import Both, equal, leaves, net, train


def modules():
    return [tz.m.Adam(), tz.m.LR(0.1)]


def test_is_a_torch_optimizer():
    assert isinstance(tz.Modular(leaves((2,)), *modules()), torch.optim.Optimizer)


@pytest.mark.parametrize(
    "given",
    [
        lambda m: m,
        lambda m: m.parameters(),
        lambda m: list(m.parameters()),
        lambda m: m.named_parameters(),
        lambda m: [{"params": m.parameters()}],
        lambda m: [{"params": m.named_parameters()}],
        lambda m: [{"params": m[0].parameters()}, {"params": list(m[2].parameters())}],
        lambda m: [{"params": m[0]}, {"params": m[2].named_parameters()}],
        lambda m: ({"params": p} for p in m.parameters()),
        lambda m: [{"params": m[0].weight}, m[0].bias, *m[2].parameters()],
        lambda m: [{"params": m[0].parameters()}, m[2].weight, ("bias", m[2].bias)],
        lambda m: dict(m.named_parameters()).values(),
    ],
)
def test_every_form_of_parameters_trains_alike(given):
    reference, model = net(), net()
    train(tz.Modular(reference.parameters(), *modules()), reference, 3)
    train(tz.Modular(given(model), *modules()), model, 3)
    assert equal(model, reference)


def test_a_mixture_becomes_dict_groups_then_bare_then_named():
    a, b, c, d = leaves((1,), (2,), (3,), (4,))
    opt = tz.Modular([("c", c), b, {"params": [a]}, ("d", d)], tz.m.LR(1.0))
    assert [[tuple(p.shape) for p in g["params"]] for g in opt.param_groups] == [[(1,)], [(2,)], [(3,), (4,)]]
    assert opt.param_groups[2]["param_names"] == ["c", "d"]


def test_the_model_is_kept_when_one_was_given():
    model = net()
    assert tz.Modular(model, tz.m.LR(1.0)).model is model
    assert tz.Modular(model.parameters(), tz.m.LR(1.0)).model is None


def test_callers_groups_are_not_changed():
    (p,) = leaves((2,))
    group = {"params": [p], "eps": 1e-3}
    tz.Modular([group], *modules())
    assert group == {"params": [p], "eps": 1e-3}


@pytest.mark.parametrize(
    "given",
    [
        lambda: [*modules()],
        lambda: [modules()],
        lambda: [[tz.m.Adam()], [[tz.m.LR(0.1)]]],
        lambda: [tuple(modules())],
        lambda: [tz.Chain(*modules())],
        lambda: [iter(modules())],
    ],
)
def test_modules_variadic_listed_nested_or_chained_are_the_same(given):
    reference, model = net(), net()
    train(tz.Modular(reference.parameters(), *modules()), reference, 2)
    opt = tz.Modular(model.parameters(), *given())
    train(opt, model, 2)
    assert equal(model, reference)
    assert [type(m).__name__ for m in opt.modules] == ["Adam", "LR"]


def test_unrolled_modules_lists_children_after_their_parents():
    inner = tz.m.LR(0.5)
    opt = tz.Modular(leaves((1,)), Both(inner), tz.m.Adam(exp_avg_tfm=Both(tz.m.WeightDecay())))
    assert [type(m).__name__ for m in opt.modules] == ["Both", "Adam"]
    assert [type(m).__name__ for m in opt.unrolled_modules] == ["Both", "LR", "Adam", "Both", "WeightDecay"]
    assert opt.unrolled_modules[1] is inner


def test_prints_as_its_modules():
    opt = tz.Modular(leaves((1,)), tz.m.Adam(), Both([tz.m.LR(0.1), tz.m.WeightDecay(0.5)]))
    assert repr(opt) == "Modular(Adam(), Both(modules=C(LR(lr=0.1), WeightDecay(weight_decay=0.5))))"


def test_modules_are_found_by_name_and_type():
    first, last = tz.m.LR(0.1), tz.m.LR(0.2)
    with pytest.warns(UserWarning, match="several modules have a setting called lr"):
        opt = tz.Modular(leaves((1,)), Both(first), tz.m.Adam(), last)
    assert opt.get_module_by_name("LR") is last
    assert opt.get_module_by_name(tz.m.LR, last=False) is first
    with pytest.raises(ValueError, match="there is no such module; there are Both, LR, Adam"):
        opt.get_module_by_name("Muon")


def test_defaults_are_the_modules_values_later_ones_winning():
    opt = tz.Modular(leaves((1,)), tz.m.WeightDecay(0.5), tz.m.Adam(eps=1e-3), tz.m.WeightDecay(0.25))
    assert opt.defaults["weight_decay"] == 0.25
    assert opt.defaults["eps"] == 1e-3
