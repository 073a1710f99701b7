"""stable: a state keeps its form for life."""

from typing import Any

from torch import Tensor

from torchzero.core.module import Module
from torchzero.testing.differences import DifferenceError, named_leaves, same_signature
from torchzero.testing.laws.law import Draw, Law
from torchzero.testing.strategies import runs


def _tensors_only(state: Any) -> None:
    for path, x in named_leaves(state):
        if not isinstance(x, Tensor):
            raise DifferenceError(f"the state at {path} is {x!r}; keep tensors there, or () where a buffer is absent")


def check(module: Module, draw: Draw) -> None:
    """Compare form, shapes, dtypes and devices of state and direction after every call."""
    run = draw(runs(module, steps=4))
    first = state = module.init(run.params[0])
    _tensors_only(first)
    same_signature("the state that init makes of other parameters of the same form", module.init(run.params[1]), first)
    for k in range(run.steps):
        absorbed = module.update(state, run.var(k))
        same_signature(f"step {k}: the state after update", absorbed, first)
        same_signature(f"step {k}: the direction", module.apply(absorbed, run.var(k)).update, run.params[k])
        state, var = module.step(state, run.var(k))
        same_signature(f"step {k}: the state after step", state, first)
        same_signature(f"step {k}: the direction", var.update, run.params[k])
        same_signature(f"step {k}: eval_params", module.eval_params(state, run.params[k]), run.params[k])
    same_signature("the state after reset_for_online", module.reset_for_online(state), first)


LAW = Law(
    "structure, shape, dtype and device of the state never change; the direction has those of the parameters", check
)
