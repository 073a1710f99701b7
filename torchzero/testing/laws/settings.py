"""settings: a prefix tree of hyperparameters means one value for each subtree."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.testing.differences import close
from torchzero.testing.hyperparameters import Site, nearby, replace, sites
from torchzero.testing.laws.law import Draw, Law
from torchzero.testing.running import is_random, locality, unroll
from torchzero.testing.strategies import Key, Run, runs

# A value for each leaf, and one value for a subtree.
SKELETON = {"a": [Key(0), Key(1)], "b": Key(2)}


def _own(module: Module) -> list[Site]:
    return [s for s in sites(module) if s.own and s.path[-1] != "seed"]


def _updates(module: Module, run: Run) -> list[list[Tensor]]:
    return [tree.leaves(u) for u in unroll(module, run).updates]


def _constant(module: Module, site: Site, run: Run, wanted: list[list[Tensor]]) -> None:
    value = int(site.value) if site.limits.integer else site.value
    for prefix in ({"a": [value, value], "b": value}, {"a": value, "b": value}):
        try:
            got = _updates(replace(module, site.path, prefix), run)
        except ValueError as error:
            if locality(module) == "global" and f"{site.path[-1]}=" in str(error):
                return  # refused by name: a setting of the whole tree has one value
            raise
        close(f"{site.label}={prefix!r} against {site.label}={value!r}: direction", got, wanted, 1e-10)


def _different(module: Module, site: Site, run: Run, values: list[float]) -> None:
    x, y, z = values
    for prefix, each in (({"a": [x, y], "b": z}, (x, y, z)), ({"a": x, "b": y}, (x, x, y))):
        got = _updates(replace(module, site.path, prefix), run)
        for i, value in enumerate(each):
            one = replace(module, site.path, value)
            alone = _updates(one, run.moved(lambda t, i=i: [tree.leaves(t)[i]]))
            what = f"{site.label}={prefix!r}, leaf {i}, against that leaf alone with {site.label}={value!r}: direction"
            close(what, [u[i] for u in got], [u[0] for u in alone], 1e-10)


def check(module: Module, draw: Draw) -> None:
    """Give each hyperparameter as a tree: equal values, and different ones where leaves are independent."""
    found = _own(module)
    if not found:
        return
    skeleton = st.just(SKELETON)
    shape = st.sampled_from([(2, 3), (3,), (), (2, 2)])
    form: dict[str, Any] = {"shape": shape, "structure": skeleton, "dtype": st.just(torch.float64)}
    run = draw(runs(module, **form, kinds=("ordinary",), layouts=("contiguous",)))
    wanted = _updates(module, run)
    alone = locality(module) != "global" and not is_random(module) and run.objective is None
    for site in found:
        _constant(module, site, run, wanted)
        values = nearby(site.value, site.limits)
        if alone and len(values) > 1:
            _different(module, site, run, draw(st.permutations((values * 3)[:3])))


def _inapplicable(module: Module) -> str:
    return "" if _own(module) else "it has no numeric hyperparameters"


LAW = Law(
    "a prefix tree of hyperparameters is leaf by leaf: each leaf has its own value; a global module may refuse",
    check,
    3,
    _inapplicable,
)
