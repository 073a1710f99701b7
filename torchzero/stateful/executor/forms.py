"""Forms: what the tensors of a state look like in the beginning, and whether they still do."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import optree
import torch
from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import Leaves
from torchzero.stateful.executor.per_parameter import links_for
from torchzero.stateful.executor.program import Run, is_leaves, links, state_at


class Slot(NamedTuple):
    """What a tensor of one parameter's state looks like in the beginning."""

    lead: tuple[int, ...] | None  # the dimensions before the parameter's own; None for a 0-d tensor
    dtype: torch.dtype


def slots_of(modules: list[Module], dtype: torch.dtype) -> list[Slot]:
    """Each tensor of the state of a parameter of this dtype."""
    out = []
    probe = Leaves([torch.zeros(2, dtype=dtype)], ("probe",))
    states = tuple(link.init(probe) for link in modules)
    for node in optree.tree_leaves(states, is_leaf=is_leaves):  # pyright: ignore[reportArgumentType]
        if is_leaves(node):
            parts = optree.tree_leaves(node[0])
            out += [Slot(None if x.ndim == 0 else tuple(x.shape[:-1]), x.dtype) for x in parts]
    return out


def has_initial_form(chain: Module, program: Sequence[Run], state: Any, params: list[Tensor]) -> bool:
    """Whether every tensor of elementwise modules' states looks as in the beginning.

    It does not after a parameter has been given another shape, dtype or device.
    """
    modules = dict(links(chain))
    for run in program:
        paths = [p.path for p in run.places if not p.times]
        if run.kind != "elements" or not paths:
            continue
        like = links_for([modules[path] for path in paths], run.who[0])
        slots = {dtype: slots_of(like, dtype) for dtype in {params[i].dtype for i in run.who}}
        states = tuple(state_at(state, path) for path in paths)
        nodes = [x for x in optree.tree_leaves(states, is_leaf=is_leaves) if is_leaves(x)]  # pyright: ignore[reportArgumentType]
        for i in run.who:
            p, mine = params[i], [x for node in nodes for x in optree.tree_leaves(node[i])]
            forms = [(() if lead is None else (*lead, *p.shape), dtype, p.device) for lead, dtype in slots[p.dtype]]
            if forms != [(x.shape, x.dtype, x.device) for x in mine]:
                return False
    return True
