"""compile: one graph, the same numbers, and no second graph when hyperparameters move."""

from typing import Any

import torch
import torch._dynamo
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.testing.differences import DifferenceError, close
from torchzero.testing.hyperparameters import as_tensor, nearby, replace_all, sites
from torchzero.testing.laws.law import Draw, Law, on_device
from torchzero.testing.strategies import Run, small_runs

STEPS = 10


def _schedules(module: Module) -> list[list[Tensor]]:
    """Hyperparameters that move at every step, and come back."""
    found = sites(module)
    rows = []
    for k in range(STEPS):
        values = [nearby(s.value, s.limits) for s in found]
        rows.append([as_tensor(v[k % len(v)], s.limits) for v, s in zip(values, found, strict=True)])
    return rows


def _compare(what: str, step: Any, module: Module, run: Run, rows: list[list[Tensor]]) -> None:
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(step, fullgraph=True, backend=counter)
    mine = theirs = module.step(module.init(run.params[0]), run.var(0))[0]
    settled = 0
    for k in range(STEPS):
        i = (k + 1) % run.steps
        shown = (run.params[i], run.grads[i] if run.grads else (), run.losses[i] if run.losses else ())
        inputs = (*tree.map(torch.clone, shown), rows[k])
        mine, out = compiled(mine, *inputs)
        theirs, expected = step(theirs, *inputs)
        close(f"step {k}, {what}: direction compiled, against eager", out, expected, 1e-9)
        close(f"step {k}, {what}: state compiled, against eager", mine, theirs, 1e-9)
        # One tensor may stand in several places of a state that eager code made, which is a graph of its own.
        if k < 2:
            settled = counter.frame_count
    if counter.frame_count > settled:
        found = f"{counter.frame_count - settled} graphs were compiled in the last {STEPS - 2} of {STEPS} steps"
        raise DifferenceError(f"{what}: {found}, expected none")


def check(module: Module, draw: Draw) -> None:
    """Compile a step with fixed numbers, and one whose hyperparameters are tensors that move."""
    run = draw(small_runs(module, steps=3))
    found = sites(module)
    objective = run.objective

    def step(state: Any, params: Tree, grad: Tree, loss: Any, values: list[Tensor]) -> tuple[Any, Tree]:
        chosen = replace_all(module, found, values) if values else module
        if objective is None:
            var = Var(params, grad=grad, loss=loss if isinstance(loss, Tensor) else None)
        else:
            var = Var(params, objective=objective)
        state, var = chosen.step(state, var)
        return state, var.update

    try:
        _compare("numbers as hyperparameters", step, module, run, [[] for _ in range(STEPS)])
        if found:
            _compare("tensors as hyperparameters", step, module, run, _schedules(module))
    finally:
        torch._dynamo.reset()


LAW = Law(
    "a step compiles into one graph (fullgraph), which computes what eager does and serves all later steps",
    check,
    1,
    on_device,
    shrink=False,
)
