"""Parameters of every kind are written in place: storages, views and dtypes stay."""

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import Anchor, BestOf, Delay, ExtraGradient, close, equal, fixed_gradients, leaves, values

CHAINS = {
    "plain": lambda: [tz.m.LR(0.1)],
    "adam": lambda: [tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.1)],
    "delay": lambda: [Delay(), tz.m.LR(0.1)],
}


def quadratic(opt, params):
    def closure(backward=True):
        loss = sum(((p.double() - 1) ** 2).sum() for p in params)
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("module", [tz.m.Adam, BestOf, ExtraGradient])
def test_storage_is_kept(module):
    params = leaves((2,), (3, 2), (), (0,))
    opt = tz.Modular(params, module(), tz.m.LR(0.1))
    where = [(p.data_ptr(), p.untyped_storage().data_ptr(), p.is_leaf, p.requires_grad) for p in params]
    for _ in range(3):
        opt.step(quadratic(opt, params))
    assert where == [(p.data_ptr(), p.untyped_storage().data_ptr(), p.is_leaf, p.requires_grad) for p in params]


def test_a_view_of_a_parameter_sees_every_step():
    (p,) = leaves((4,))
    view = p.detach()[1:3]
    opt = tz.Modular([p], tz.m.Adam(), tz.m.LR(0.1))
    fixed_gradients([p], 0)
    opt.step()
    assert torch.equal(view, p.detach()[1:3])


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_parameters_that_are_pieces_of_one_buffer(chain):
    def run(params):
        opt = tz.Modular(params, chain())
        for i in range(3):
            fixed_gradients(params, i)
            opt.step()
        return params

    flat = torch.cat([x.detach().flatten() for x in leaves((2, 3), (4,))])
    pieces = [flat[:6].view(2, 3).requires_grad_(), flat[6:].requires_grad_()]
    assert equal(run(pieces), run(leaves((2, 3), (4,))))
    assert torch.equal(flat, torch.cat([p.detach().flatten() for p in pieces]))


def test_gradients_that_are_pieces_of_one_buffer():
    params = leaves((2,), (3,))
    opt = tz.Modular(params, Delay(), tz.m.LR(0.5))
    buffer, moved = torch.zeros(5, dtype=torch.float64), []
    params[0].grad, params[1].grad = buffer[:2], buffer[2:]
    for i in range(3):
        buffer.fill_(i + 1.0)
        before = values(params)
        opt.step()
        moved.append((before[0] - params[0].detach())[0].item())
    assert moved == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(3, 4, dtype=torch.float64).t(),
        lambda: torch.randn(4, 6, dtype=torch.float64)[:, ::2],
        lambda: torch.randn(2, 3, 4, 4, dtype=torch.float64).to(memory_format=torch.channels_last),
        lambda: torch.randn(2, 3, 2, 2, 2, dtype=torch.float64).to(memory_format=torch.channels_last_3d),
    ],
    ids=["transposed", "strided", "channels_last", "channels_last_3d"],
)
def test_memory_formats(make, chain):
    torch.manual_seed(0)
    p = make().requires_grad_()
    q = p.detach().contiguous().clone().requires_grad_()
    strides = p.stride()
    for params in ([p], [q]):
        opt = tz.Modular(params, chain())
        for i in range(3):
            fixed_gradients(params, i)
            opt.step()
    assert torch.equal(p.detach(), q.detach())
    assert p.stride() == strides


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_empty_and_scalar_parameters(chain):
    params = leaves((), (0,), (3, 0, 2), (1,), (1, 1))
    opt = tz.Modular(params, chain())
    before = values(params)
    for i in range(2):
        fixed_gradients(params, i)
        opt.step()
    assert [p.shape for p in params] == [x.shape for x in before]
    assert params[0] != before[0]


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_mixed_dtypes_step_as_each_alone(chain):
    kinds = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

    def make():
        return [leaves((3,), dtype=d)[0] for d in kinds]

    together, alone = make(), make()
    optimizers = [tz.Modular(together, chain()), *(tz.Modular([p], chain()) for p in alone)]
    for i in range(3):
        fixed_gradients(together, i)
        for k, p in enumerate(alone):
            p.grad = together[k].grad.clone()
        for opt in optimizers:
            opt.step()
    assert equal(together, alone)
    assert tuple(p.dtype for p in together) == kinds


def test_bfloat16_is_close_to_torch():
    mine, theirs = leaves((40,), dtype=torch.bfloat16), leaves((40,), dtype=torch.bfloat16)
    opt, other = tz.Modular(mine, tz.m.Adam(), tz.m.LR(0.01)), torch.optim.Adam(theirs, lr=0.01)
    for i in range(5):
        for params, o in ((mine, opt), (theirs, other)):
            fixed_gradients(params, i)
            o.step()
    torch.testing.assert_close(mine, theirs, rtol=0.02, atol=0.01)
    assert opt.state[mine[0]]["0.Adam/m"].dtype == torch.bfloat16


def test_a_state_that_holds_the_start_keeps_it():
    params = leaves((3,))
    opt = tz.Modular(params, Anchor(1.0), tz.m.LR(1.0))
    start = values(params)[0]
    assert opt.state  # made now
    for _ in range(3):
        with torch.no_grad():
            params[0].add_(1.0)
        params[0].grad = torch.zeros(3, dtype=torch.float64)
        opt.step()
        close([params[0]], [start])


def test_an_update_may_be_made_of_the_parameters_themselves():
    class Exchange(tz.Transform):
        """Emit the other parameter."""

        def apply_tree(self, state, u, var):
            return tz.tree.unflatten(tz.tree.flatten(u)[1], tz.tree.leaves(var.params)[::-1])

    a, b = leaves((3,), (3,))
    before = values([a, b])
    fixed_gradients([a, b], 0)
    tz.Modular([a, b], Exchange()).step()
    close([a, b], [before[0] - before[1], before[1] - before[0]])


def test_parameters_may_be_changed_between_steps():
    mine, theirs = leaves((3,)), leaves((3,))
    opt, other = tz.Modular(mine, tz.m.Adam(), tz.m.LR(0.1)), torch.optim.Adam(theirs, lr=0.1)
    for i in range(4):
        for params, o in ((mine, opt), (theirs, other)):
            fixed_gradients(params, i)
            o.step()
            with torch.no_grad():
                params[0].clamp_(-0.5, 0.5)
    close(mine, theirs)


def test_under_inference_mode_and_no_grad():
    for mode in (torch.no_grad, torch.enable_grad):
        params, reference = leaves((3,)), leaves((3,))
        opt, other = tz.Modular(params, tz.m.Adam(), tz.m.LR(0.1)), tz.Modular(reference, tz.m.Adam(), tz.m.LR(0.1))
        for i in range(2):
            fixed_gradients(params, i)
            fixed_gradients(reference, i)
            with mode():
                opt.step()
            other.step()
        assert equal(params, reference)
        assert params[0].requires_grad
        assert params[0].grad_fn is None
