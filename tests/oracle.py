"""Oracle: an independent statement of a module's rule, and the runs that both are given.

A family's `oracles.py` has a table `ORACLES: dict[str, Oracle]`, keyed by the module's name in `tz.m`. `reference` gets
the steps of a run and the drawn hyperparameters, and returns the direction of every step, in NumPy or by another
library.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st

import torchzero as tz

Array = np.ndarray[Any, Any]


class Step(NamedTuple):
    """What one step shows to a rule: a list of arrays, one for each tensor."""

    u: list[Array]  # the direction that comes in; also the gradient
    p: list[Array]  # the parameters
    f: float  # the loss


class Oracle(NamedTuple):
    """An independent statement of one module."""

    make: Callable[..., tz.Module]  # hyperparameters -> module
    reference: Callable[..., list[list[Array]]]  # (steps, **hyperparameters) -> directions
    hypers: Mapping[str, st.SearchStrategy[Any]] = {}
    rtol: float = 1e-9


SHAPES = ((3,), (), (2, 3), (2, 1, 4))


@st.composite
def runs(draw: Any, steps: int = 5) -> list[Step]:
    """A short run with random gradients, some entries exactly zero, and random parameters and losses."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1e-3, 1.0, 30.0]))
    zeros = draw(st.booleans())

    def gradients() -> list[Array]:
        out = [np.asarray(rng.normal(size=s) * scale) for s in SHAPES]
        return [np.where(rng.random(s) < 0.2, 0.0, g) for s, g in zip(SHAPES, out, strict=True)] if zeros else out

    return [
        Step(gradients(), [np.asarray(rng.normal(size=s)) for s in SHAPES], float(rng.random() + 0.1))
        for _ in range(steps)
    ]


def directions(module: tz.Module, run: list[Step]) -> list[list[Array]]:
    """What our module emits on this run."""
    params = [torch.from_numpy(x.copy()) for x in run[0].p]
    state, out = module.init(params), []
    for step in run:
        params = [torch.from_numpy(x.copy()) for x in step.p]
        grad = [torch.from_numpy(x.copy()) for x in step.u]
        state, var = module.step(state, tz.Var(params, grad=grad, loss=torch.tensor(step.f, dtype=torch.float64)))
        out.append([u.numpy() for u in var.update])
    return out


def compare(oracle: Oracle, run: list[Step], hypers: Mapping[str, Any]) -> None:
    """Fail unless module and reference agree at every step."""
    mine = directions(oracle.make(**hypers), run)
    theirs = oracle.reference(run, **hypers)
    assert len(theirs) == len(mine)
    for k, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            np.testing.assert_allclose(x, y, rtol=oracle.rtol, atol=oracle.rtol * 1e-2, err_msg=f"step {k}, tensor {i}")


decays = st.floats(0.0, 0.99)
epsilons = st.floats(1e-10, 1e-2)
factors = st.floats(0.1, 3.0)
