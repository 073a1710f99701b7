"""pure: a step mutates nothing and hides nothing."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from torchzero.core.module import Module
from torchzero.core.var import Var
from torchzero.testing.differences import DifferenceError, named_leaves, same_bits
from torchzero.testing.laws.law import Draw, Law
from torchzero.testing.running import visible
from torchzero.testing.strategies import Run, runs


class Snapshot:
    """Values and version counters of everything that a module is given."""

    def __init__(self, **inputs: Any) -> None:
        self.entries = [
            (f"{name} at {path}", x, x.clone(), x._version)
            for name, value in inputs.items()
            for path, x in named_leaves(value)
            if isinstance(x, Tensor)
        ]

    def check(self, who: str) -> None:
        """Fail if anything was written to."""
        for name, x, was, version in self.entries:
            if x._version != version:
                counter = f"version counter {version} -> {x._version}"
                raise DifferenceError(f"{who} wrote to its input {name}: {counter}; use out-of-place operations")
            same_bits(f"{who} changed its input {name}", x, was)


def _fields(module: Module) -> list[tuple[str, Any]]:
    return [
        (f"{type(m).__name__}.{f.name}", getattr(m, f.name))
        for m in module.walk()
        for f in dataclasses.fields(m)  # pyright: ignore[reportArgumentType]
    ]


def _calls(module: Module, run: Run, k: int, state: Any) -> tuple[Any, Var, Any, Var]:
    after, out = module.step(state, run.var(k))
    absorbed = module.update(state, run.var(k))
    return after, out, absorbed, module.apply(absorbed, run.var(k))


def check(module: Module, draw: Draw) -> None:
    """Watch every input of init, update, apply and step, then do it all again in another order."""
    run = draw(runs(module))
    fields = _fields(module)
    rng = torch.random.get_rng_state()
    everything = {"module": module, "params": run.params, "grad": run.grads, "loss": run.losses}

    watch = Snapshot(**everything)
    first = module.init(run.params[0])
    watch.check("init")
    same_bits("init called twice with the same parameters: state", module.init(run.params[0]), first)

    states, results = [first], []
    for k in range(run.steps):
        before = Snapshot(**everything, state=states[-1])
        after, out = module.step(states[-1], run.var(k))
        before.check(f"step {k}: step")
        absorbed = module.update(states[-1], run.var(k))
        before.check(f"step {k}: update")
        given = Snapshot(**everything, state=absorbed)
        emitted = module.apply(absorbed, run.var(k))
        given.check(f"step {k}: apply")
        before.check(f"step {k}: apply")
        results.append((after, visible(out), absorbed, visible(emitted)))
        states.append(after)

    for (name, now), (_, was) in zip(_fields(module), fields, strict=True):
        if now is not was:
            raise DifferenceError(f"the field {name} of the module was rebound during a step")
    if not torch.equal(torch.random.get_rng_state(), rng):
        raise DifferenceError("torch's global generator was used; draw with torchzero.random from a key in the state")

    for k in reversed(range(run.steps)):
        after, out, absorbed, emitted = _calls(module, run, k, states[k])
        was = results[k]
        again = f"step {k} repeated with the same inputs:"
        same_bits(f"{again} state after step", after, was[0])
        same_bits(f"{again} result of step", visible(out), was[1])
        same_bits(f"{again} state after update", absorbed, was[2])
        same_bits(f"{again} result of apply", visible(emitted), was[3])


LAW = Law("inputs are unchanged, by value and by tensor version counter, and the same inputs give the same bits", check)
