"""Complex parameters: the documented recipe optimizes real views of them."""

import torch

import torchzero as tz
from tests.stateful.toys import BestOf, Delay, ExtraGradient, close, equal, leaves


def build(make):
    z = torch.tensor([1 + 2j, -1 + 0.5j, 0.3 - 1j], dtype=torch.complex128, requires_grad=True)
    return z, make([torch.view_as_real(z)])


def loss_of(z, i=0):
    target = torch.polar(torch.ones(3, dtype=torch.float64), torch.arange(3, dtype=torch.float64) + i)
    return (z * (1 + 0.5j) - target).abs().square().sum()


def closure_for(opt, z, i):
    def closure(backward=True):
        loss = loss_of(z, i)
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    return closure


def on_real_parts(make, steps):
    """The same on a real parameter of two columns."""
    z, _ = build(lambda p: None)
    x = torch.view_as_real(z.detach()).clone().requires_grad_()
    opt = make([x])
    for i in range(steps):
        opt.step(closure_for_real(opt, x, i))
    return x


def closure_for_real(opt, x, i):
    def closure(backward=True):
        loss = loss_of(torch.view_as_complex(x), i)
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    return closure


def test_real_views_train_and_move_the_complex_leaf_in_place():
    z, opt = build(lambda p: tz.Modular(p, tz.m.Adam(), tz.m.LR(0.1)))
    where, first = z.data_ptr(), loss_of(z).item()
    for _ in range(50):
        opt.zero_grad()
        loss_of(z).backward()
        opt.step()
    assert loss_of(z).item() < 1e-2 * first
    assert z.data_ptr() == where
    assert z.is_leaf


def test_the_trajectory_is_that_of_a_real_parameter():
    for module in (tz.m.Adam, BestOf, ExtraGradient, Delay):
        make = lambda p, module=module: tz.Modular(p, module(), tz.m.LR(0.1))  # noqa: E731
        z, opt = build(make)
        for i in range(4):
            opt.step(closure_for(opt, z, i))
        close([torch.view_as_real(z.detach())], [on_real_parts(make, 4)])


def test_zero_grad_reaches_the_complex_leaf():
    z, opt = build(lambda p: tz.Modular(p, tz.m.LR(0.1)))
    loss_of(z).backward()
    opt.zero_grad(set_to_none=False)
    assert z.grad.eq(0).all()
    opt.zero_grad()
    assert z.grad is None


def test_next_to_real_parameters_and_through_a_checkpoint():
    def make():
        z, _ = build(lambda p: None)
        (x,) = leaves((3,))
        return z, x, tz.Modular([torch.view_as_real(z), x], tz.m.Adam(), tz.m.LR(0.1))

    def go(z, x, opt, steps):
        for i in range(steps):
            opt.zero_grad()
            (loss_of(z, i) + (x * z.real).sum()).backward()
            opt.step()

    z, x, opt = make()
    go(z, x, opt, 2)
    z2, x2, opt2 = make()
    with torch.no_grad():
        z2.copy_(z)
        x2.copy_(x)
    opt2.load_state_dict(opt.state_dict())
    go(z, x, opt, 2)
    go(z2, x2, opt2, 2)
    assert equal([z, x], [z2, x2])


def test_a_complex_module_of_the_documents():
    model = torch.nn.Linear(2, 2, dtype=torch.complex64)
    opt = tz.Modular([torch.view_as_real(i) for i in model.parameters()], tz.m.Adam(), tz.m.LR(0.1))
    inputs = torch.randn(8, 2, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(20):
        opt.zero_grad()
        loss = (model(inputs) - inputs).abs().square().mean()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
