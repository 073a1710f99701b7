"""hypergrad: derivatives of an outer loss with respect to all that went before, in the shape of the module."""

import pytest
import torch

import torchzero as tz

X = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
THETA = {"scale": torch.tensor(0.7, dtype=torch.float64)}
DATA = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)


def inner(p, batch, theta):
    return ((p - batch) ** 2).sum() * theta["scale"] + (p**4).sum()


def outer(p, theta):
    return (p**3).sum() * theta["scale"]


def optimizer(lr=0.05, beta1=0.8, start=1.0):
    schedule = tz.schedules.Linear(start, 0.5, steps=10)
    return tz.Chain(tz.m.Adam(beta1=beta1), tz.m.LR(schedule), tz.m.AddNoise(0.1, seed=3), tz.m.LR([lr]))


def value(lr, beta1, start, p, theta):
    """By a loop over a plain optimizer."""
    opt = optimizer(lr, beta1, start)
    p = [p]
    state = opt.init(p)
    for batch in DATA:
        p, state = opt(p, state, lambda p, batch=batch: inner(p[0], batch, theta))
    return outer(p[0], theta)


def test_agrees_with_the_derivatives_of_a_loop():
    found = tz.hypergrad(
        optimizer(), lambda p, b, t: inner(p[0], b, t), [X], 4, lambda p, t: outer(p[0], t), data=DATA, theta=THETA
    )
    numbers = [torch.tensor(x, dtype=torch.float64) for x in (0.05, 0.8, 1.0)]
    wanted, loss = torch.func.grad_and_value(value, (0, 1, 2, 3, 4))(*numbers, X, THETA)
    adam, schedule, noise, lr = found.opt.links
    mine = (lr.lr[0], adam.beta1, schedule.lr.start, found.params[0], found.theta)
    torch.testing.assert_close(mine, wanted, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(found.value, loss)
    assert noise.seed == 0
    assert isinstance(found.opt, tz.Chain)
    assert all(bool(torch.isfinite(x)) for x in tz.tree.leaves(found.opt))


def test_a_step_against_the_hypergradient_lowers_the_outer_loss():
    def final(opt):
        return tz.hypergrad(opt, lambda p: (p**4).sum(), X, 6, lambda p: (p**2).sum())

    before = final(tz.Chain(tz.m.HeavyBall(0.3), tz.m.LR(0.01)))
    momentum, lr = (0.3, 0.01)
    momentum -= 0.01 * before.opt.links[0].momentum.item()
    lr -= 1e-4 * before.opt.links[1].lr.item()
    assert final(tz.Chain(tz.m.HeavyBall(momentum), tz.m.LR(lr))).value < before.value


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_as_tensors_change_nothing(dtype):
    """Also for 0-d parameters: no value, no dtype."""
    p = {"a": X.to(dtype), "b": torch.tensor(0.3, dtype=dtype)}

    def loss(p):
        return (p["a"] ** 4).sum() + p["b"] ** 2

    opt = tz.Chain(tz.m.Adam(), tz.m.WeightDecay(0.01), tz.m.LR(0.1))
    found = tz.hypergrad(opt, loss, p, 3, loss)
    after = tz.unroll(opt, loss, p, 3).params
    torch.testing.assert_close(found.value, loss(after), rtol=1e-6, atol=0)
    assert found.value.dtype == dtype
    assert [x.dtype for x in tz.tree.leaves(found.params)] == [dtype, dtype]


def test_can_be_vmapped_and_differentiated():
    def slope(lr, shift):
        found = tz.hypergrad(tz.m.LR(lr), lambda p: ((p - shift) ** 4).sum(), X, 3, lambda p: (p**2).sum())
        return found.opt.lr, found.value

    def plain(lr, shift):
        end = tz.unroll(tz.m.LR(lr), lambda p: ((p - shift) ** 4).sum(), X, 3, segment=None)
        return (end.params**2).sum()

    rates, shift = torch.tensor([0.01, 0.02], dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64)
    wanted = torch.vmap(torch.func.grad(plain), (0, None))(rates, shift)
    torch.testing.assert_close(torch.vmap(slope, (0, None))(rates, shift)[0], wanted)
    second = torch.func.grad(torch.func.grad(plain))(rates[0], shift)
    torch.testing.assert_close(torch.func.grad(lambda lr: slope(lr, shift)[0])(rates[0]), second)
    mixed = torch.func.grad(torch.func.grad(plain), 1)(rates[0], shift)
    with pytest.warns(UserWarning, match="closes over"):  # of a derivative of which this one knows nothing
        found = torch.func.grad(lambda s: slope(rates[0], s)[0])(shift)
    torch.testing.assert_close(found, mixed)


def test_the_outer_loss_sees_the_average_of_a_chain_that_keeps_one():
    opt = tz.m.ScheduleFreeSGD(lr=0.05)
    end = tz.unroll(opt, lambda p: (p**4).sum(), X, 5)
    found = tz.hypergrad(opt, lambda p: (p**4).sum(), X, 5, lambda p: (p**2).sum())
    wanted = (opt.eval_params(end.state, end.params) ** 2).sum()
    torch.testing.assert_close(found.value, wanted)
    assert not torch.isclose(wanted, (end.params**2).sum())


def test_an_outer_loss_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"hypergrad\(outer=...\): must return a loss, a 0-d tensor; got \(3,\)"):
        tz.hypergrad(tz.m.LR(0.1), lambda p: (p**2).sum(), X, 2, lambda p: p)
