"""resume: a checkpoint loses nothing."""

import io
import pickle
from typing import Any

import torch
from hypothesis import strategies as st

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.testing.differences import same_bits
from torchzero.testing.laws.law import Draw, Law
from torchzero.testing.laws.shell import advance, build, lists, live, modular
from torchzero.testing.neighbours import same_module
from torchzero.testing.running import visible
from torchzero.testing.strategies import runs


def _through_file(value: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def _functional(module: Module, draw: Draw) -> None:
    run = draw(runs(module, steps=4))
    stop = draw(st.integers(1, run.steps - 1))
    state = module.init(run.params[0])
    for k in range(stop):
        state, _ = module.step(state, run.var(k))
    other = same_module(module)
    leaves, _ = tree.flatten(state)
    spec = tree.flatten(other.init(run.params[0]))[1]
    resumed = {
        "the state's leaves, saved and put into the structure that init makes": tree.unflatten(
            spec, _through_file(leaves)
        ),
        "the state, pickled": pickle.loads(pickle.dumps(state)),
    }
    for how, loaded in resumed.items():
        mine, theirs = loaded, state
        for k in range(stop, run.steps):
            mine, out = other.step(mine, run.var(k))
            theirs, expected = module.step(theirs, run.var(k))
            what = f"step {k}, with a fresh module and {how} after {stop} steps: result"
            same_bits(what, visible(out), visible(expected))


def _by_modular(module: Module, draw: Draw) -> None:
    run = draw(lists(module))
    stop = draw(st.integers(0, run.steps - 1))
    params = live(run)
    optimizer = build(params, module)
    for k in range(stop):
        advance(optimizer, params, run, k)
    saved = _through_file(optimizer.state_dict())
    copies = [p.detach().clone().requires_grad_() for p in params]
    resumed = build(copies, module)
    resumed.load_state_dict(saved)
    for k in range(stop, run.steps):
        advance(optimizer, params, run, k)
        advance(resumed, copies, run, k)
        what = f"step {k} of Modular, loaded after {stop} steps: parameters, against going on without a break"
        same_bits(what, [p.detach() for p in copies], [p.detach() for p in params])


def check(module: Module, draw: Draw) -> None:
    """Stop anywhere, save, load into a fresh equal module, and go on."""
    _functional(module, draw)
    if modular() is not None:
        _by_modular(module, draw)


LAW = Law(
    "save, load with weights_only into a fresh equal module, continue: the same as continuing, bit for bit", check, 4
)
