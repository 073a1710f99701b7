"""Chain: flattening, and what stop means."""

from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.core.hyper import Hyper, number


class Add(tz.Module):
    """Add a number, counting."""

    by: Hyper = number(1.0)

    def init(self, params: Any) -> Any:
        return torch.zeros(())

    def update(self, state: Any, var: tz.Var) -> Any:
        return state + 1

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(update=tz.tree.map(lambda u: u + self.by, var.update))


class StopAbove(tz.Module):
    """Stop when the direction's sum is larger."""

    limit: Hyper = number(0.0)

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(stop=tz.tree.total(var.update) > self.limit)


class Stop(tz.Module):
    """Stop."""

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(stop=True)


X = torch.zeros(1)


def step(chain: tz.Module, u: Any = X) -> tuple[Any, tz.Var]:
    return chain.step(chain.init(u), tz.Var(u, grad=u))


def test_flattens() -> None:
    a, b, c = Add(1.0), Add(2.0), Add(3.0)
    chain = tz.Chain(a, [b, (tz.Chain(c, [a]),)], iter([b]))
    assert chain.links == (a, b, c, a, b)
    assert chain.keys() == ["0.Add", "1.Add", "2.Add", "3.Add", "4.Add"]
    assert tz.maybe_chain([a]) is a
    assert tz.maybe_chain(a, [b]).links == (a, b)
    assert tz.maybe_chain().links == ()
    assert repr(tz.Chain(a, b)) == "C(Add(), Add(by=2.0))"


def test_the_same_module_twice_has_two_states() -> None:
    a = Add()
    state, out = step(tz.Chain(a, tz.m.LR(2.0), a))
    assert list(state) == ["0.Add", "1.LR", "2.Add"]
    assert out.update == 3


def test_is_associative_and_the_empty_chain_is_neutral() -> None:
    a, b, c = Add(1.0), tz.m.LR(3.0), Add(-2.0)
    expected = step(tz.Chain(a, b, c))[1].update
    assert step(tz.Chain(tz.Chain(a, b), c))[1].update == expected
    assert step(tz.Chain(a, tz.Chain(b, c)))[1].update == expected
    assert step(tz.Chain(tz.Chain(), a, [], b, c))[1].update == expected
    var = tz.Var(X, grad=X)
    assert tz.Chain().step({}, var)[1].update is X


@pytest.mark.parametrize("bad", [3, None, "abc", torch.ones(1), {"a": Add()}])
def test_what_is_no_module_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match="Chain: expected a module or a sequence of modules, got"):
        tz.Chain(Add(), bad)


def test_a_class_in_place_of_a_module_is_a_hint() -> None:
    with pytest.raises(TypeError, match=r"did you mean LR\(\)\?"):
        tz.Chain(tz.m.LR)


def test_stop_skips_the_rest_of_its_level_only() -> None:
    state, out = step(tz.Chain(Add(), Stop(), Add(10.0)))
    assert out.update == 1
    assert out.stop is False
    assert [state[k].item() for k in ("0.Add", "2.Add")] == [1, 0]

    class Inside(tz.Module):
        """Run a chain of its own."""

        links: Any = tz.core.hyper.child()

        def init(self, params: Any) -> Any:
            return self.links.init(params)

        def update(self, state: Any, var: tz.Var) -> Any:
            return self.links.update(state, var)

        def apply(self, state: Any, var: tz.Var) -> tz.Var:
            return self.links.apply(state, var)

    assert step(tz.Chain(Inside([Add(), Stop(), Add(10.0)]), Add(100.0)))[1].update == 101


def test_stop_at_the_end_does_not_leak() -> None:
    assert step(tz.Chain(Add(), Stop()))[1].stop is False


def test_stop_decided_by_data() -> None:
    chain = tz.Chain(Add(), StopAbove(2.0), Add(10.0))
    for u, expected, counted in ((0.0, 11.0, 1), (5.0, 6.0, 0)):
        state, out = step(chain, torch.tensor([u]))
        assert out.update == expected
        assert state["2.Add"] == counted
        assert out.stop is False


def test_stop_decided_by_data_under_vmap_is_lane_by_lane() -> None:
    chain = tz.Chain(Add(), StopAbove(2.0), Add(10.0), StopAbove(20.0), Add(100.0))

    def run(u: Tensor) -> tuple[Any, Tensor]:
        state, out = step(chain, u)
        return state, out.update

    us = torch.tensor([[0.0], [5.0], [1.5], [15.0]])
    states, updates = torch.vmap(run)(us)
    for i, u in enumerate(us):
        state, update = run(u)
        assert torch.equal(updates[i], update)
        for key in ("0.Add", "2.Add", "4.Add"):
            assert states[key][i] == state[key]


def test_stop_decided_by_data_compiled_and_differentiated() -> None:
    chain = tz.Chain(Add(), StopAbove(2.0), tz.m.LR(3.0))

    def run(u: Tensor) -> Tensor:
        return step(chain, u)[1].update.sum()

    torch._dynamo.reset()
    compiled = torch.compile(run, fullgraph=True, backend="eager")
    for u in (0.0, 5.0):
        assert compiled(torch.tensor([u])) == run(torch.tensor([u]))
    slopes = torch.vmap(torch.func.grad(run))(torch.tensor([[0.0], [5.0]]))
    assert slopes.tolist() == [[3], [1]]


def test_update_and_apply_stop_where_step_stops() -> None:
    chain = tz.Chain(Add(), StopAbove(2.0), Add(10.0))
    for u in (torch.tensor([0.0]), torch.tensor([5.0])):
        var = tz.Var(u, grad=u)
        state, out = chain.step(chain.init(u), var)
        updated = chain.update(chain.init(u), var)
        assert updated == state
        assert torch.equal(chain.apply(updated, var).update, out.update)


def test_other_flags_and_attributes_travel_with_stop() -> None:
    class Say(tz.Module):
        """Publish and flag."""

        def apply(self, state: Any, var: tz.Var) -> tz.Var:
            return var.replace(attrs={**var.attrs, "said": tz.tree.total(var.update)}, skip_update=True)

    chain = tz.Chain(StopAbove(2.0), Say())

    def run(u: Tensor) -> tuple[Tensor, Any]:
        out = step(chain, u)[1]
        return torch.as_tensor(out.skip_update), out.attrs["said"]

    assert step(chain, torch.tensor([5.0]))[1].skip_update is False
    flags, said = torch.vmap(run)(torch.tensor([[0.5], [5.0]]))
    assert flags.tolist() == [True, False]
    assert said[0] == 0.5


def test_child_state_and_the_average_to_evaluate_at() -> None:
    chain = tz.Chain(Add(), tz.m.Adam())
    state = chain.init(X)
    assert chain.child_state(state, "links[0]") is state["0.Add"]
    assert list(chain.children()) == ["links[0]", "links[1]"]
    assert chain.eval_params(state, X) is X
    assert chain.reset_for_online(state).keys() == state.keys()
