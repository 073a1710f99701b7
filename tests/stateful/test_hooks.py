"""Hooks: those of torch.optim.Optimizer, and post_step_hooks."""

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import torchzero as tz
from tests.stateful.toys import closure_for, equal, fixed_gradients, leaves, net, train


def build(model=None):
    model = net() if model is None else model
    return model, tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))


def test_step_hooks_run_around_the_step():
    model, opt = build()
    seen = []
    pre = opt.register_step_pre_hook(lambda o, args, kwargs: seen.append(("pre", o.current_step)))
    post = opt.register_step_post_hook(lambda o, args, kwargs: seen.append(("post", o.current_step)))
    train(opt, model, 2)
    pre.remove()
    post.remove()
    train(opt, model, 1)
    assert seen == [("pre", 0), ("post", 1), ("pre", 1), ("post", 2)]


def test_a_pre_hook_may_replace_the_arguments():
    model, opt = build()
    closure = closure_for(opt, model, 0)
    opt.register_step_pre_hook(lambda o, args, kwargs: ((o, closure), {}))
    assert opt.step() is not None


def test_hooks_of_all_optimizers():
    model, opt = build()
    seen = []
    handles = [
        register_optimizer_step_pre_hook(lambda o, a, k: seen.append("pre")),
        register_optimizer_step_post_hook(lambda o, a, k: seen.append("post")),
    ]
    train(opt, model, 1)
    for handle in handles:
        handle.remove()
    assert seen == ["pre", "post"]


def test_state_dict_hooks():
    model, opt = build()
    train(opt, model, 1)
    seen = []
    opt.register_state_dict_pre_hook(lambda o: seen.append("pre"))
    opt.register_state_dict_post_hook(lambda o, d: {**d, "mine": 1})
    opt.register_state_dict_post_hook(lambda o, d: seen.append("post"))
    saved = opt.state_dict()
    assert saved["mine"] == 1
    assert seen == ["pre", "post"]
    other_model, other = build(net())
    other.register_load_state_dict_pre_hook(lambda o, d: {k: v for k, v in d.items() if k != "mine"})
    other.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    other.load_state_dict(saved)
    assert seen == ["pre", "post", "loaded"]
    other_model.load_state_dict(model.state_dict())
    train(opt, model, 1)
    train(other, other_model, 1)
    assert equal(model, other_model)


def test_prepended_hooks_come_first():
    _, opt = build()
    seen = []
    opt.register_state_dict_pre_hook(lambda o: seen.append(1))
    opt.register_state_dict_pre_hook(lambda o: seen.append(0), prepend=True)
    opt.state_dict()
    assert seen == [0, 1]


def test_post_step_hooks_see_the_optimizer_the_var_and_moved_parameters():
    params = leaves((2,))
    opt, seen = tz.Modular(params, tz.m.LR(0.5)), []
    fixed_gradients(params, 0)
    before = params[0].detach().clone()

    def hook(optimizer, var):
        moved = before - params[0].detach()
        seen.append((optimizer is opt, optimizer.current_step, torch.allclose(var.update[0], moved)))

    opt.post_step_hooks.append(hook)
    opt.step()
    assert seen == [(True, 0, True)]


def test_hooks_may_read_saves():
    model, opt = build()
    saved = []
    opt.register_step_post_hook(lambda o, a, k: saved.append(o.state_dict()))
    train(opt, model, 3)
    assert [int(s["state"][0]["step"]) for s in saved] == [1, 2, 3]
