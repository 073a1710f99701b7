"""WrapClosure: the same steps as the optimizer itself, on whatever the objective has become."""

import copy
import io
import warnings
from typing import Any

import optree
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from torchzero.objective_maps.base import Mapped, ObjectiveMap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_optimizer as other

SHAPES = ((3,), (), (2, 2))

OPTIMIZERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "LBFGS": (
        torch.optim.LBFGS,
        {"lr": st.floats(0.05, 1.0), "max_iter": st.integers(1, 5), "history_size": st.integers(1, 4)},
    ),
    "LBFGS_strong_wolfe": (
        torch.optim.LBFGS,
        {"max_iter": st.integers(1, 5), "history_size": st.integers(1, 6), "line_search_fn": st.just("strong_wolfe")},
    ),
    "Adam": (torch.optim.Adam, {"lr": st.floats(1e-3, 0.3), "amsgrad": st.booleans()}),
    "SGD": (torch.optim.SGD, {"lr": st.floats(1e-3, 0.05), "momentum": st.floats(0.0, 0.9)}),
    "AliG": (other.AliG, {"max_lr": st.floats(0.01, 0.2), "momentum": st.floats(0.1, 0.9)}),  # wants the loss
}


def start() -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randn(s, dtype=torch.float64, generator=g) for s in SHAPES]


def f(params: list[Tensor]) -> Tensor:
    v = torch.cat([p.reshape(-1) for p in params])
    return ((v - 1) ** 2).sum() + 0.5 * ((v[1:] - v[:-1] ** 2) ** 2).sum()


def alone(make: Any, steps: int, objective: Any = f) -> list[list[Tensor]]:
    params = [p.requires_grad_() for p in start()]
    opt, out = make(params), []

    def closure(backward: bool = True) -> Tensor:
        opt.zero_grad()
        with torch.enable_grad():
            loss = objective(params)
        loss.backward()
        return loss

    for _ in range(steps):
        opt.step(closure)
        out.append([p.detach().clone() for p in params])
    return out


def unrolled(module: tz.Module, steps: int) -> list[list[Tensor]]:
    params = start()
    state, out = module.init(params), []
    for _ in range(steps):
        params, state = module(params, state, f)
        out.append(params)
    return out


def same(mine: list[list[Tensor]], theirs: list[list[Tensor]], rtol: float = 1e-9) -> None:
    for a, b in zip(mine, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            torch.testing.assert_close(x, y, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", OPTIMIZERS)
@settings(max_examples=6)
@given(data=st.data())
def test_agrees_with_the_optimizer_alone(name: str, data: st.DataObject) -> None:
    cls, strategies = OPTIMIZERS[name]
    kwargs = {k: data.draw(s, label=k) for k, s in strategies.items()}
    mine = unrolled(tz.m.WrapClosure(cls, **kwargs), 6)
    same(mine, alone(lambda params: cls(params, **kwargs), 6))


class Differences(Mapped):
    """Gradients by central differences, from values alone."""

    def value(self, params: Any) -> Tensor:
        return self.inner.value(params)

    def value_and_grad(self, params: Any) -> tuple[Tensor, Any]:
        vector, unravel = tz.tree.ravel(params)
        steps = 1e-5 * torch.eye(len(vector), dtype=vector.dtype)
        slopes = [(self.value(unravel(vector + e)) - self.value(unravel(vector - e))) / 2e-5 for e in steps]
        return self.value(params), unravel(torch.stack(slopes))


class ByDifferences(ObjectiveMap):
    def rewrite(self, state: Any, var: tz.Var, inner: tz.Objective) -> tz.Objective:
        return Differences(inner)


def test_lbfgs_behind_finite_differences_needs_values_only() -> None:
    params = [p.requires_grad_() for p in start()]
    kwargs = {"history_size": 5, "max_iter": 4, "line_search_fn": "strong_wolfe"}
    opt = tz.Modular(params, ByDifferences(), tz.m.WrapClosure(torch.optim.LBFGS, **kwargs))
    asked, mine = set(), []

    def closure(backward: bool = True) -> Tensor:
        asked.add(backward)
        return f(params)

    for _ in range(5):
        opt.step(closure)
        mine.append([p.detach().clone() for p in params])
    assert asked == {False}
    same(mine, alone(lambda q: torch.optim.LBFGS(q, **kwargs), 5), rtol=1e-4)


def test_lbfgs_behind_other_maps_minimises_what_they_show() -> None:
    """Behind a homotopy it is L-BFGS on the bent loss; behind smoothing it finds the smoothed minimum."""
    kwargs = {"lr": 0.2, "history_size": 5, "max_iter": 4}
    mine = unrolled(tz.Chain(tz.m.SqrtHomotopy(), tz.m.WrapClosure(torch.optim.LBFGS, **kwargs)), 5)
    same(mine, alone(lambda q: torch.optim.LBFGS(q, **kwargs), 5, lambda q: (f(q) + 1e-12).sqrt()))
    sampling = tz.m.GradientSampling(sigma=0.3, n=8, include_x0=False, seed=0)
    wrapped = tz.m.WrapClosure(torch.optim.LBFGS, history_size=10, max_iter=10, line_search_fn="strong_wolfe")
    opt, x = tz.Chain(sampling, wrapped), start()
    state = opt.init(x)
    for _ in range(12):
        state, var = opt.step(state, tz.Var(x, objective=f))
        x = tz.apply_update(var)
    grad = var.need_objective(None).value_and_grad(x)[1]
    assert tz.tree.norm(grad) < 1e-4
    assert tz.tree.norm(tz.FunctionObjective(f).value_and_grad(x)[1]) > 1e-2


def test_update_changes_nothing_it_was_given_and_keeps_its_form() -> None:
    params = start()
    opt = tz.m.WrapClosure(torch.optim.LBFGS, history_size=3, max_iter=2)
    state = opt.init(params)
    first = optree.tree_structure(state), [(x.shape, x.dtype) for x in optree.tree_leaves(state)]
    for _ in range(5):
        kept = copy.deepcopy((params, state))
        versions = [x._version for x in optree.tree_leaves((params, state))]
        new, var = opt.step(state, tz.Var(params, objective=f))
        assert versions == [x._version for x in optree.tree_leaves((params, state))]
        assert all(map(torch.equal, optree.tree_leaves(kept), optree.tree_leaves((params, state))))
        params, state = tz.apply_update(var), new
        assert first == (optree.tree_structure(state), [(x.shape, x.dtype) for x in optree.tree_leaves(state)])


def test_evaluations_are_counted_and_that_at_the_start_is_shared() -> None:
    calls = []

    def watched(params: list[Tensor]) -> Tensor:
        calls.append(1)
        return f(params)

    x = start()
    opt = tz.m.WrapClosure(torch.optim.LBFGS, history_size=3, max_iter=4, lr=0.1)
    state = opt.init(x)
    assert not calls
    var = tz.Var(x, objective=watched)
    assert var.loss.isfinite()
    state, _ = opt.step(state, var)
    assert opt.evaluations(state) == len(calls) - 1 == 3


def test_a_checkpoint_of_plain_tensors_resumes_bit_for_bit() -> None:
    def made() -> tuple[list[Tensor], tz.Modular, Any]:
        params = [p.requires_grad_() for p in start()]
        opt = tz.Modular(params, tz.m.WrapClosure(torch.optim.LBFGS, history_size=3, max_iter=2), tz.m.LR(0.5))

        def closure(backward: bool = True) -> Tensor:
            loss = f(params)
            if backward:
                opt.zero_grad()
                loss.backward()
            return loss

        return params, opt, closure

    whole, opt, closure = made()
    for _ in range(6):
        opt.step(closure)
    half, opt, closure = made()
    for _ in range(3):
        opt.step(closure)
    file = io.BytesIO()
    torch.save((opt.state_dict(), half), file)
    file.seek(0)
    saved, values = torch.load(file, weights_only=True)
    resumed, opt, closure = made()
    for p, value in zip(resumed, values, strict=True):
        p.data.copy_(value)
    opt.load_state_dict(saved)
    for _ in range(3):
        opt.step(closure)
    assert all(map(torch.equal, whole, resumed))


def test_an_instance_gives_its_groups_and_is_never_stepped() -> None:
    params = [p.requires_grad_() for p in start()]
    wrapped = torch.optim.LBFGS(params, lr=1.0, max_iter=2, history_size=3)
    opt = tz.m.WrapClosure(wrapped)
    mine, state, steps = start(), opt.init([p.detach() for p in params]), []
    for k in range(4):
        wrapped.param_groups[0]["lr"] = 0.5**k
        mine, state = opt(mine, state, f)
        steps.append(mine)
    theirs = [p.requires_grad_() for p in start()]
    alone_ = torch.optim.LBFGS(theirs, lr=1.0, max_iter=2, history_size=3)

    def closure() -> Tensor:
        alone_.zero_grad()
        loss = f(theirs)
        loss.backward()
        return loss

    for k in range(4):
        alone_.param_groups[0]["lr"] = 0.5**k
        alone_.step(closure)
        same([steps[k]], [[p.detach() for p in theirs]])
    assert all(map(torch.equal, start(), params))
    assert not wrapped.state


def test_a_closure_that_raises_leaves_the_parameters() -> None:
    params = [p.requires_grad_() for p in start()]
    opt = tz.Modular(params, tz.m.WrapClosure(torch.optim.LBFGS, max_iter=4, history_size=3))
    calls = []

    def closure(backward: bool = True) -> Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        loss = f(params)
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    with pytest.raises(KeyboardInterrupt):
        opt.step(closure)
    assert all(map(torch.equal, start(), params))
    before = f(params).item()
    assert opt.step(closure).item() == before
    assert f(params).item() < before


def test_what_is_refused() -> None:
    p = torch.nn.Parameter(torch.ones(1))
    with pytest.raises(TypeError, match=r"WrapClosure\(opt_fn=3\): must be an optimizer class"):
        tz.m.WrapClosure(3)
    with pytest.raises(TypeError, match=r"WrapClosure\(Lookahead\): steps another optimizer"):
        tz.m.WrapClosure(other.Lookahead(torch.optim.SGD([p], lr=0.1)))
    opt = tz.m.WrapClosure(torch.optim.LBFGS, history_size=2)
    with pytest.raises(RuntimeError, match=r"WrapClosure: must evaluate the objective.*closure"):
        opt(torch.ones(2), opt.init(torch.ones(2)), grad=torch.ones(2))
    with pytest.raises(RuntimeError, match=r"WrapClosure\(LBFGS\).*neither vmapped nor"):
        torch.vmap(opt.init)(torch.ones(2, 3))


def test_an_optimizer_that_keeps_ever_more_is_refused() -> None:
    class Growing(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            closure()
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p].setdefault("all", []).append(p.grad.clone())

    opt = tz.m.WrapClosure(Growing, lr=1.0)
    params, state = torch.ones(2), opt.init(torch.ones(2))

    def run(params: Any, state: Any) -> None:
        for _ in range(5):
            params, state = opt(params, state, lambda x: (x**2).sum())

    with pytest.raises(RuntimeError, match=r"WrapClosure\(Growing\): it keeps more than it did"):
        run(params, state)


def test_repr() -> None:
    assert repr(tz.m.WrapClosure(torch.optim.LBFGS, lr=0.1)) == "WrapClosure(LBFGS, lr=0.1)"
