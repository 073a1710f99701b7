"""Leafwise: links that see a tree, and what can be measured without making a product."""

from collections.abc import Mapping
from typing import Any

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.core.tree import HOLE, Leaves
from torchzero.core.var import Var
from torchzero.stateful import store
from torchzero.stateful.executor.group import Now
from torchzero.stateful.executor.program import Path, Run


class Leafwise:
    """A run on the tree of its parameters.

    Args:
        run: what happens.
        names: the names of all parameters.
    """

    def __init__(self, run: Run, names: tuple[str, ...]) -> None:
        self.run = run
        self.names = names
        who = set(run.who)
        self.active = [i in who for i in range(len(names))]

    def step(self, modules: Mapping[Path, Module], states: Mapping[Path, Any], now: Now) -> dict[Path, Any]:
        """Replace the direction, or note the multiplier; returns the new states by path."""
        links = [modules[place.path] for place in self.run.places]
        # detached is what may be kept; the others only look at shapes
        looks = any("params" in below.needs for link in links for below in link.walk())
        params, grads = [p.detach() for p in now.params] if looks else now.params, self._tree(now.grads)
        var = Var(self._tree(params), loss=now.context.loss, step=now.context.step, storage=now.context.storage)
        var = var.replace(grad=grads, update=grads if self.run.raw else self._tree(now.us))
        changing, after = None, {}
        for place, link in zip(self.run.places, links, strict=True):
            old = states[place.path]
            state = store.narrow(old, self.active)
            if self.run.kind == "multiplier":
                state = link.update(state, var)
                factor = link.multiplier(state, var.update, var)  # pyright: ignore[reportAttributeAccessIssue]
                each = iter(tree.spread(factor, var.params))
                now.multipliers[place.path] = [next(each) if on else None for on in self.active]
            else:
                state, var = link.step(state, var)
                for i, u in zip(self.run.who, tree.leaves(var.update), strict=True):
                    now.us[i] = u
            if state == ():
                after[place.path] = state
                continue
            if changing is None:
                changing = {store.storage(x) for x in (*now.params, *now.grads) if x is not None}
            state = store.unalias(state, changing)
            after[place.path] = store.merge(old, state, self.active, state)
        return after

    def _tree(self, values: Any) -> Leaves:
        return Leaves([x if on else HOLE for x, on in zip(values, self.active, strict=True)], self.names)
