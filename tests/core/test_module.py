"""A module is a value: frozen, copied, pickled, and a tree for optree and torch."""

import copy
import dataclasses
import pickle
from typing import Any, NamedTuple

import optree
import pytest
import torch
import torch.utils._pytree as torch_pytree
from torch import Tensor

import torchzero as tz
from tests.registry import entries
from torchzero.core.hyper import Hyper, child, children, number, positive, static


class State(NamedTuple):
    """State of Scaled."""

    k: Tensor  # ()  updates


class Scaled(tz.Module):
    """Multiply by a number, and by the count if asked."""

    by: Hyper = positive(2.0)
    shift: Hyper = number(None)
    counted: bool = static(False)

    def init(self, params: Any) -> State:
        return State(tz.tree.counter(params))

    def update(self, state: State, var: tz.Var) -> State:
        return State(state.k + 1)

    def apply(self, state: State, var: tz.Var) -> tz.Var:
        return var.replace(update=tz.tree.scale(self.by * (state.k if self.counted else 1), var.update))


class Two(tz.Module):
    """Children of both kinds."""

    many: tuple[Any, ...] = children()
    inner: Any = child(None)


def run(opt: tz.Module, params: Any, steps: int = 3) -> Any:
    state = opt.init(params)
    for _ in range(steps):
        params, state = opt(params, state, lambda p: (p**2).sum() / 8)
    return params


X = torch.tensor([1.0, -2.0])


def test_is_frozen() -> None:
    opt = Scaled()
    with pytest.raises(dataclasses.FrozenInstanceError):
        opt.by = 3.0  # pyright: ignore[reportAttributeAccessIssue]
    changed = opt.evolve(by=3.0)
    assert (opt.by, changed.by, type(changed)) == (2.0, 3.0, Scaled)


@pytest.mark.parametrize("name", sorted(entries()))
def test_every_module_is_frozen(name: str) -> None:
    made = entries()[name].row.make()
    for module in (made, copy.copy(made), made.evolve(), tz.tree.map(lambda x: x, made)):
        fields = dataclasses.fields(module)  # pyright: ignore[reportArgumentType]
        for field in [*(f.name for f in fields), "_param_groups", "something_else"]:
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(module, field, None)
            with pytest.raises(dataclasses.FrozenInstanceError):
                delattr(module, field)


def test_step_is_update_then_apply() -> None:
    opt, var = Scaled(counted=True), tz.Var(X, grad=X)
    state = opt.init(X)
    a = opt.apply(opt.update(state, var), var).update
    new, out = opt.step(state, var)
    assert torch.equal(a, out.update)
    assert new.k == 1
    assert state.k == 0
    twice = opt.update(opt.update(state, var), var)
    assert torch.equal(opt.apply(twice, var).update, 4 * X)


def test_a_module_with_one_of_the_three_functions_will_do() -> None:
    class OnlyApply(tz.Module):
        def apply(self, state: Any, var: tz.Var) -> tz.Var:
            return var.replace(update=-var.update)

    class OnlyUpdate(tz.Module):
        def init(self, params: Any) -> Any:
            return tz.tree.zeros_like(params)

        def update(self, state: Any, var: tz.Var) -> Any:
            return tz.tree.add(state, var.update)

    class OnlyStep(tz.Module):
        def step(self, state: Any, var: tz.Var) -> Any:
            return state, var.replace(update=2 * var.update)

    chain = tz.Chain(OnlyApply(), OnlyUpdate(), OnlyStep())
    state, out = chain.step(chain.init(X), tz.Var(X, grad=X))
    assert torch.equal(out.update, -2 * X)
    assert torch.equal(state["1.OnlyUpdate"], -X)
    assert tz.Module().step((), tz.Var(X, grad=X))[1].update is X


def test_the_call_is_a_step_from_params_to_params() -> None:
    opt = Scaled(0.5)
    params, state = opt(X, opt.init(X), lambda p: (p**2).sum())
    assert params.tolist() == [0, 0]
    assert state.k == 1
    assert opt(X, state, grad=X)[0].tolist() == [0.5, -1.0]


@pytest.mark.parametrize("flatten", [optree.tree_flatten, torch_pytree.tree_flatten])
def test_numbers_are_leaves_and_settings_are_structure(flatten: Any) -> None:
    assert flatten(Scaled(by=3.0))[0] == [3.0]
    assert flatten(Scaled(by=3.0, shift=1.0))[0] == [3.0, 1.0]
    assert flatten(Two(inner=Scaled(5.0), many=(Scaled(6.0), Scaled(7.0))))[0] == [6.0, 7.0, 5.0]
    assert flatten(Scaled(1.0))[1] == flatten(Scaled(2.0))[1]
    assert flatten(Scaled())[1] != flatten(Scaled(counted=True))[1]
    assert flatten(tz.m.Adam())[0] == [0.9, 0.999, 1e-8, 1.0]


def test_paths_name_the_fields() -> None:
    two = Two(inner=Scaled(5.0), many=(Scaled(6.0),))
    assert tz.tree.paths(two) == ["many.0.by", "inner.by"]


@pytest.mark.parametrize("tree_map", [optree.tree_map, torch_pytree.tree_map])
def test_mapping_makes_another_module_without_checks(tree_map: Any) -> None:
    opt = tree_map(lambda x: -x, Two(inner=Scaled(5.0, counted=True), many=()))
    assert isinstance(opt, Two)
    assert opt.inner.by == -5
    assert opt.inner.counted is True
    assert opt.inner.shift is None


def test_vmap_over_a_module_is_a_sweep() -> None:
    rates = torch.tensor([0.1, 0.5, 1.0])
    settings = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "alpha": 1.0}
    sweep = tz.Chain(tz.m.Adam(**{k: torch.full((3,), x) for k, x in settings.items()}), tz.m.LR(rates))
    out = torch.vmap(lambda opt: run(opt, X))(sweep)
    for i, rate in enumerate(rates):
        torch.testing.assert_close(out[i], run(tz.Chain(tz.m.Adam(0.9, 0.99), tz.m.LR(rate)), X))


def test_grad_with_respect_to_a_module() -> None:
    def loss(opt: tz.Module) -> Tensor:
        return (run(opt, X.double()) ** 2).sum()

    opt = tz.Chain(Scaled(torch.tensor(0.5, dtype=torch.float64)), tz.m.LR(torch.tensor(0.7, dtype=torch.float64)))
    grad = torch.func.grad(loss)(opt)
    assert isinstance(grad, tz.Chain)
    h = 1e-6
    for i in range(2):
        leaves, spec = tz.tree.flatten(opt)
        up, down = ([x + s * h * (j == i) for j, x in enumerate(leaves)] for s in (1, -1))
        difference = (loss(tz.tree.unflatten(spec, up)) - loss(tz.tree.unflatten(spec, down))) / (2 * h)
        torch.testing.assert_close(tz.tree.leaves(grad)[i], difference, rtol=1e-6, atol=1e-8)


def test_vmap_of_grad_of_a_module() -> None:
    rates = torch.tensor([0.1, 0.5], dtype=torch.float64)

    def slope(rate: Tensor) -> Tensor:
        return torch.func.grad(lambda opt: run(opt, X.double()).sum())(tz.m.LR(rate)).lr

    torch.testing.assert_close(torch.vmap(slope)(rates), torch.stack([slope(r) for r in rates]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scaled(3.0),
        lambda: tz.Chain(tz.m.Adam(amsgrad=True), tz.m.LR(torch.tensor(0.1))),
        lambda: Two(inner=Scaled([1.0, {"a": 2.0}]), many=(tz.m.LR(0.1),)),
        lambda: tz.m.Adam(exp_avg_tfm=[Scaled(), tz.m.LR(0.5)]),
    ],
)
def test_modules_and_states_are_copied_and_pickled(make: Any) -> None:
    opt = make()
    for other in (copy.deepcopy(opt), copy.copy(opt), pickle.loads(pickle.dumps(opt))):
        assert optree.tree_structure(other) == optree.tree_structure(opt)
        assert tz.tree.leaves(other) == tz.tree.leaves(opt)
        assert repr(other) == repr(opt)
    state = opt.init([X, ()])
    for other in (copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        assert optree.tree_structure(other) == optree.tree_structure(state)
        assert all(map(torch.equal, tz.tree.leaves(other), tz.tree.leaves(state)))


def test_children_and_walk() -> None:
    inner, one, two = Scaled(1.0), Scaled(2.0), tz.m.LR(0.1)
    opt = Two(inner=inner, many=(one, two))
    assert opt.children() == {"inner": inner, "many[0]": one, "many[1]": two}
    assert list(opt.walk()) == [opt, one, two, inner]
    assert list(Two(many=()).children()) == []
    assert opt.hypers() == {}
    assert inner.hypers() == {"by": 1.0, "shift": None}
    with pytest.raises(TypeError, match=r"Two must implement child_state"):
        opt.child_state((), "inner")


def test_locality_of_a_chain_is_that_of_its_furthest_link() -> None:
    assert tz.m.Adam().chain_locality() == "elementwise"
    assert tz.m.Adam(exp_avg_tfm=Scaled()).chain_locality() == "global"
    by_element, by_tensor, by_all = tz.m.Adam(), tz.m.Normalize(), tz.m.BFGS()
    links = (by_element, by_tensor, by_all)
    for k, reach in enumerate(("elementwise", "tensor", "global"), 1):
        assert tz.Chain(*links[:k]).locality == reach
        assert tz.Chain(*links[:k][::-1]).chain_locality() == reach
        assert tz.m.Adam(exp_avg_tfm=tz.Chain(tz.m.ClipValue(1.0), *links[1:k])).chain_locality() == reach
    assert tz.Chain().locality == "elementwise"


def test_repr_shows_what_is_not_the_default() -> None:
    assert repr(Scaled()) == "Scaled()"
    assert repr(Scaled(3.0, counted=True)) == "Scaled(by=3.0, counted=True)"
    assert repr(Scaled(torch.tensor(0.5))) == "Scaled(by=0.5)"
    assert repr(tz.m.Adam(exp_avg_tfm=Scaled())) == "Adam(exp_avg_tfm=Scaled())"
    torch.vmap(lambda x: repr(Scaled(x)) and x)(torch.ones(2))


def test_set_param_groups_names_what_it_does_not_know() -> None:
    opt = Scaled()
    assert opt.set_param_groups({"params": [X], "by": 3.0, "lr": 0.1}) is opt
    with pytest.raises(ValueError, match=r"Scaled.set_param_groups: each group needs 'params' and may set by, shift"):
        opt.set_param_groups([{"params": [X], "size": 3.0}])
    with pytest.raises(ValueError, match=r"Scaled.set_param_groups"):
        opt.set_param_groups([{"by": 3.0}])
    with pytest.raises(ValueError, match=r"Scaled\(by=-1\): must lie in \(0, inf\)"):
        opt.set_param_groups({"params": X, "by": -1})


def test_average_to_evaluate_at_is_found_below() -> None:
    class Half(tz.Module):
        def eval_params(self, state: Any, params: Any) -> Any:
            return tz.tree.scale(0.5, params)

    chain = tz.Chain(Scaled(), Half(), tz.m.LR(0.1))
    assert torch.equal(chain.eval_params(chain.init(X), X), X / 2)
