"""tree: how the parameters are packed does not matter, as far as the module's locality says."""

from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.testing.differences import close, same_bits
from torchzero.testing.laws.law import Draw, Law
from torchzero.testing.running import is_random, locality, unroll
from torchzero.testing.strategies import Run, runs, structures


def _lists(updates: Sequence[Tree]) -> list[list[Tensor]]:
    return [tree.leaves(u) for u in updates]


def _nested_is_flat(module: Module, run: Run, updates: list[list[Tensor]]) -> None:
    spec = tree.flatten(run.params[0])[1]
    flat = run.moved(tree.leaves, lambda leaves: tree.unflatten(spec, leaves))
    same_bits(
        "leaves as a flat list, against the nested tree: direction", _lists(unroll(module, flat).updates), updates
    )


def _permuted(module: Module, run: Run, updates: list[list[Tensor]], order: Sequence[int]) -> None:
    def there(params: Tree) -> Tree:
        leaves = tree.leaves(params)
        return [leaves[i] for i in order]

    def back(leaves: Tree) -> Tree:
        out: list[Any] = [None] * len(order)
        for x, i in zip(leaves, order, strict=True):
            out[i] = x
        return out

    permuted = unroll(module, run.moved(there, back)).updates
    compare = same_bits if locality(module) != "global" and not run.objective else close
    compare(f"leaves in the order {list(order)}: direction", [back(u) for u in permuted], updates)


def _leaf_by_leaf(module: Module, run: Run, updates: list[list[Tensor]]) -> None:
    for i in range(len(updates[0])):
        alone = unroll(module, run.moved(lambda t, i=i: [tree.leaves(t)[i]])).updates
        what = f"leaf {i} without the other leaves (the module claims to be {locality(module)}): direction"
        same_bits(what, [u[0] for u in alone], [u[i] for u in updates])


def _split(module: Module, run: Run, updates: list[list[Tensor]], cut: int) -> None:
    def there(params: Tree) -> Tree:
        flat = torch.cat([x.reshape(-1) for x in tree.leaves(params)])
        return {"head": flat[:cut], "tail": flat[cut:]}

    split = unroll(module, run.moved(there)).updates
    merged = [torch.cat([u["head"], u["tail"]]) for u in split]
    whole = [torch.cat([x.reshape(-1) for x in u]) for u in updates]
    what = "all elements in one vector cut in two (the module claims to be elementwise): direction"
    close(what, merged, whole, 1e-10)


def _reach(module: Module, run: Run, updates: list[list[Tensor]], leaf: int, element: int) -> None:
    """Disturb one element of parameters and gradients: no other element of an elementwise module may notice."""

    def disturb(params: Tree) -> Tree:
        leaves, spec = tree.flatten(params)
        x = leaves[leaf].reshape(-1)
        bump = torch.zeros_like(x)
        bump[element] = 0.625
        leaves[leaf] = (x + bump).reshape(leaves[leaf].shape)
        return tree.unflatten(spec, leaves)

    def blank(out: list[Tensor]) -> list[Tensor]:
        keep = torch.ones(out[leaf].numel(), dtype=torch.bool)
        keep[element] = False
        hidden = torch.where(keep, out[leaf].reshape(-1), 0.0).reshape(out[leaf].shape)
        return [hidden if i == leaf else u for i, u in enumerate(out)]

    disturbed = _lists(unroll(module, run.moved(disturb)).updates)
    what = f"element {element} of leaf {leaf} disturbed (the module claims to be elementwise): direction of the others"
    same_bits(what, [blank(u) for u in disturbed], [blank(u) for u in updates])


def check(module: Module, draw: Draw) -> None:
    """Repack the leaves of a run in every way that the module's locality allows."""
    kinds, float64 = ("ordinary", "zeros"), st.just(torch.float64)
    run = draw(runs(module, structure=structures(2, 4), dtype=float64, kinds=kinds, layouts=("contiguous",)))
    updates = _lists(unroll(module, run).updates)
    n = len(updates[0])
    _nested_is_flat(module, run, updates)
    if not is_random(module):
        orders = [[*range(n)][::-1], [*range(1, n), 0], [n - 1, *range(n - 1)]]
        _permuted(module, run, updates, draw(st.sampled_from(orders)))
    if run.objective is not None or locality(module) == "global":
        return
    _leaf_by_leaf(module, run, updates)
    if locality(module) == "elementwise":
        sizes = [u.numel() for u in updates[0]]
        _split(module, run, updates, draw(st.integers(0, sum(sizes))))
        leaf = draw(st.integers(0, n - 1))
        if sizes[leaf]:
            _reach(module, run, updates, leaf, draw(st.integers(0, sizes[leaf] - 1)))


LAW = Law(
    "nested is flat; permuting leaves permutes results; elementwise: split is merged; "
    "an output element sees no further than the declared locality",
    check,
)
