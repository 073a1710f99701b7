"""Gradients: cleared when asked, never changed otherwise, and never shared with a state."""

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import (
    Delay,
    ExtraGradient,
    Publish,
    close,
    closure_for,
    equal,
    fixed_gradients,
    leaves,
    loss_of,
    net,
)


def test_clears_to_none_or_to_zero():
    params = leaves((2,), (3,))
    opt = tz.Modular(params, tz.m.LR(1.0))
    fixed_gradients(params[:1], 0)
    opt.zero_grad(set_to_none=False)
    assert params[0].grad.eq(0).all()
    assert params[1].grad is None
    opt.zero_grad()
    assert params[0].grad is None


def test_zeroing_detaches_gradients_that_have_a_graph():
    params = leaves((2,))
    opt = tz.Modular(params, tz.m.LR(1.0))
    (params[0].grad,) = torch.autograd.grad((params[0] ** 3).sum(), params, create_graph=True)
    opt.zero_grad(set_to_none=False)
    assert not params[0].grad.requires_grad


@pytest.mark.parametrize("modules", [[], [Delay()], [tz.m.Adam()], [tz.m.WeightDecay(0.1)], [Publish()]])
def test_a_step_does_not_touch_grad(modules):
    params = leaves((2,), (3,))
    opt = tz.Modular(params, *modules, tz.m.LR(0.5))
    for i in range(3):
        fixed_gradients(params, i)
        before = [(id(p.grad), p.grad._version, p.grad.clone()) for p in params]
        opt.step()
        assert [(id(p.grad), p.grad._version) for p in params] == [b[:2] for b in before]
        assert all(torch.equal(p.grad, b[2]) for p, b in zip(params, before, strict=True))


def delayed(set_to_none, closure):
    model = net()
    opt = tz.Modular(model.parameters(), Delay(), tz.m.LR(0.5))
    for i in range(4):

        def evaluate(backward=True, i=i):
            loss = loss_of(model, i)
            if backward:
                opt.zero_grad(set_to_none)
                loss.backward()
            return loss

        if closure:
            opt.step(evaluate)
        else:
            evaluate()
            opt.step()
        opt.zero_grad(set_to_none)
    return model


def test_a_state_that_holds_a_gradient_is_not_cleared_with_it():
    want = delayed(set_to_none=True, closure=False)
    for set_to_none, closure in ((False, False), (True, True), (False, True)):
        assert equal(delayed(set_to_none, closure), want)


class Rewrites(tz.Module):
    """Declare that the objective is rewritten, so that the gradient is evaluated within the chain."""

    rewrites_objective = True


@pytest.mark.parametrize("modules", [[Delay()], [ExtraGradient(), Delay()], [Rewrites(), Delay()]])
def test_the_same_with_evaluations_inside_the_chain(modules):
    def run(set_to_none):
        model = net()
        opt = tz.Modular(model.parameters(), *modules, tz.m.LR(0.5))
        for i in range(4):
            closure = closure_for(opt, model, i)
            opt.step(closure)
            opt.zero_grad(set_to_none)
        return model

    assert equal(run(True), run(False))


def test_closures_that_zero_in_place_do_not_change_the_gradient_at_x0():
    class Sum(ExtraGradient):
        """Gradient at x0 plus gradient at the trial point."""

        def apply(self, state, var):
            return var.replace(update=tz.tree.add(var.grad, state.grad))

    def run(zero):
        model = net()
        opt = tz.Modular(model.parameters(), Sum(), tz.m.LR(0.1))
        for i in range(3):

            def closure(backward=True, i=i):
                loss = loss_of(model, i)
                if backward:
                    zero(opt)
                    loss.backward()
                return loss

            opt.step(closure)
        return model

    assert equal(run(lambda o: o.zero_grad(False)), run(lambda o: o.zero_grad(True)))


def test_gradients_after_a_closure_are_those_at_x0():
    model = net()
    opt = tz.Modular(model.parameters(), ExtraGradient(), tz.m.LR(0.1))
    loss_of(model, 0).backward()
    want = [p.grad.clone() for p in model.parameters()]
    opt.step(closure_for(opt, model, 0))
    close([p.grad for p in model.parameters()], want)


def test_gradient_accumulation():
    model, reference = net(), net()
    opt, other = (
        tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1)),
        torch.optim.Adam(reference.parameters(), lr=0.1),
    )
    for m, o in ((model, opt), (reference, other)):
        for i in range(6):
            (loss_of(m, i) / 2).backward()
            if i % 2:
                o.step()
                o.zero_grad(set_to_none=False)
    close(model, reference)
