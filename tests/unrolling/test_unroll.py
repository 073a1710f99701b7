"""unroll: the same as a loop, under every transformation, and in less memory."""

import functools

import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import torchzero as tz

# torch's own, when forward mode is first used
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

X, Y = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), torch.tensor(1.3).double()
V = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
STEPS = 5


def f(p, batch, theta):
    return (torch.sin(p["w"]) * batch * theta).sum() + (p["w"] ** 2).sum() * theta


DATA = torch.linspace(-1, 2, STEPS * 3, dtype=torch.float64).reshape(STEPS, 3)


def final(x, theta, segment="auto", data=DATA, loss=f, lr=0.1, **options):
    opt = tz.Chain(tz.m.Adam(beta1=lr), tz.m.LR(lr))
    end = tz.unroll(opt, loss, {"w": x}, STEPS, data=data, theta=theta, segment=segment, **options)
    return (end.params["w"] * V).sum() + end.losses.sum()


def by_loop(x, theta, data=DATA, lr=0.1):
    opt = tz.Chain(tz.m.Adam(beta1=lr), tz.m.LR(lr))
    p, state, total = {"w": x}, opt.init({"w": x}), 0
    for k in range(STEPS):
        total = total + f(p, data[k], theta)
        p, state = opt(p, state, lambda p, k=k: f(p, data[k], theta))
    return (p["w"] * V).sum() + total


def by_backward(g):
    x, y = X[0].clone().requires_grad_(), Y.clone().requires_grad_()
    first = torch.autograd.grad(g(x, y), (x, y), create_graph=True)
    return first, torch.autograd.grad(first[0].sum() * first[1], (x, y))


def by_duals(g):
    ad = torch.autograd.forward_ad
    x = X[0].clone().requires_grad_()
    with ad.dual_level():
        dual = ad.make_dual(x, V)
        out = g(dual, Y)
        return ad.unpack_dual(out).tangent, ad.unpack_dual(torch.autograd.grad(out, dual, create_graph=True)[0]).tangent


WAYS = {
    "grad": lambda g: grad(g, (0, 1))(X[0], Y),
    "vjp": lambda g: vjp(g, X[0], Y)[1](torch.ones_like(Y)),
    "jacrev": lambda g: jacrev(lambda x: g(x, Y) * x)(X[0]),
    "jacfwd": lambda g: jacfwd(g, (0, 1))(X[0], Y),
    "jvp": lambda g: jvp(g, (X[0], Y), (V, Y)),
    "hessian": lambda g: hessian(g)(X[0], Y),
    "reverse over reverse": lambda g: jacrev(grad(g))(X[0], Y),
    "reverse over forward": lambda g: grad(lambda x: jvp(g, (x, Y), (V, Y))[1])(X[0]),
    "three times": lambda g: grad(lambda y: grad(lambda y: grad(g, 1)(X[0], y))(y))(Y),
    "vmap of grad": lambda g: vmap(grad(g, (0, 1)), (0, None))(X, Y),
    "grad of vmap": lambda g: grad(lambda x, y: vmap(g, (0, None))(x, y).prod(), (0, 1))(X, Y),
    "grad of vmaps": lambda g: grad(lambda x: vmap(lambda x: vmap(g, (None, 0))(x, V))(x).prod())(X),
    "vmap of jvp of grad": lambda g: vmap(lambda x: jvp(grad(g), (x, Y), (V, Y))[1])(X),
    "vmap below backward": lambda g: by_backward(lambda x, y: vmap(g, (0, None))(X * x, y).prod()),
    "backward": by_backward,
    "grad below backward": lambda g: by_backward(lambda x, y: grad(g)(x, y).sum()),
    "duals": by_duals,
}
SEGMENTS = ["auto", 1, 2, (3, 2, 1), 100]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("segment", ["auto", (3, 2)])
def test_agrees_with_a_loop(way, segment):
    wanted = WAYS[way](by_loop)
    torch.testing.assert_close(WAYS[way](functools.partial(final, segment=segment)), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("segment", [None, *SEGMENTS])
def test_the_value_is_that_of_a_loop_bit_for_bit(segment):
    assert final(X[0], Y, segment) == by_loop(X[0], Y)
    x = X[0].clone().requires_grad_()
    assert final(x, Y, segment) == by_loop(X[0], Y)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_data_and_hyperparameters_are_differentiated(segment):
    wanted = grad(lambda d, lr: by_loop(X[0], Y, d, lr), (0, 1))(DATA, 0.3 * Y)
    found = grad(lambda d, lr: final(X[0], Y, segment, d, lr=lr), (0, 1))(DATA, 0.3 * Y)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


CLOSED = {
    "grad": lambda g: grad(g)(Y),
    "jacfwd": lambda g: jacfwd(g)(Y),
    "backward": lambda g: torch.autograd.grad(g(y := Y.clone().requires_grad_()), y)[0],
    "hessian": lambda g: hessian(g)(Y),
    "vmap of grad": lambda g: vmap(grad(g))(V),
}


@pytest.mark.parametrize("way", CLOSED)
@pytest.mark.filterwarnings("ignore:unroll. the loss closes over")
def test_what_the_loss_closes_over_is_differentiated(way):
    def closing(y):
        x = X[0] * y  # also an input that is differentiated
        return final(x, None, loss=lambda p, b: f(p, b, y))

    wanted = CLOSED[way](lambda y: by_loop(X[0] * y, y))
    assert wanted.abs().max() > 1e-3
    torch.testing.assert_close(CLOSED[way](closing), wanted, rtol=1e-9, atol=1e-12)


def test_a_closure_that_costs_memory_is_pointed_out():
    with pytest.warns(UserWarning, match="closes over a tensor .* give it as theta"):
        grad(lambda y: final(X[0] * y, None, loss=lambda p, b: f(p, b, y)))(Y)


def test_a_loss_may_close_over_the_data_of_a_lane():
    def lane(run):
        return lambda t, y: run(X[0] * y, y) + 0 * t

    def closing(t, y):
        return final(X[0] * y, y, loss=lambda p, b, th: f(p, b + t, th))

    def looped(t, y):
        return by_loop(X[0] * y, y, DATA + t)

    for both in (
        lambda g: vmap(grad(g, 1), (0, None))(V, Y),
        lambda g: grad(lambda y: vmap(g, (0, None))(V, y).prod())(Y),
        lambda g: grad(lambda y: vmap(lambda s: vmap(g, (0, None))(V * s, y).prod())(V).prod())(Y),
    ):
        torch.testing.assert_close(both(closing), both(looped), rtol=1e-9, atol=1e-12)


def remembered(out):
    """The nodes of a graph, and how many elements those of segments hold."""
    found, todo = set(), [out.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in found:
            found.add(node)
            todo += [n for n, _ in node.next_functions]
    segments = [n for n in found if "Recomputed" in n.name()]
    return len(found), sum(x.numel() for n in segments for x in n.saved_tensors)


def test_only_the_starts_of_segments_are_remembered():
    def run(segment):
        x = torch.full((1000,), 0.5, requires_grad=True)
        end = tz.unroll([tz.m.HeavyBall(0.9), tz.m.LR(0.1)], lambda x: (x**4).sum(), x, 27, segment=segment)
        out = end.params.sum()
        return remembered(out), torch.autograd.grad(out, x)[0]

    ((nodes, size), a), ((_, more), b), ((plain, _), c) = run("auto"), run(3), run(None)
    assert nodes < 10 < 100 < plain
    assert 10_000 <= size < 10_100  # parameters and momentum at the starts of five segments
    assert 18_000 <= more < 18_100
    torch.testing.assert_close(a, c)
    torch.testing.assert_close(b, c)


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("noise", [tz.m.AddNoise(0.5, seed=1), tz.m.Dropout(0.5, seed=2)], ids=["AddNoise", "Dropout"])
def test_random_modules_draw_again_what_they_drew(noise, segment):
    def run(x, segment):
        return tz.unroll([noise, tz.m.LR(0.1)], lambda x: (x**4).sum(), x, STEPS, segment=segment).params.sum()

    wanted = grad(lambda x: run(x, None))(X[0])
    torch.testing.assert_close(grad(lambda x: run(x, segment))(X[0]), wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("lanes", [False, True])
def test_the_global_generator_is_replayed(segment, lanes):
    def loss(x):
        return (x**4 * torch.rand(3, dtype=torch.float64)).sum() + torch.rand((), dtype=torch.float64) * (x**2).sum()

    def run(x, segment):
        return tz.unroll(tz.m.LR(0.1), loss, x, STEPS, segment=segment).params.sum()

    def derivative(segment):
        torch.manual_seed(3)
        if lanes:
            found = vmap(grad(lambda x: run(x, segment)), randomness="different")(X)
        else:
            found = grad(lambda x: run(x, segment))(X[0])
        return found, torch.rand(())

    found, after = derivative(segment)
    wanted, then = derivative(None)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    assert after == then


@pytest.mark.parametrize("last", [1, 3, 99])
def test_truncation_is_a_start_from_constants(last):
    """Shaban et al.: as if the first steps had been taken with constants."""
    opt, lr = tz.Chain(tz.m.HeavyBall(0.8), tz.m.LR(0.1)), 0.1 * Y
    p, state = X[0], opt.init(X[0])
    for _ in range(max(STEPS - last, 0)):
        p, state = tz.Chain(tz.m.HeavyBall(0.8), tz.m.LR(lr))(p, state, lambda x: (x**4).sum())

    def run(lr, x, steps, state=None, **options):
        opt = tz.Chain(tz.m.HeavyBall(0.8), tz.m.LR(lr))
        return tz.unroll(opt, lambda x: (x**4).sum(), x, steps, state=state, **options).params

    wanted = jacrev(lambda lr: run(lr, p, min(last, STEPS), state))(lr)
    torch.testing.assert_close(jacrev(lambda lr: run(lr, X[0], STEPS, truncate=last))(lr), wanted)
    by_start = grad(lambda x: run(lr, x, STEPS, truncate=last).sum())(X[0])
    assert bool(by_start.any()) == (last >= STEPS)
    torch.testing.assert_close(run(lr, X[0], STEPS, truncate=last), run(lr, X[0], STEPS), rtol=0, atol=0)


@pytest.mark.parametrize("segment", [None, *SEGMENTS])
def test_stop_state_leaves_the_way_through_parameters(segment):
    """With a plain sum as the state, by hand: x' = x - lr (m + g), m constant."""

    def run(lr):
        opt = tz.Chain(tz.m.HeavyBall(0.8), tz.m.LR(lr))
        return tz.unroll(opt, lambda x: x**2, Y, 3, segment=segment, stop_state=True).params

    def by_hand(lr):
        x, m = Y, torch.zeros(())
        for _ in range(3):
            m = 0.8 * m.detach() + 2 * x
            x = x - lr * m
        return x

    torch.testing.assert_close(grad(run)(0.1 * Y), grad(by_hand)(0.1 * Y))


def test_a_run_continues_from_a_state():
    opt = tz.Chain(tz.m.Adam(), tz.m.LR(0.1))
    whole = tz.unroll(opt, lambda x: (x**4).sum(), X[0], 6)
    half = tz.unroll(opt, lambda x: (x**4).sum(), X[0], 2)
    rest = tz.unroll(opt, lambda x: (x**4).sum(), half.params, 4, state=half.state)
    torch.testing.assert_close(rest._replace(losses=whole.losses), whole, rtol=0, atol=0)
    torch.testing.assert_close(torch.cat([half.losses, rest.losses]), whole.losses, rtol=0, atol=0)


def test_compiles():
    def run(x):
        return tz.unroll([tz.m.HeavyBall(0.9), tz.m.LR(0.1)], lambda x: (x**4).sum(), x, 3).params

    compiled = torch.compile(run, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(X[0]), run(X[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"unroll\(steps=0\): must be an integer of at least 1"),
        ({"segment": 0}, r"unroll\(segment=0\): must be an integer of at least 1"),
        ({"segment": (3, "a")}, r"unroll\(segment=\(3, 'a'\)\): must be"),
        ({"truncate": -1}, r"unroll\(truncate=-1\): must be an integer of at least 1, or None"),
        ({"data": {"x": torch.ones(4, 2)}}, r"unroll\(data=...\): x must be a tensor of shape \(5, ...\)"),
        ({"state": (torch.ones(()),)}, r"unroll\(state=...\): .* continue with the state"),
        ({"opt": tz.m.Wrap(torch.optim.SGD, lr=0.1)}, "Wrap runs foreign code"),
    ],
)
def test_bad_arguments_are_named(options, message):
    arguments = {"opt": tz.m.Adam(), "f": lambda x: (x**2).sum(), "params": X[0], "steps": STEPS, **options}
    with pytest.raises(ValueError, match=message):
        tz.unroll(**arguments)
