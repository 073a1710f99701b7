"""What is refused, and that the error says where, what and why."""

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import (
    BestOf,
    Both,
    Differences,
    Halving,
    NeedsLoss,
    equal,
    fixed_gradients,
    leaves,
    net,
    train,
    values,
)


def test_no_modules():
    with pytest.raises(RuntimeError, match=r"got no modules; give at least one"):
        tz.Modular(leaves((1,)))
    with pytest.raises(RuntimeError, match=r"got no modules; give at least one"):
        tz.Modular(leaves((1,)), [])


@pytest.mark.parametrize("params", [[], iter(()), [{"params": []}]])
def test_no_parameters(params):
    with pytest.raises(ValueError, match="empty parameter list"):
        tz.Modular(params, tz.m.LR(0.1))


@pytest.mark.parametrize("params", [torch.zeros(2), 3, None])
def test_no_iterable(params):
    with pytest.raises(TypeError, match=r"must be an iterable of tensors.*got"):
        tz.Modular(params, tz.m.LR(0.1))


def test_no_tensor():
    with pytest.raises(TypeError, match="expected tensors"):
        tz.Modular([torch.zeros(2, requires_grad=True), "weight"], tz.m.LR(0.1))


def test_a_set_has_no_order():
    with pytest.raises(TypeError, match="must be ordered"):
        tz.Modular([{"params": set(leaves((1,), (2,)))}], tz.m.LR(0.1))


def test_a_computed_tensor():
    (p,) = leaves((2,))
    with pytest.raises(ValueError, match=r"can't optimize a non-leaf Tensor of shape \(2,\)"):
        tz.Modular([p * 2], tz.m.LR(0.1))
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        tz.Modular([p[:1]], tz.m.LR(0.1))


def test_twice_in_one_group_is_a_warning_and_it_is_stepped_once():
    (p,) = leaves((2,))
    with pytest.warns(UserWarning, match="listed more than once"):
        opt = tz.Modular([p, p], tz.m.LR(1.0))
    before = values([p])
    fixed_gradients([p], 0)
    opt.step()
    assert torch.equal(p.detach(), before[0] - p.grad)


def test_in_two_groups():
    (p,) = leaves((2,))
    with pytest.raises(ValueError, match="is in another group already"):
        tz.Modular([{"params": [p]}, {"params": [p]}], tz.m.LR(0.1))
    with pytest.raises(ValueError, match="'w' is in another group already"):
        tz.Modular([{"params": [p]}, ("w", p)], tz.m.LR(0.1))


def test_a_model_without_parameters():
    with pytest.raises(ValueError, match="the ReLU has no parameters"):
        tz.Modular(torch.nn.ReLU(), tz.m.LR(0.1))


def test_an_added_group_without_params():
    opt = tz.Modular(leaves((1,)), tz.m.LR(0.1))
    with pytest.raises(KeyError, match="add_param_group: the group needs the key 'params'"):
        opt.add_param_group({"lr": 0.1})


def test_the_snapshot_of_another_optimizer():
    params = leaves((1,))
    opt = tz.Modular(params, tz.m.Adam(), tz.m.LR(0.1))
    with pytest.raises(ValueError, match=r"saved by another optimizer; give what Modular\.state_dict returned"):
        opt.load_state_dict(torch.optim.Adam(params).state_dict())


def test_nothing_requires_grad():
    with pytest.warns(UserWarning, match="no parameter requires grad"):
        tz.Modular([torch.zeros(2)], tz.m.LR(0.1))


def test_a_group_without_params():
    with pytest.raises(KeyError, match="needs the key 'params'"):
        tz.Modular([{"lr": 0.1}], tz.m.LR(0.1))


def test_named_and_bare_in_one_group():
    a, b = leaves((1,), (2,))
    with pytest.raises(ValueError, match="named and bare parameters are mixed"):
        tz.Modular([{"params": [("a", a), b]}], tz.m.LR(0.1))


@pytest.mark.parametrize("pair", [("a",), ("a", "b", "c"), (1, torch.zeros(1))])
def test_malformed_pairs(pair):
    with pytest.raises(ValueError, match=r"a named parameter is a pair"):
        tz.Modular([pair], tz.m.LR(0.1))


@pytest.mark.parametrize("module", [tz.m.Adam, 3, None, "Adam", torch.optim.SGD])
def test_not_a_module(module):
    with pytest.raises(TypeError, match=r"expected a module or a sequence of modules"):
        tz.Modular(leaves((1,)), module)


def test_a_class_instead_of_an_instance_is_told_apart():
    with pytest.raises(TypeError, match=r"did you mean Adam\(\)\?"):
        tz.Modular(leaves((1,)), tz.m.Adam, tz.m.LR(0.1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tz.m.LR(-1), r"LR\(lr=-1\): must lie in \[0, inf\)"),
        (lambda: tz.m.Adam(beta2=1.5), r"Adam\(beta2=1.5\): must lie in \[0, 1\)"),
        (lambda: tz.m.Adam(beta1=1), r"Adam\(beta1=1\): must lie in \[0, 1\)"),
        (lambda: tz.m.Adam(eps=float("nan")), r"Adam\(eps=nan\): must lie in"),
        (lambda: tz.m.WeightDecay(-0.1), r"WeightDecay\(weight_decay=-0.1\): must lie in"),
    ],
)
def test_hyperparameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_schedule_for_a_static_field():
    with pytest.raises(TypeError, match=r"Adam\(amsgrad=.*\): is static"):
        tz.m.Adam(amsgrad=Halving(1.0))


def test_group_keys_that_nobody_owns():
    with pytest.raises(ValueError, match=r"no module owns the group key 'learning_rate'=0.1; known keys: .*lr"):
        tz.Modular([{"params": leaves((1,)), "learning_rate": 0.1}], tz.m.Adam(), tz.m.LR(0.1))


def test_group_values_out_of_range():
    with pytest.raises(ValueError, match=r"Adam\(eps=-1\): must lie in"):
        tz.Modular([{"params": leaves((1,)), "eps": -1}], tz.m.Adam())
    opt = tz.Modular(leaves((1,)), tz.m.LR(0.1))
    with pytest.raises(ValueError, match=r"LR\(lr=-1\): must lie in"):
        opt.add_param_group({"params": leaves((1,)), "lr": -1})


def test_static_settings_cannot_differ_between_groups():
    with pytest.raises(ValueError, match=r"'amsgrad'=True is static in 0.Adam"):
        tz.Modular([{"params": leaves((1,)), "amsgrad": True}], tz.m.Adam())


def test_a_refused_group_leaves_the_optimizer_as_it_was():
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    for bad in ({"params": leaves((1,)), "nonsense": 1}, {"params": [*leaves((1,)), model[0].bias]}, {"lr": 0.1}):
        with pytest.raises((ValueError, KeyError)):
            opt.add_param_group(bad)
    with pytest.raises(TypeError, match="expected a dict"):
        opt.add_param_group(leaves((1,)))
    assert len(opt.param_groups) == 1
    reference = net()
    train(opt, model, 2)
    train(tz.Modular(reference.parameters(), tz.m.Adam(), tz.m.LR(0.1)), reference, 2)
    assert equal(model, reference)


@pytest.mark.parametrize("make", [lambda: BestOf(), lambda: Differences(), lambda: NeedsLoss(), lambda: Both(BestOf())])
def test_a_module_that_evaluates_asks_for_a_closure_and_nothing_happens(make):
    params = leaves((2,))
    opt = tz.Modular(params, make(), tz.m.LR(0.1))
    fixed_gradients(params, 0)
    before = values(params)
    name = type(opt.unrolled_modules[-2]).__name__
    with pytest.raises(
        RuntimeError, match=rf"{name} (evaluates the objective|needs the loss), so step needs a closure"
    ):
        opt.step()
    assert equal(params, before)
    assert opt.current_step == 0


def test_a_scheduler_without_a_learning_rate():
    opt = tz.Modular(leaves((1,)), tz.m.Adam())
    with pytest.raises(KeyError, match=r"no module has a setting called 'lr'.*tz\.m\.LR"):
        torch.optim.lr_scheduler.ConstantLR(opt)
    with pytest.raises(ValueError, match=r"add tz\.m\.LR to the chain"):
        opt.get_lr_module()


def test_sparse_gradients():
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    opt = tz.Modular(embedding.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    embedding(torch.tensor([1])).sum().backward()
    before = values(embedding)
    with pytest.raises(RuntimeError, match="sparse=False"):
        opt.step()
    assert equal(embedding, before)


def test_set_params_with_unknown_keys_or_bad_values():
    with pytest.raises(ValueError, match=r"Adam.set_param_groups: .*got 'params', 'nonsense'"):
        tz.m.Adam().set_params([{"params": leaves((1,)), "nonsense": 1}])
    with pytest.raises(ValueError, match=r"Adam\(eps=-1\)"):
        tz.m.Adam().set_params([{"params": leaves((1,)), "eps": -1}])
    with pytest.raises(ValueError, match="needs 'params'"):
        tz.m.Adam().set_params([{"eps": 1e-3}])


def test_nan_gradients_pass_through():
    params = leaves((2,))
    opt = tz.Modular(params, tz.m.Adam(), tz.m.LR(0.1))
    params[0].grad = torch.tensor([float("nan"), 1.0], dtype=torch.float64)
    opt.step()
    assert params[0].detach().isnan().tolist() == [True, False]


def test_a_gradient_of_another_shape_is_torchs_own_error():
    (p,) = leaves((2,))
    with pytest.raises(RuntimeError):
        p.grad = torch.zeros(3, dtype=torch.float64)
