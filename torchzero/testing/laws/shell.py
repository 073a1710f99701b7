"""shell: Modular is the functional run, bit for bit, and the executor to the last places."""

import warnings
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.testing.differences import close, same_bits
from torchzero.testing.laws.law import Draw, Law
from torchzero.testing.neighbours import same_module
from torchzero.testing.strategies import Run, needs, runs

CLOSURE = frozenset({"value", "objective", "true_gradient", "hvp", "residuals"})


def modular() -> Any:
    """The shell's class, imported late: it is not part of the core."""
    import torchzero

    return getattr(torchzero, "Modular", None)


def build(params: list[Tensor], module: Module) -> Any:
    """A Modular of an equal module; what it warns about is not the law's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return modular()(params, same_module(module))


def with_shell(module: Module) -> str:
    """The law applies where there is a shell."""
    return "" if modular() is not None else "there is no Modular"


def wants_closure(module: Module) -> bool:
    """Whether a loss must be evaluated."""
    return bool(needs(module) & CLOSURE)


def live(run: Run) -> list[Tensor]:
    """Fresh leaf parameters at the run's start."""
    return [p.detach().clone().requires_grad_() for p in run.params[0]]


def advance(optimizer: Any, params: list[Tensor], run: Run, k: int) -> None:
    """One step of `Modular`: by hand-set gradients, or by a closure where there is an objective."""
    f = run.objective
    if f is None:
        for p, g in zip(params, run.grads[k], strict=True):
            p.grad = g.clone()
        optimizer.step()
        return

    def closure(backward: bool = True) -> Tensor:
        with torch.enable_grad():
            loss = f(params)
        if backward:
            optimizer.zero_grad()
            loss.backward()
        return loss

    optimizer.step(closure)


def lists(module: Module, steps: int = 4) -> st.SearchStrategy[Run]:
    """Runs on a list of one to three leaves, with an objective if a loss is needed."""
    from torchzero.testing.strategies import Key

    skeleton = st.integers(1, 3).map(lambda n: [Key(i) for i in range(n)])
    shown = Evaluating() if wants_closure(module) else module
    return runs(shown, steps=steps, structure=skeleton, layouts=("contiguous", "contiguous", "transposed"))


class Evaluating(Module):
    """Stands for a module that evaluates."""

    needs = frozenset({"objective"})


def functional(module: Module, run: Run) -> list[Tree]:
    """Parameters after each step of the functional run."""
    params, state, out = [p.clone() for p in run.params[0]], module.init(run.params[0]), []
    for k in range(run.steps):
        grad = list(run.grads[k]) if run.grads else None
        params, state = module(params, state, run.objective, grad=grad)
        out.append(params)
    return out


def check(module: Module, draw: Draw) -> None:
    """Step Modular and the pure function side by side: leaf by leaf, then in the layout that the executor chooses."""
    run = draw(lists(module))
    wanted = functional(module, run)
    for executor in (False, True):
        params = live(run)
        optimizer = build(params, module)
        optimizer.executor.enabled = executor
        for k in range(run.steps):
            advance(optimizer, params, run, k)
            found = [p.detach() for p in params]
            what = f"step {k}: parameters by Modular, {'in' if executor else 'without'} the executor's layout"
            if executor:  # vectorised kernels and those for the elements left over may round differently
                eps = max(torch.finfo(p.dtype).eps for p in params)
                close(f"{what}, against the functional run", found, wanted[k], 64 * eps, eps)
            else:
                same_bits(f"{what}, against the functional run", found, wanted[k])
        if not optimizer.executor.used:
            return


LAW = Law(
    "tz.Modular does what the functional run does: bit for bit leaf by leaf, to the last places in the executor's layout",
    check,
    5,
    with_shell,
)
