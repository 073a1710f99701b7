"""Unrolling a module over a run."""

from typing import Any, NamedTuple

from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.testing.strategies import Run


class Outcome(NamedTuple):
    """What a module did in a run."""

    updates: tuple[Tree, ...]  # the direction of every step
    state: Any  # after the last step


def visible(var: Var) -> dict[str, Any]:
    """What a Var shows of a step's result."""
    flags = {"stop": var.stop, "skip_update": var.skip_update, "should_terminate": var.should_terminate}
    return {"update": var.update, "params": var.params, "attrs": dict(var.attrs), "flags": flags}


def unroll(module: Module, run: Run) -> Outcome:
    """Run a module from its initial state."""
    state, updates = module.init(run.params[0]), []
    for k in range(run.steps):
        state, var = module.step(state, run.var(k))
        updates.append(var.update)
    return Outcome(tuple(updates), state)


def is_random(module: Module) -> bool:
    """Whether a module draws random numbers: the draws depend on the position of a leaf."""
    return any("seed" in m.hypers() for m in module.walk())


def locality(module: Module) -> str:
    """How far the module with its children sees."""
    return module.chain_locality()
