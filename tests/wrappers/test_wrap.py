"""Wrap: the same steps as the optimizer itself, with everything that it keeps in the state."""

import copy
import io
import pickle
import warnings
from typing import Any

import optree
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_optimizer as other

SHAPES = ((3,), (), (2, 3))
rates = st.floats(1e-3, 1.0)
betas = st.tuples(st.floats(0.0, 0.99), st.floats(0.0, 0.999))
decays = st.floats(0.0, 0.2)
unit = st.floats(0.0, 0.95)

OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "SGD": (torch.optim.SGD, {"lr": rates, "momentum": unit, "dampening": unit, "weight_decay": decays}),
    "SGD_nesterov": (torch.optim.SGD, {"lr": rates, "momentum": st.floats(0.1, 0.9), "nesterov": st.just(True)}),
    "Adam": (torch.optim.Adam, {"lr": rates, "betas": betas, "amsgrad": st.booleans(), "weight_decay": decays}),
    "AdamW": (torch.optim.AdamW, {"lr": rates, "betas": betas, "weight_decay": decays}),
    "RMSprop": (
        torch.optim.RMSprop,
        {"lr": rates, "alpha": st.floats(0.1, 0.95), "momentum": unit, "centered": st.booleans()},
    ),
    "Adagrad": (torch.optim.Adagrad, {"lr": rates, "lr_decay": decays, "initial_accumulator_value": decays}),
    "Adadelta": (torch.optim.Adadelta, {"lr": rates, "rho": unit}),
    "NAdam": (torch.optim.NAdam, {"lr": rates, "betas": betas}),
    "RAdam": (torch.optim.RAdam, {"lr": rates, "betas": betas}),
    "Adamax": (torch.optim.Adamax, {"lr": rates, "betas": betas}),
    "Rprop": (torch.optim.Rprop, {"lr": rates}),
    "ASGD": (torch.optim.ASGD, {"lr": rates, "t0": st.integers(0, 5)}),
    "LaProp": (other.LaProp, {"lr": rates, "betas": betas}),
    "Lion": (other.Lion, {"lr": rates, "betas": betas}),
    "AdaBelief": (other.AdaBelief, {"lr": rates, "betas": betas}),
    "Prodigy": (other.Prodigy, {"lr": rates}),  # keeps numbers in its groups
    "MADGRAD": (other.MADGRAD, {"lr": rates, "momentum": unit}),  # keeps a count by name in its state
}


def start() -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(s, dtype=torch.float64, generator=g) for s in SHAPES]


def gradients(k: int) -> list[Tensor]:
    g = torch.Generator().manual_seed(100 + k)
    return [torch.randn(s, dtype=torch.float64, generator=g) for s in SHAPES]


def alone(make: Any, steps: int) -> list[list[Tensor]]:
    params = [p.requires_grad_() for p in start()]
    opt, out = make(params), []
    for k in range(steps):
        for p, g in zip(params, gradients(k), strict=True):
            p.grad = g
        opt.step()
        out.append([p.detach().clone() for p in params])
    return out


def unrolled(module: tz.Module, steps: int) -> list[list[Tensor]]:
    params = start()
    state, out = module.init(params), []
    for k in range(steps):
        params, state = module(params, state, grad=gradients(k))
        out.append(params)
    return out


def same(mine: list[list[Tensor]], theirs: list[list[Tensor]]) -> None:
    for a, b in zip(mine, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", OPTIMIZERS)
@settings(max_examples=5)
@given(data=st.data())
def test_agrees_with_the_optimizer_alone(name: str, data: st.DataObject) -> None:
    cls, strategies = OPTIMIZERS[name]
    kwargs = {k: data.draw(s, label=k) for k, s in strategies.items()}
    same(unrolled(tz.m.Wrap(cls, **kwargs), 7), alone(lambda params: cls(params, **kwargs), 7))


def test_a_function_that_makes_the_optimizer() -> None:
    def make(params: Any, lr: float) -> torch.optim.Optimizer:
        return torch.optim.SGD([{"params": [p], "lr": lr / (i + 1)} for i, p in enumerate(params)], momentum=0.5)

    same(unrolled(tz.m.Wrap(make, 0.1), 4), alone(lambda params: make(params, 0.1), 4))


def test_update_changes_nothing_it_was_given() -> None:
    params, grads = start(), gradients(0)
    opt = tz.m.Wrap(torch.optim.Adam, lr=0.1, weight_decay=0.1)
    state, _ = opt.step(opt.init(params), tz.Var(params, grad=grads))
    kept = copy.deepcopy((params, grads, state))
    versions = [x._version for x in optree.tree_leaves((params, grads, state))]
    opt.step(state, tz.Var(params, grad=grads))
    assert versions == [x._version for x in optree.tree_leaves((params, grads, state))]
    assert all(map(torch.equal, optree.tree_leaves(kept), optree.tree_leaves((params, grads, state))))


def test_the_state_is_tensors_of_a_structure_that_stays() -> None:
    params = start()
    opt = tz.m.Wrap(other.Prodigy, lr=1.0)
    state = opt.init(params)
    first = optree.tree_structure(state), [(x.shape, x.dtype) for x in optree.tree_leaves(state)]
    for k in range(3):
        params, state = opt(params, state, grad=gradients(k))
        assert first == (optree.tree_structure(state), [(x.shape, x.dtype) for x in optree.tree_leaves(state)])
    again = pickle.loads(pickle.dumps(state))
    assert optree.tree_structure(again) == first[0]


@pytest.mark.parametrize("name", ["Adam", "SGD", "MADGRAD", "Prodigy"])
def test_a_checkpoint_of_plain_tensors_resumes_bit_for_bit(name: str) -> None:
    cls = OPTIMIZERS[name][0]
    kwargs = {"lr": 0.1, "momentum": 0.9} if name == "SGD" else {"lr": 0.1}

    def made() -> tuple[list[Tensor], tz.Modular]:
        params = [p.requires_grad_() for p in start()]
        return params, tz.Modular(params, tz.m.Wrap(cls, **kwargs), tz.m.LR(0.5))

    def run(params: list[Tensor], opt: tz.Modular, steps: range) -> None:
        for k in steps:
            for p, g in zip(params, gradients(k), strict=True):
                p.grad = g
            opt.step()

    whole, opt = made()
    run(whole, opt, range(6))
    half, opt = made()
    run(half, opt, range(3))
    file = io.BytesIO()
    torch.save((opt.state_dict(), half), file)
    file.seek(0)
    saved, values = torch.load(file, weights_only=True)
    resumed, opt = made()
    for p, value in zip(resumed, values, strict=True):
        p.data.copy_(value)
    opt.load_state_dict(saved)
    run(resumed, opt, range(3, 6))
    assert all(map(torch.equal, whole, resumed))


def test_a_parameter_that_comes_later_starts_afresh() -> None:
    """Momentum's first step differs from the others, so each parameter has a start of its own."""
    opt = tz.m.Wrap(torch.optim.SGD, lr=1.0, momentum=0.5, dampening=0.5)
    p = torch.zeros(1)
    state = opt.init([p, p])
    one = torch.ones(1)
    early = state._replace(buffers=[(), state.buffers[1]], direction=[(), state.direction[1]])
    early, _ = opt.step(early, tz.Var([(), p], grad=[(), one]))
    both = early._replace(
        buffers=[state.buffers[0], early.buffers[1]], direction=[state.direction[0], early.direction[1]]
    )
    _, out = opt.step(both, tz.Var([p, p], grad=[one, one]))
    assert [u.item() for u in out.update] == [1.0, 1.0 * 0.5 + 0.5]
    late = both.buffers[0]
    assert not late.started


def test_nothing_to_do_with_all_parameters_missing() -> None:
    opt = tz.m.Wrap(torch.optim.Adam, lr=0.1)
    state = opt.init([()])
    assert opt.step(state, tz.Var([()], grad=[()]))[1].update == [()]


# ---------------------------------------------------------------------- instances


def per_layer(a: Tensor, b: Tensor) -> torch.optim.SGD:
    return torch.optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 0.1, "momentum": 0.5}], lr=1.0)


def test_an_instance_gives_its_groups_and_schedulers_and_is_never_stepped() -> None:
    a, b = (torch.nn.Parameter(torch.ones(n)) for n in (3, 2))
    wrapped = per_layer(a, b)
    opt = tz.m.Wrap(wrapped)
    mine = torch.optim.lr_scheduler.ExponentialLR(wrapped, 0.5)
    x, y = (p.detach().clone().requires_grad_() for p in (a, b))
    reference = per_layer(x, y)
    theirs = torch.optim.lr_scheduler.ExponentialLR(reference, 0.5)
    params = [b.detach(), a.detach()]  # in another order: they are found by their storage
    state = opt.init(params)
    for k in range(4):
        y.grad, x.grad = torch.full((2,), float(k)), torch.full((3,), 1.0)
        params, state = opt(params, state, grad=[y.grad, x.grad])
        reference.step()
        mine.step()
        theirs.step()
    torch.testing.assert_close(params, [y.detach(), x.detach()])
    assert torch.equal(a, torch.ones(3))
    assert a.grad is None
    assert not wrapped.state


def test_an_instance_inside_modular_ignores_the_rate_of_its_groups() -> None:
    a, b = (torch.nn.Parameter(torch.ones(n)) for n in (3, 2))
    opt = tz.Modular(
        [{"params": [a], "lr": 0.5}, {"params": [b], "lr": 0.25}], tz.m.Wrap(per_layer(a, b)), tz.m.LR(1.0)
    )
    a.grad, b.grad = torch.ones(3), torch.ones(2)
    opt.step()
    assert torch.equal(a, torch.full((3,), 0.5))
    assert torch.allclose(b, torch.full((2,), 1 - 0.25 * 0.1))


def test_groups_are_read_once_on_request() -> None:
    p = torch.nn.Parameter(torch.ones(1))
    inner = torch.optim.SGD([p], lr=0.5)
    live, frozen = tz.m.Wrap(inner), tz.m.Wrap(inner, use_param_groups=False)
    inner.param_groups[0]["lr"] = 0.25
    for opt, expected in ((live, 0.75), (frozen, 0.5)):
        assert opt(torch.ones(1), opt.init(torch.ones(1)), grad=torch.ones(1))[0] == expected


def test_settings_that_a_scheduler_made_stay_out_of_the_state() -> None:
    p = torch.nn.Parameter(torch.ones(1))
    inner = torch.optim.Adam([p], lr=0.5)
    before = optree.tree_structure(tz.m.Wrap(inner).init([p.detach()]))
    torch.optim.lr_scheduler.OneCycleLR(inner, 1.0, total_steps=10)
    assert optree.tree_structure(tz.m.Wrap(inner).init([p.detach()])) == before


# ---------------------------------------------------------------------- what is refused


def test_an_optimizer_that_needs_a_closure_is_named_with_the_remedy() -> None:
    with pytest.raises(TypeError, match=r"Wrap\(LBFGS\): LBFGS.step needs a closure.*WrapClosure"):
        tz.m.Wrap(torch.optim.LBFGS, lr=1)
    p = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(TypeError, match=r"Wrap\(LBFGS\)"):
        tz.m.Wrap(torch.optim.LBFGS([p]))
    with pytest.raises(RuntimeError, match=r"Wrap\(AdaHessian\): AdaHessian.step\(\) failed.*WrapClosure"):
        tz.m.Wrap(other.AdaHessian).init([torch.ones(2)])


def test_an_optimizer_around_another_is_refused() -> None:
    p = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(TypeError, match=r"Wrap\(Lookahead\): steps another optimizer, its optimizer"):
        tz.m.Wrap(other.Lookahead(torch.optim.SGD([p], lr=0.1)))


def test_bad_arguments() -> None:
    p = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(TypeError, match=r"Wrap\(opt_fn=3\): must be an optimizer class"):
        tz.m.Wrap(3)
    with pytest.raises(
        TypeError, match=r"Wrap\(SGD\): an optimizer that is already made takes no further arguments, got lr"
    ):
        tz.m.Wrap(torch.optim.SGD([p], lr=1.0), lr=2.0)
    with pytest.raises(TypeError, match=r"must make a torch.optim.Optimizer, got list"):
        tz.m.Wrap(list).init([torch.ones(1)])
    with pytest.raises(
        ValueError, match=r"Wrap\(SGD\): its parameters have shapes \[\(1,\)\], and the module's \[\(7,\)\]"
    ):
        tz.m.Wrap(torch.optim.SGD([p], lr=1.0)).init([torch.zeros(7)])


def test_a_schedule_among_the_arguments() -> None:
    class Half(tz.core.Schedule):
        def value(self, k: Tensor) -> Tensor:
            return 0.5**k

    with pytest.raises(TypeError, match=r"Wrap\(SGD, lr=.*cannot be schedules; schedule LR"):
        tz.m.Wrap(torch.optim.SGD, lr=Half())


def test_transforms_are_refused_by_name() -> None:
    opt = tz.m.Wrap(torch.optim.SGD, lr=1.0)
    with pytest.raises(RuntimeError, match=r"Wrap\(SGD\).*neither vmapped nor differentiated"):
        torch.vmap(opt.init)(torch.ones(2, 3))
    state = opt.init(torch.ones(1))
    with pytest.raises(RuntimeError, match=r"Wrap\(SGD\)"):
        opt(torch.ones(1), state, grad=torch.ones(1, requires_grad=True) * 2)


def test_buffers_that_change_shape_are_refused() -> None:
    class Growing(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    old = self.state[p].get("history", p.grad[:0])
                    self.state[p]["history"] = torch.cat([old, p.grad])

    opt = tz.m.Wrap(Growing, lr=1.0)
    with pytest.raises(
        RuntimeError, match=r"Wrap\(Growing\): what it keeps for a parameter of shape \(2,\) has changed"
    ):
        opt(torch.ones(2), opt.init(torch.ones(2)), grad=torch.ones(2))


def test_repr() -> None:
    assert repr(tz.m.Wrap(torch.optim.SGD, lr=0.1)) == "Wrap(SGD, lr=0.1)"
    assert repr(tz.m.Wrap(torch.optim.SGD([torch.ones(1)], lr=0.1))) == "Wrap(SGD instance)"
