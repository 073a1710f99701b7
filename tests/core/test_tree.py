"""Tree algebra."""

import copy
import pickle
from typing import Any

import optree
import pytest
import torch
import torch.utils._pytree as torch_pytree

from torchzero.core import tree
from torchzero.core.tree import HOLE, Leaves


def example() -> dict[str, Any]:
    return {"a": torch.tensor([1.0, -2.0]), "b": [torch.tensor(3.0), (torch.tensor([[4.0]]),)], "hole": HOLE}


def test_arithmetic() -> None:
    t = example()
    assert torch.equal(tree.ravel(tree.add(t, t))[0], tree.ravel(tree.scale(2.0, t))[0])
    assert tree.total(tree.sub(t, t)) == 0
    assert tree.dot(t, t) == 30 == tree.total(tree.mul(t, t))
    assert tree.count(t) == 4
    assert tree.norm(t) == 30**0.5
    assert tree.norm(t, 1) == 10
    assert tree.norm(t, float("inf")) == 4
    assert torch.equal(tree.full_like(t, {"a": 1.0, "b": 2.0, "hole": 3.0})["b"][0], torch.tensor(2.0))
    assert tree.ones_like(t)["hole"] == ()
    assert tree.total(tree.zeros_like(t)) == 0


def test_the_empty_tree() -> None:
    assert tree.total(()) == tree.norm([]) == tree.dot({}, {}) == 0
    assert tree.all_finite(())
    assert tree.counter(()).dtype == torch.int64
    vector, unravel = tree.ravel(((), []))
    assert vector.shape == (0,)
    assert unravel(vector) == ((), [])


def test_norms_have_a_finite_derivative_at_zero() -> None:
    for ord in (1, 2, 3, float("inf")):
        grad = torch.func.grad(lambda t, ord=ord: tree.norm(t, ord))([torch.zeros(2), torch.zeros(())])
        assert tree.all_finite(grad)


def test_scale_keeps_dtypes_and_takes_prefixes() -> None:
    t = {"x": torch.ones(2, dtype=torch.bfloat16), "y": [torch.ones(1), torch.ones(1)]}
    out = tree.scale({"x": torch.tensor(2.0, dtype=torch.float64), "y": 3}, t)
    assert out["x"].dtype == torch.bfloat16
    assert [x.item() for x in out["y"]] == [3, 3]
    out = tree.scale({"x": 1, "y": [2, 3]}, t)
    assert [x.item() for x in out["y"]] == [2, 3]


def test_a_prefix_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="key mismatch"):
        tree.scale({"x": 1}, {"x": torch.ones(1), "y": torch.ones(1)})


def test_zipmap_and_spread() -> None:
    t = example()
    assert tree.spread(2, t) == [2, 2, 2]
    assert tree.spread({"a": 1, "b": 2, "hole": 3}, t) == [1, 2, 2]
    out = tree.zipmap(lambda x, p, q: x * p + q, t, {"a": 0, "b": 1, "hole": 5}, 7)
    assert out["a"].tolist() == [7, 7]
    assert out["b"][0] == 10


def test_where() -> None:
    a, b = [torch.tensor(1.0)], [torch.tensor(2.0)]
    assert tree.where(True, a, b) is a
    assert tree.where(False, a, b) is b
    assert tree.where(torch.tensor(False), a, b)[0] == 2
    assert tree.where(torch.tensor(False), a, a)[0] is a[0]
    both = torch.vmap(lambda m: tree.where(m, a, b))(torch.tensor([True, False]))
    assert both[0].tolist() == [1, 2]


def test_ravel_and_back() -> None:
    t = {"a": torch.ones(2, dtype=torch.float32), "b": torch.full((1, 2), 2.0, dtype=torch.float64), "c": HOLE}
    vector, unravel = tree.ravel(t)
    assert vector.dtype == torch.float64
    back = unravel(vector * 2)
    assert back["a"].dtype == torch.float32
    assert back["b"].shape == (1, 2)
    assert back["c"] == ()
    assert back["b"].tolist() == [[4, 4]]
    assert torch.func.grad(lambda v: tree.total(unravel(v)))(vector).tolist() == [1, 1, 1, 1]


def test_all_finite() -> None:
    assert tree.all_finite(example())
    assert not tree.all_finite([torch.ones(1), torch.tensor([1.0, float("nan")])])
    assert torch.vmap(lambda x: tree.all_finite([x]))(torch.tensor([1.0, float("inf")])).tolist() == [True, False]


def test_select_and_merge_are_inverse() -> None:
    params = {"a": torch.ones(1), "b": [torch.zeros(2), torch.zeros(3)]}
    spec = tree.flatten(params)[1]
    mask = [True, False, True]
    other = [not m for m in mask]
    state = tree.map(lambda p: (p, p + 1), params)  # a subtree for each leaf
    one, two = tree.select(state, mask, spec), tree.select(state, other, spec)
    assert one["b"][0] == ()
    assert len(tree.leaves(one)) == 4
    merged = tree.merge(spec, [mask, other], [one, two])
    assert tree.flatten(merged)[1] == tree.flatten(state)[1]
    assert all(x is y for x, y in zip(tree.leaves(merged), tree.leaves(state), strict=True))
    assert tree.merge(spec, [mask], [one])["b"][0] == ()


def test_paths() -> None:
    assert tree.paths(example()) == ["a", "b.0", "b.1.0"]
    assert tree.paths(Leaves([torch.ones(1), torch.ones(1)], ("weight", "bias"))) == ["weight", "bias"]


def test_named_leaves_are_a_node_for_both_libraries() -> None:
    t = Leaves([torch.ones(2), (torch.zeros(2), torch.zeros(2))], ("weight", "bias"))
    for mapped in (optree.tree_map(torch.neg, t), torch_pytree.tree_map(torch.neg, t)):
        assert isinstance(mapped, Leaves)
        assert mapped.names == t.names
        assert mapped[0].tolist() == [-1, -1]
    for copied in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert isinstance(copied, Leaves)
        assert copied.names == t.names
    assert "'weight': tensor([1., 1.])" in repr(t)
    out = torch.vmap(lambda t: tree.scale(2.0, t))(t)
    assert out[0].tolist() == [2, 2]


def test_own_is_the_same_object_unless_compiling() -> None:
    t = example()
    assert tree.own(t) is t


def test_module_wide_state_takes_dtype_and_device_of_the_first_leaf() -> None:
    t = [HOLE, torch.ones(2, dtype=torch.float64)]
    assert tree.scalar(t, 2.0).dtype == torch.float64
    assert tree.counter(t) == 0
    assert tree.reference(t) is t[1]
    assert tree.cast(torch.ones(1), t[1]).dtype == torch.float64
    assert tree.cast_like([HOLE, torch.ones(2)], t)[1].dtype == torch.float64
