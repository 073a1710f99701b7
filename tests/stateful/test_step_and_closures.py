"""step: its return value, its counters, its flags, and what a closure may look like and do."""

import copy
import functools

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import (
    BestOf,
    Differences,
    ExtraGradient,
    Flag,
    NeedsLoss,
    Publish,
    closure_for,
    equal,
    fixed_gradients,
    leaves,
    loss_of,
    net,
    train,
    values,
)

LINE = {"adam": tz.m.Adam, "line": BestOf, "extra": ExtraGradient, "differences": Differences}


def with_closures(opt, model, steps):
    return [opt.step(closure_for(opt, model, i)) for i in range(steps)]


def test_plain_and_closure_training_are_the_same():
    plain, model = net(), net()
    train(tz.Modular(plain.parameters(), tz.m.Adam(), tz.m.LR(0.1)), plain, 5)
    with_closures(tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1)), model, 5)
    assert equal(model, plain)


def test_the_same_closure_works_with_torch_optim():
    model, reference = net(), net()
    mine = with_closures(tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1)), model, 5)
    theirs = with_closures(torch.optim.Adam(reference.parameters(), lr=0.1), reference, 5)
    torch.testing.assert_close(torch.stack(mine), torch.stack(theirs))


@pytest.mark.parametrize("module", LINE.values(), ids=LINE.keys())
def test_returns_the_loss_at_x0(module):
    model = net()
    opt = tz.Modular(model.parameters(), module(), tz.m.LR(0.01))
    for i in range(3):
        expected = loss_of(model, i).detach()
        got = opt.step(closure_for(opt, model, i))
        assert torch.equal(got.detach(), expected)


def test_returns_none_without_closure_even_when_a_loss_is_given():
    params = leaves((2,))
    opt = tz.Modular(params, NeedsLoss(), tz.m.LR(0.1))
    fixed_gradients(params, 0)
    before = values(params)[0]
    assert opt.step(loss=torch.tensor(2.0, dtype=torch.float64)) is None
    torch.testing.assert_close(params[0].detach(), before - 0.2 * params[0].grad)


@pytest.mark.parametrize("module", [NeedsLoss, BestOf, tz.m.Adam])
def test_a_closure_may_return_a_float(module):
    model, reference = net(), net()
    opt = tz.Modular(model.parameters(), module(), tz.m.LR(0.1))
    closure = closure_for(opt, model, 0)
    got = opt.step(lambda backward=True: closure(backward).item())
    other = tz.Modular(reference.parameters(), module(), tz.m.LR(0.1))
    want = other.step(closure_for(other, reference, 0))
    assert isinstance(got, float)
    assert got == want.item()
    assert equal(model, reference)


def test_the_boolean_argument_may_have_any_name_and_comes_by_position():
    model, seen = net(), []
    opt = tz.Modular(model.parameters(), BestOf(), tz.m.LR(0.1))

    def closure(with_gradients=True, /):
        seen.append(with_gradients)
        loss = loss_of(model, 0)
        if with_gradients:
            opt.zero_grad()
            loss.backward()
        return loss

    opt.step(closure)
    assert seen == [True, False, False, False]


def test_without_argument_where_only_gradients_are_needed():
    model, reference = net(), net()
    opt = tz.Modular(model.parameters(), ExtraGradient(), tz.m.Adam(), tz.m.LR(0.1))
    other = tz.Modular(reference.parameters(), ExtraGradient(), tz.m.Adam(), tz.m.LR(0.1))

    def closure():
        opt.zero_grad()
        loss = loss_of(model, 0)
        loss.backward()
        return loss

    opt.step(closure)
    other.step(closure_for(other, reference, 0))
    assert equal(model, reference)
    line = tz.Modular(model.parameters(), BestOf(), tz.m.LR(0.1))
    before = values(model)
    with pytest.raises(TypeError, match=r"BestOf evaluates the loss alone, .* define it as closure\(backward=True\)"):
        line.step(closure)
    assert equal(model, before)
    both = tz.Modular(model.parameters(), tz.m.StrongWolfe(), tz.m.Backtracking())
    with pytest.raises(TypeError, match="one of StrongWolfe, Backtracking evaluates the loss alone"):
        both.step(functools.partial(lambda: closure()))
    assert equal(model, before)


@pytest.mark.parametrize("search", [tz.m.Backtracking, tz.m.StrongWolfe])
def test_a_type_error_inside_a_closure_is_the_closures_own(search):
    model = net()
    opt = tz.Modular(model.parameters(), search())

    def closure(backward=True):
        if not backward or search is tz.m.StrongWolfe:
            (lambda: 0)(False)
        return closure_for(opt, model, 0)(backward)

    with pytest.raises(TypeError, match=r"<lambda>\(\) takes 0 positional arguments but 1 was given"):
        opt.step(closure)


def derivatives_inside(model, opt, seen):
    """The loss of a physics-informed network, u'' = -u with u(0) = 0 and u'(0) = 1."""
    x = torch.linspace(0, 1, 9, dtype=torch.float64).reshape(-1, 1).repeat(1, 3).requires_grad_()

    def closure(backward=True):
        seen.append((backward, torch.is_grad_enabled()))
        u = model(x)[:, :1]
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (ddu,) = torch.autograd.grad(du.sum(), x, create_graph=True)
        loss = (ddu.sum(1, keepdim=True) + u).square().mean() + u[0].square().sum() + (du[0] - 1).square().sum()
        if backward:
            opt.zero_grad()
            loss.backward(inputs=list(model.parameters()))
        return loss

    return closure


CHAINS = {
    "LBFGS": lambda: [tz.m.LBFGS(), tz.m.Backtracking()],
    "LevenbergMarquardt": lambda: [tz.m.LevenbergMarquardt(tz.m.BFGS())],
    "values alone": lambda: [tz.m.FDM(), tz.m.LR(1e-3)],
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_loss_with_derivatives_in_it_needs_nothing_more(chain):
    """The same steps as with autograd turned on inside; and after one failure it is never called without."""
    model, reference, seen, unseen = net(), net(), [], []
    opt, other = tz.Modular(model.parameters(), *chain()), tz.Modular(reference.parameters(), *chain())
    plain, inside = derivatives_inside(model, opt, seen), derivatives_inside(reference, other, unseen)
    losses = []
    for k in range(4):
        opt.step(plain)
        with torch.enable_grad():
            losses.append(other.step(torch.enable_grad()(inside)).item())
        if k == 1:
            both = copy.deepcopy((model, opt))
            assert both[1]._recording
    assert equal(model, reference)
    assert losses[-1] < losses[0]
    assert [on for _, on in seen].count(False) == 1
    assert len(seen) == len(unseen) + 1
    assert opt.num_evaluations == other.num_evaluations


def test_values_leave_the_gradients_alone_even_if_the_closure_differentiates():
    model, reference = net(), net()
    opt, other = (tz.Modular(m.parameters(), tz.m.Backtracking()) for m in (model, reference))

    def closure(backward=True):
        loss = loss_of(model, 0)
        loss.backward()  # whatever it was asked for
        return loss

    opt.step(closure)
    other.step(closure_for(other, reference, 0))
    assert equal(model, reference)
    for p, q in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


def test_what_fails_with_and_without_autograd_fails():
    params = leaves((2,))
    opt = tz.Modular(params, BestOf())

    def closure(backward=True):
        loss = (params[0] ** 2).sum()
        if not backward:
            torch.ones(1).backward()
        else:
            loss.backward()
        return loss

    before = values(params)
    with pytest.raises(RuntimeError, match="does not require grad") as seen:
        opt.step(closure)
    assert seen.value.__context__ is None
    assert equal(params, before)


def test_gradient_free_modules_ask_only_for_values_and_without_grad_mode():
    model, seen = net(), []
    opt = tz.Modular(model.parameters(), Differences(), tz.m.LR(0.1))

    def closure(backward=True):
        seen.append((backward, torch.is_grad_enabled()))
        return loss_of(model, 0)

    opt.step(closure)
    assert set(seen) == {(False, False)}
    assert all(p.grad is None for p in model.parameters())


def test_gradients_are_evaluated_with_grad_mode_even_under_no_grad():
    model, plain = net(), net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    with torch.no_grad():
        opt.step(closure_for(opt, model, 0))
    train(tz.Modular(plain.parameters(), tz.m.Adam(), tz.m.LR(0.1)), plain, 1)
    assert equal(model, plain)


@pytest.mark.parametrize("module", [tz.m.Adam, ExtraGradient, BestOf])
def test_a_closure_that_forgets_to_clear_gradients_does_not_accumulate(module):
    model, reference = net(), net()
    opt = tz.Modular(model.parameters(), module(), tz.m.LR(0.1))
    other = tz.Modular(reference.parameters(), module(), tz.m.LR(0.1))
    for i in range(3):

        def forgetful(backward=True, i=i):
            loss = loss_of(model, i)
            if backward:
                loss.backward()
            return loss

        opt.step(forgetful)
        other.step(closure_for(other, reference, i))
    assert equal(model, reference)


@pytest.mark.parametrize(("module", "calls"), [(tz.m.Adam, 1), (BestOf, 4), (ExtraGradient, 2), (Differences, 27)])
def test_evaluations_and_steps_are_counted(module, calls):
    model = net()
    opt = tz.Modular(model.parameters(), module(), tz.m.LR(0.1))
    assert (opt.current_step, opt.num_evaluations) == (0, 0)
    with_closures(opt, model, 2)
    assert (opt.current_step, opt.num_evaluations) == (2, 2 * calls)


def test_a_step_without_closure_counts_as_one_evaluation():
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    train(opt, model, 3)
    assert (opt.current_step, opt.num_evaluations) == (3, 3)


class BoomError(Exception):
    """What a closure raises."""


@pytest.mark.parametrize("module", [tz.m.Adam, BestOf, ExtraGradient, Differences])
@pytest.mark.parametrize("when", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("error", [BoomError, KeyboardInterrupt])
def test_a_closure_that_raises_leaves_everything_as_it_was(module, when, error):
    model, reference = net(), net()
    opt = tz.Modular(model.parameters(), module(), tz.m.LR(0.1))
    other = tz.Modular(reference.parameters(), module(), tz.m.LR(0.1))
    with_closures(opt, model, 2)
    with_closures(other, reference, 2)
    closure, calls = closure_for(opt, model, 2), []

    def raising(backward=True):
        calls.append(backward)
        if len(calls) == when + 1:
            raise error
        return closure(backward)

    before = values(model)
    try:
        opt.step(raising)
    except error:
        assert equal(model, before)
        assert opt.current_step == 2
    else:
        other.step(closure_for(other, reference, 2))
    for i in range(3, 5):
        opt.step(closure_for(opt, model, i))
        other.step(closure_for(other, reference, i))
    assert equal(model, reference)


@pytest.mark.parametrize("tensor", [False, True])
def test_stop_skips_the_modules_after_it(tensor):
    def step(sign):
        params = leaves((3,))
        opt = tz.Modular(params, Flag("stop", tensor), tz.m.LR(0.5))
        params[0].grad = torch.full((3,), sign, dtype=torch.float64)
        before = values(params)[0]
        opt.step()
        return (before - params[0].detach()).abs().max().item()

    assert step(-1.0) == pytest.approx(1.0)
    assert step(1.0) == pytest.approx(0.5 if tensor else 1.0)


@pytest.mark.parametrize("tensor", [False, True])
def test_skip_update_leaves_the_parameters_alone_and_keeps_the_state(tensor):
    params = leaves((3,))
    opt = tz.Modular(params, tz.m.Adam(), Flag("skip_update", tensor), tz.m.LR(0.5))
    params[0].grad = torch.full((3,), -1.0, dtype=torch.float64)
    before = values(params)
    opt.step()
    assert equal(params, before)
    assert opt.state[params[0]]["0.Adam/t"] == 1
    params[0].grad = torch.full((3,), 30.0, dtype=torch.float64)
    opt.step()
    assert equal(params, before) is not tensor


@pytest.mark.parametrize("tensor", [False, True])
def test_should_terminate_reaches_the_optimizer_as_a_bool(tensor):
    params = leaves((3,))
    opt = tz.Modular(params, Flag("should_terminate", tensor))
    assert opt.should_terminate is False
    params[0].grad = -torch.ones(3, dtype=torch.float64)
    opt.step()
    assert opt.should_terminate is True


def test_attrs_keep_what_was_published_and_do_not_follow_the_parameters():
    params = leaves((3,))
    opt = tz.Modular(params, Publish(), tz.m.LR(0.5))
    assert opt.attrs == {}
    for i in range(2):
        fixed_gradients(params, i)
        before = values(params)
        opt.step(batch=i)
        assert equal(list(opt.attrs["x0"]), before)
        assert opt.attrs["seen_step"] == i
        assert opt.attrs["storage"] == {"batch": i}


def test_published_gradients_survive_zero_grad():
    class Grad(tz.Module):
        """Publish the gradient."""

        def apply(self, state, var):
            return var.replace(attrs={"grad": var.grad})

    params = leaves((3,))
    opt = tz.Modular(params, Grad(), tz.m.LR(0.5))
    fixed_gradients(params, 0)
    want = params[0].grad.clone()
    opt.step()
    opt.zero_grad(set_to_none=False)
    assert torch.equal(opt.attrs["grad"][0], want)


def test_a_line_search_descends():
    model = net()
    opt = tz.Modular(model.parameters(), BestOf())
    losses = [opt.step(closure_for(opt, model, 0)).item() for _ in range(10)]
    assert losses[-1] < 0.5 * losses[0]


def test_unused_parameters_in_a_closure():
    model = net()
    unused = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    for module in (tz.m.Adam(), BestOf(), ExtraGradient()):
        opt = tz.Modular([*model.parameters(), unused], module, tz.m.LR(0.1))
        opt.step(closure_for(opt, model, 0))
        assert torch.equal(unused.detach(), torch.ones(3, dtype=torch.float64))


def test_a_closure_that_returns_nothing_is_told_so():
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    with pytest.raises(TypeError, match="the closure returned None; it must return the loss"):
        opt.step(lambda backward=True: None)
