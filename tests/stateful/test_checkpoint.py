"""Checkpoints: save, load with weights_only, continue: the same bits as if nothing had happened."""

import io

import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR

import torchzero as tz
from tests.stateful.toys import (
    Average,
    BestOf,
    Both,
    Delay,
    Epsilon,
    Halving,
    Mean,
    Momentum,
    Publish,
    closure_for,
    equal,
    leaves,
    net,
    train,
    values,
)

CHAINS = {
    "stateless": lambda: [tz.m.LR(0.1)],
    "adam": lambda: [tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.01)],
    "amsgrad": lambda: [tz.m.Adam(amsgrad=True), tz.m.LR(0.1)],
    "twice": lambda: [tz.m.Adam(beta1=0.5), tz.m.Adam(eps=1e-3), tz.m.LR(0.1)],
    "nested": lambda: [tz.m.Adam(exp_avg_tfm=Both(tz.m.Adam())), Both([Momentum(), Both(Epsilon(1e-3))]), tz.m.LR(0.1)],
    "module-wide": lambda: [Mean(), Momentum(), tz.m.LR(0.1)],
    "evaluating": lambda: [tz.m.Adam(), BestOf(), tz.m.LR(0.1)],
    "average": lambda: [Average(), tz.m.Adam(), tz.m.LR(0.1)],
    "holds gradients": lambda: [Delay(), tz.m.LR(0.1)],
    "schedule": lambda: [tz.m.Adam(alpha=Halving(0.4)), Both(tz.m.LR(Halving(0.5)))],
    "tensor": lambda: [tz.m.Adam(), tz.m.LR(torch.tensor(0.1))],
    "scheduler": lambda: [tz.m.Adam(), tz.m.LR(0.1, scheduler_cls=ExponentialLR, gamma=0.5)],
    "cycled momentum": lambda: [Momentum(), tz.m.LR(0.1, scheduler_cls=OneCycleLR, max_lr=0.3, total_steps=20)],
}


def through_file(x):
    file = io.BytesIO()
    torch.save(x, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def run(opt, model, start, steps):
    for i in range(start, start + steps):
        opt.step(closure_for(opt, model, i))


def flat(x, path=""):
    """Every tensor, number and string of nested containers by its path."""
    if isinstance(x, dict):
        return {k: v for key, y in x.items() for k, v in flat(y, f"{path}/{key}").items()}
    if isinstance(x, list | tuple):
        return {k: v for i, y in enumerate(x) for k, v in flat(y, f"{path}/{i}").items()}
    return {path: x}


def same_dict(a, b):
    a, b = flat(a), flat(b)
    return a.keys() == b.keys() and all(
        torch.equal(x, b[k]) and x.dtype == b[k].dtype if isinstance(x, Tensor) else x == b[k] for k, x in a.items()
    )


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_a_fresh_model_and_optimizer_continue_with_the_same_bits(chain, steps):
    model, other = net(), net(seed=1)
    opt = tz.Modular(model.parameters(), chain())
    run(opt, model, 0, steps)
    saved = through_file({"model": model.state_dict(), "opt": opt.state_dict()})
    run(opt, model, steps, 3)
    fresh = tz.Modular(other.parameters(), chain())
    other.load_state_dict(saved["model"])
    fresh.load_state_dict(saved["opt"])
    assert (fresh.current_step, fresh.num_evaluations) == (
        steps,
        saved["opt"]["param_groups"][0]["torchzero.num_evaluations"],
    )
    run(fresh, other, steps, 3)
    assert equal(model, other)
    assert same_dict(opt.state_dict(), fresh.state_dict())
    assert equal(opt.eval_params(), fresh.eval_params())


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_a_used_optimizer_goes_back(chain):
    model = net()
    opt = tz.Modular(model.parameters(), chain())
    run(opt, model, 0, 2)
    weights, saved = {k: v.clone() for k, v in model.state_dict().items()}, opt.state_dict()
    run(opt, model, 2, 3)
    want = values(model)
    model.load_state_dict(weights)
    opt.load_state_dict(saved)
    run(opt, model, 2, 3)
    assert equal(model, want)


def test_faq_saving_and_loading(tmp_path):
    model, other = net(), net(seed=1)
    modules = lambda: [tz.m.Adam(), tz.m.LR(1e-1), tz.m.WeightDecay()]  # noqa: E731
    optimizer = tz.Modular(model.parameters(), *modules())
    train(optimizer, model, 3)
    torch.save(
        {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()},
        tmp_path / "checkpoint.pt",
    )
    again = tz.Modular(other.parameters(), *modules())
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    other.load_state_dict(checkpoint["model_state_dict"])
    again.load_state_dict(checkpoint["optimizer_state_dict"])
    train(optimizer, model, 3, start=3)
    train(again, other, 3, start=3)
    assert equal(model, other)


def test_saved_is_only_plain_containers_in_torchs_layout_without_parameters():
    model = net()
    opt = tz.Modular(model, CHAINS["nested"]())
    run(opt, model, 0, 2)
    saved = opt.state_dict()
    assert {"state", "param_groups"} <= saved.keys()
    assert list(saved["state"]) == [0, 1, 2, 3]
    assert saved["param_groups"][0]["params"] == [0, 1, 2, 3]
    kinds = {type(v) for v in flat(saved).values()}
    assert kinds <= {Tensor, int, float, str, bool, type(None)}
    mine = {p.data_ptr() for p in model.parameters()}
    assert not any(v.data_ptr() in mine for v in flat(saved).values() if isinstance(v, Tensor))


def test_a_snapshot_does_not_follow_and_loading_does_not_take_it_over():
    model, other = net(), net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), Publish(), tz.m.LR(torch.tensor(0.1)))
    run(opt, model, 0, 2)
    saved = opt.state_dict()
    frozen = through_file(saved)
    run(opt, model, 2, 2)
    opt.param_groups[0]["lr"].fill_(7.0)
    assert same_dict(saved, frozen)
    fresh = tz.Modular(other.parameters(), tz.m.Adam(), Publish(), tz.m.LR(torch.tensor(0.1)))
    fresh.load_state_dict(saved)
    run(fresh, other, 0, 2)
    fresh.param_groups[0]["lr"].fill_(7.0)
    assert same_dict(saved, frozen)


def test_writing_into_a_snapshot_does_not_reach_the_optimizer():
    model, reference = net(), net()
    opt, other = (tz.Modular(m.parameters(), tz.m.Adam(), Mean(), tz.m.LR(0.1)) for m in (model, reference))
    for o, m in ((opt, model), (other, reference)):
        train(o, m, 2)
    for entry in opt.state_dict()["state"].values():
        for x in entry.values():
            x.fill_(77)
    train(opt, model, 2)
    train(other, reference, 2)
    assert equal(model, reference)


def test_settings_of_groups_modules_and_handles_come_back():
    def build(model):
        eps = Epsilon(0.0).set_params([{"params": model[0].parameters(), "eps": 0.25}])
        groups = [{"params": model[0].parameters(), "lr": 0.2}, {"params": model[2].parameters()}]
        return tz.Modular(groups, Epsilon(0.5), eps, tz.m.LR(0.1))

    model, other = net(), net()
    opt = build(model)
    opt.param_groups[0]["lr"], opt.param_groups[1]["lr"] = 0.3, 0.4
    opt.get_lr_module().param_groups[1]["lr"] = 0.7
    opt.unrolled_modules[1].set_params([{"params": model[2].parameters(), "eps": 0.75}])
    train(opt, model, 2)
    saved = through_file(opt.state_dict())
    fresh = tz.Modular(
        [{"params": other[0].parameters()}, {"params": other[2].parameters()}], Epsilon(0.9), Epsilon(0.9), tz.m.LR(0.9)
    )
    other.load_state_dict(model.state_dict())
    fresh.load_state_dict(saved)
    assert [g["lr"] for g in fresh.param_groups] == [0.3, 0.4]
    assert [g["lr"] for g in fresh.get_lr_module().param_groups] == [0.3, 0.7]
    train(opt, model, 2, start=2)
    train(fresh, other, 2, start=2)
    assert equal(model, other)


def test_module_values_of_the_saved_chain_win_over_those_of_the_new_one():
    model, other = net(), net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(beta1=0.5), tz.m.LR(0.3))
    train(opt, model, 2)
    fresh = tz.Modular(other.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    other.load_state_dict(model.state_dict())
    fresh.load_state_dict(opt.state_dict())
    assert (fresh.param_groups[0]["lr"], fresh.param_groups[0]["beta1"]) == (0.3, 0.5)
    train(opt, model, 2)
    train(fresh, other, 2)
    assert equal(model, other)


def test_loading_settings_into_one_optimizer_leaves_another_with_the_same_module_alone():
    model, other = net(), net()
    eps = Epsilon(0.0)
    opt, bystander = tz.Modular(model.parameters(), eps), tz.Modular(other.parameters(), eps)
    eps.set_params([{"params": other.parameters(), "eps": 0.5}, {"params": model.parameters(), "eps": 0.25}])
    saved = opt.state_dict()
    eps.set_params([{"params": other.parameters(), "eps": 0.5}])
    opt.load_state_dict(saved)
    for o, m, want in ((opt, model, 0.25), (bystander, other, 0.5)):
        before = values(m)
        for p in m.parameters():
            p.grad = torch.zeros_like(p)
        o.step()
        torch.testing.assert_close(before[1] - m[0].bias.detach(), torch.full((4,), want, dtype=torch.float64))


def test_set_params_after_loading_wins():
    model = net()
    eps = Epsilon(0.0).set_params([{"params": model.parameters(), "eps": 0.25}])
    opt = tz.Modular(model.parameters(), eps)
    opt.load_state_dict(opt.state_dict())
    eps.set_params([{"params": model.parameters(), "eps": 0.5}])
    before = values(model)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    opt.step()
    torch.testing.assert_close(before[1] - model[0].bias.detach(), torch.full((4,), 0.5, dtype=torch.float64))


def test_parameters_that_never_had_a_gradient():
    model, other = net(), net()
    opt, fresh = (tz.Modular(m.parameters(), tz.m.Adam(), tz.m.LR(0.1)) for m in (model, other))
    model[0].requires_grad_(False)
    train(opt, model, 2)
    saved = through_file(opt.state_dict())
    assert list(saved["state"]) == [2, 3]
    other.load_state_dict(model.state_dict())
    fresh.load_state_dict(saved)
    model[0].requires_grad_(True)
    train(opt, model, 2)
    train(fresh, other, 2)
    assert equal(model, other)
    assert [int(fresh.state[p]["step"]) for p in other.parameters()] == [2, 2, 4, 4]


def test_groups_added_later():
    def build(model):
        opt = tz.Modular(model[0].parameters(), tz.m.Adam(), tz.m.LR(0.1))
        opt.add_param_group({"params": model[2].parameters(), "lr": 0.2})
        return opt

    model, other = net(), net()
    opt = build(model)
    train(opt, model, 2)
    fresh = build(other)
    other.load_state_dict(model.state_dict())
    fresh.load_state_dict(through_file(opt.state_dict()))
    train(opt, model, 2)
    train(fresh, other, 2)
    assert equal(model, other)


def test_named_parameters_are_matched_by_name():
    model, other = net(), net()
    opt = tz.Modular(model.named_parameters(), tz.m.Adam(), tz.m.LR(0.1))
    fresh = tz.Modular(reversed(list(other.named_parameters())), tz.m.Adam(), tz.m.LR(0.1))
    train(opt, model, 2)
    other.load_state_dict(model.state_dict())
    fresh.load_state_dict(through_file(opt.state_dict()))
    train(opt, model, 2)
    train(fresh, other, 2)
    assert equal(model, other)
    assert fresh.param_groups[0]["param_names"] == [n for n, _ in reversed(list(other.named_parameters()))]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_are_kept(dtype):
    params = leaves((2, 3), dtype=dtype)
    opt = tz.Modular(params, tz.m.Adam(), tz.m.LR(0.1))
    params[0].grad = torch.ones_like(params[0])
    opt.step()
    other = leaves((2, 3), dtype=dtype)
    fresh = tz.Modular(other, tz.m.Adam(), tz.m.LR(0.1))
    fresh.load_state_dict(through_file(opt.state_dict()))
    mine, theirs = opt.state[params[0]], fresh.state[other[0]]
    assert {k: (v.dtype, v.shape) for k, v in mine.items()} == {k: (v.dtype, v.shape) for k, v in theirs.items()}
    assert all(torch.equal(v, theirs[k]) for k, v in mine.items())


def test_attrs_and_flags_come_back():
    model, other = net(), net()
    opt = tz.Modular(model.parameters(), Publish(), tz.m.LR(0.1))
    train(opt, model, 2)
    opt.should_terminate = True
    fresh = tz.Modular(other.parameters(), Publish(), tz.m.LR(0.1))
    fresh.load_state_dict(through_file(opt.state_dict()))
    assert fresh.should_terminate is True
    assert equal(list(fresh.attrs["x0"]), list(opt.attrs["x0"]))
    assert fresh.attrs["seen_step"] == 1


# ---------------------------------------------------------------------- what does not fit


def other_chain(model):
    return tz.Modular(model.parameters(), Momentum(), tz.m.LR(0.1)), "0.Adam"


def longer_chain(model):
    return tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay()), "2.WeightDecay"


def other_nesting(model):
    return tz.Modular(model.parameters(), Both(tz.m.Adam()), tz.m.LR(0.1)), "0.Both"


def other_statics(model):
    return tz.Modular(model.parameters(), tz.m.Adam(amsgrad=True), tz.m.LR(0.1)), "0.Adam/v_max"


def fewer_parameters(model):
    return tz.Modular(model[0].parameters(), tz.m.Adam(), tz.m.LR(0.1)), "4 parameters and has 2"


def more_groups(model):
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters()}]
    return tz.Modular(groups, tz.m.Adam(), tz.m.LR(0.1)), "1 parameter groups were saved and this optimizer has 2"


def other_shapes(model):
    params = [p.detach().reshape(-1).clone().requires_grad_() for p in model.parameters()]
    return tz.Modular(params, tz.m.Adam(), tz.m.LR(0.1)), "of parameter 0 was saved with shape"


def other_dtype(model):
    params = [p.detach().float().requires_grad_() for p in model.parameters()]
    return tz.Modular(params, tz.m.Adam(), tz.m.LR(0.1)), "torch.float64, but here"


def with_scheduler(model):
    lr = tz.m.LR(0.1, scheduler_cls=ExponentialLR, gamma=0.5)
    return tz.Modular(model.parameters(), tz.m.Adam(), lr), "0 schedulers were saved and this chain has 1"


def frozen_copy(opt):
    return (
        through_file(opt.state_dict()),
        values([p for g in opt.param_groups for p in g["params"]]),
        dict(opt.defaults),
    )


MISMATCHES = [
    other_chain, longer_chain, other_nesting, other_statics, fewer_parameters, more_groups, other_shapes, other_dtype,
    with_scheduler,
]  # fmt: skip


@pytest.mark.parametrize("mismatch", MISMATCHES)
def test_a_mismatch_is_named_and_nothing_changes(mismatch):
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    train(opt, model, 2)
    target, message = mismatch(net(seed=1))
    params = [p for g in target.param_groups for p in g["params"]]
    for p in params:
        p.grad = torch.ones_like(p)
    target.step()
    before = frozen_copy(target)
    with pytest.raises(ValueError, match=message):
        target.load_state_dict(opt.state_dict())
    assert same_dict(before, frozen_copy(target))
    target.step()


def damage(saved, how):
    if how == "no state":
        del saved["state"]
    elif how == "no groups":
        del saved["param_groups"]
    elif how == "missing slot":
        del saved["state"][1]["0.Adam/m"]
    elif how == "extra slot":
        saved["state"][1]["0.Adam/nonsense"] = torch.zeros(1)
    elif how == "no tensor":
        saved["state"][1]["0.Adam/m"] = "nonsense"
    elif how == "bad step":
        saved["state"][1]["step"] = "nonsense"
    elif how == "bad counter":
        saved["param_groups"][0]["torchzero.current_step"] = "nonsense"
    elif how == "bad setting":
        saved["torchzero"]["settings"] = [["0.Adam", "nonsense", 1.0, []]]
    elif how == "bad position":
        saved["torchzero"]["settings"] = [["0.Adam", "eps", 1.0, [17]]]
    elif how == "bad handle":
        saved["torchzero"]["lr_handles"] = [["7.LR", [{}]]]
    elif how == "unknown format":
        saved["torchzero"]["format"] = 10**6
    return saved


@pytest.mark.parametrize(
    "how",
    [
        "no state", "no groups", "missing slot", "extra slot", "no tensor", "bad step", "bad counter", "bad setting",
        "bad position", "bad handle", "unknown format",
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_refused_and_nothing_changes(how):
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    train(opt, model, 2)
    saved = damage(opt.state_dict(), how)
    train(opt, model, 1)
    before = frozen_copy(opt)
    with pytest.raises((ValueError, TypeError), match=r"Modular\.load_state_dict: "):
        opt.load_state_dict(saved)
    assert same_dict(before, frozen_copy(opt))


def test_a_missing_name_is_named():
    model, other = net(), net()
    opt = tz.Modular(model.named_parameters(), tz.m.Adam(), tz.m.LR(0.1))
    fresh = tz.Modular([(f"module.{n}", p) for n, p in other.named_parameters()], tz.m.Adam(), tz.m.LR(0.1))
    with pytest.raises(
        ValueError, match=r"parameter 'module.0.weight' of group 0 is not among the saved ones, '0.weight'"
    ):
        fresh.load_state_dict(opt.state_dict())


def test_a_state_dict_of_torch_is_refused_by_name():
    model = net()
    other = torch.optim.Adam(model.parameters())
    train(other, model, 1)
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    with pytest.raises(ValueError, match=r"'0.Adam/[a-z_]+' of parameter 0 is missing|has 'exp_avg'"):
        opt.load_state_dict(other.state_dict())


def test_another_order_of_the_parameters_is_refused_by_a_module_that_sees_one_vector():
    model = net()
    opt = tz.Modular(model.named_parameters(), tz.m.FullMatrixAdagrad(), tz.m.LR(0.1))
    train(opt, model, 2)
    other = tz.Modular(list(model.named_parameters())[::-1], tz.m.FullMatrixAdagrad(), tz.m.LR(0.1))
    with pytest.raises(ValueError, match=r"saved in another order, and 0\.FullMatrixAdagrad sees them as one vector"):
        other.load_state_dict(opt.state_dict())
