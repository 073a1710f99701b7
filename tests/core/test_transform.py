"""Transform and TensorwiseTransform: what the base classes do for a rule."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.core.hyper import Hyper, child, number


class SumState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()          updates
    total: Tensor  # like param  sum of u
    absent: tuple[()]  # always ()


class Sum(tz.TensorwiseTransform):
    """The weighted sum of all directions, its count, and a child for the sum and one for the direction."""

    locality = "elementwise"
    needs = frozenset({"params", "grad", "value"})
    buffer_modules = {"total": "total_tfm"}

    weight: Hyper = number(1.0)
    total_tfm: Any = child(None)
    inner: Any = child(None)

    def init_tensor(self, param: Tensor) -> SumState:
        return SumState(tz.tree.counter(param), torch.zeros_like(param), ())

    def scalars(self, t: Tensor) -> Tensor:
        assert t.dtype == torch.float64
        return self.weight * t

    def update_tensor(self, state: SumState, u: Tensor, at: tz.core.At) -> SumState:
        return state._replace(total=state.total + self.weight * u.double())

    def apply_tensor(self, state: SumState, u: Tensor, at: tz.core.At) -> Tensor:
        assert at.grad is not None
        assert at.loss is not None
        return state.total + 100 * u + 0 * (at.param + at.grad + at.loss) + 0 * at.scalars.double()


class Rule(tz.Transform):
    """Divide by the global sum."""

    scale: Hyper = number(1.0)

    def init_tree(self, params: Any) -> Any:
        return (tz.tree.scalar(params, 0.0),)

    def update_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return (tz.tree.total(u).double(),)

    def apply_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return tz.tree.zipmap(lambda x, c: c * x.double() / state[0], u, self.scale)


def params() -> dict[str, Tensor]:
    return {"a": torch.ones(2), "b": torch.ones(1, dtype=torch.bfloat16)}


def var(scale: float = 1.0) -> tz.Var:
    return tz.Var(params(), grad=tz.tree.scale(scale, params()), loss=torch.tensor(0.5))


def test_state_slots_are_trees_like_the_parameters() -> None:
    state = Sum().init(params())
    assert state.total.keys() == params().keys()
    assert state.absent == ()
    assert state.t["a"] == 0
    assert state.t["a"] is state.t["b"]  # one count for all


def test_the_count_goes_up_once_an_update_and_dtypes_stay() -> None:
    opt = Sum()
    state = opt.init(params())
    for k in range(3):
        state = opt.update(state, var())
        assert state.t["a"] == state.t["b"] == k + 1
        assert state.total["a"].dtype == torch.float32
        assert state.total["b"].dtype == torch.bfloat16
    out = opt.apply(state, var())
    assert state.t["a"] == 3
    assert out.update["a"].tolist() == [103, 103]
    assert out.update["b"].dtype == torch.bfloat16


def test_step_is_update_and_apply() -> None:
    opt = Sum(weight=2.0)
    state = opt.init(params())
    stepped, out = opt.step(state, var())
    updated = opt.update(state, var())
    assert torch.equal(out.update["a"], opt.apply(updated, var()).update["a"])
    assert stepped.t["a"] == updated.t["a"] == 1


def test_settings_may_be_prefix_trees() -> None:
    opt = Sum(weight={"a": 2.0, "b": torch.tensor(3.0)})
    _, out = opt.step(opt.init(params()), var())
    assert out.update["a"].tolist() == [102, 102]
    assert out.update["b"].item() == 103
    nested = {"x": [torch.ones(1), torch.ones(1)], "y": torch.ones(1)}
    opt = Sum(weight={"x": 5.0, "y": 7.0})
    _, out = opt.step(opt.init(nested), tz.Var(nested, grad=nested, loss=torch.zeros(())))
    assert [x.item() for x in tz.tree.leaves(out.update)] == [105, 105, 107]
    adam = tz.m.Adam(beta1={"a": 0.5, "b": 0.9}, alpha={"a": 1.0, "b": 2.0})
    state, out = adam.step(adam.init(params()), var())
    assert state.m["a"].tolist() == [0.5, 0.5]
    torch.testing.assert_close(out.update["b"], torch.tensor([2.0], dtype=torch.bfloat16))


def test_prefix_trees_under_vmap() -> None:
    def step(weight: Tensor) -> Tensor:
        opt = Sum(weight={"a": weight, "b": 3.0})
        return opt.step(opt.init(params()), var())[1].update["a"]

    assert torch.vmap(step)(torch.tensor([2.0, 4.0])).tolist() == [[102, 102], [104, 104]]


def test_a_prefix_tree_of_the_wrong_shape_is_an_error() -> None:
    opt = tz.m.LR({"a": 0.1})
    with pytest.raises(ValueError, match="key mismatch"):
        opt.step(opt.init(params()), var())


def test_a_child_of_a_buffer_sees_the_buffer_and_does_not_touch_it() -> None:
    opt = Sum(total_tfm=tz.m.LR(0.5))
    state = opt.init(params())
    for k in range(1, 4):
        state, out = opt.step(state, var())
        assert state.own.total["a"].tolist() == [k, k]
        assert out.update["a"].tolist() == [100 + 0.5 * k] * 2


def test_the_state_of_a_buffers_child_follows_the_buffer() -> None:
    opt = Sum(total_tfm=Sum(weight=10.0))
    state = opt.init(params())
    for _ in range(2):
        state = opt.update(state, var())
    assert state.children["total_tfm"].total["a"].tolist() == [30, 30]  # 10·(1 + 2)


def test_inner_runs_between_update_and_apply() -> None:
    opt = Sum(inner=tz.m.LR(0.5))
    state, out = opt.step(opt.init(params()), var())
    assert state.own.total["a"].tolist() == [1, 1]  # absorbed what came in
    assert out.update["a"].tolist() == [51, 51]  # emitted what inner made of it


def test_a_rule_of_the_whole_tree() -> None:
    opt = Rule(scale={"a": 3.0, "b": 6.0})
    state, out = opt.step(opt.init(params()), var())
    assert state[0].dtype == torch.float32
    assert out.update["a"].tolist() == [1, 1]
    assert out.update["b"].item() == 2
    assert out.update["b"].dtype == torch.bfloat16


def test_holes_and_no_parameters_at_all() -> None:
    opt = Sum()
    holed = {"a": torch.ones(2), "b": ()}
    state, out = opt.step(opt.init(holed), tz.Var(holed, grad=holed, loss=torch.zeros(())))
    assert out.update["b"] == ()
    assert state.total["b"] == ()
    nothing = [(), ()]
    state, out = opt.step(opt.init(nothing), tz.Var(nothing, grad=nothing, loss=torch.zeros(())))
    assert tz.tree.leaves(out.update) == []
    assert tz.tree.flatten(state)[1] == tz.tree.flatten(opt.init(nothing))[1]


def test_missing_parameters_keep_their_own_count() -> None:
    opt = tz.m.Adam()
    state = opt.init([torch.ones(1), torch.ones(1)])
    spec = tz.tree.flatten([0, 0])[1]
    only = type(state)(*(slot if slot == () else tz.tree.select(slot, [True, False], spec) for slot in state))
    one = [torch.ones(1), tz.tree.HOLE]
    after, _ = opt.step(only, tz.Var(one, grad=one))
    assert after.t[0] == 1
    assert after.t[1] == ()


def test_bare_tensors_and_nested_containers_are_the_same() -> None:
    bare = Sum().step(Sum().init(torch.ones(2)), tz.Var(torch.ones(2), grad=torch.ones(2), loss=torch.zeros(())))[1]
    nest = {"x": ([torch.ones(2)],)}
    nested = Sum().step(Sum().init(nest), tz.Var(nest, grad=nest, loss=torch.zeros(())))[1]
    assert torch.equal(bare.update, nested.update["x"][0][0])


def test_reset_for_online_reaches_the_children() -> None:
    class Forgetful(tz.Transform):
        def init_tree(self, params: Any) -> Any:
            return torch.zeros(())

        def update_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
            return state + 1

        def reset_tree(self, state: Any) -> Any:
            return state * 0

    opt = Sum(inner=Forgetful())
    state = opt.update(opt.init(params()), var())
    again = opt.reset_for_online(state)
    assert again.children["inner"] == 0
    assert again.own.t["a"] == 1
