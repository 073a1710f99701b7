"""The published rules in NumPy."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step, decays, factors


def msam_momentum(
    steps: list[Step], lr: float, momentum: float, rho: float, weight_decay: float, nesterov: bool, lerp: bool
) -> list[list[Array]]:
    """The weights w are stepped; the parameters are w - rho n/|n|; what is returned is the parameters' change."""
    sizes = [x.size for x in steps[0].u]
    v = np.zeros(sum(sizes))
    e = np.zeros_like(v)
    out = []
    for step in steps:
        u, p = (np.concatenate([x.ravel() for x in t]) for t in (step.u, step.p))
        w = p + e
        share = (1 - momentum) * u if lerp else u
        v = momentum * v + share
        n = momentum * v + share if nesterov else v
        length = np.linalg.norm(n)
        e = rho * n / length if length else 0 * n
        w = w - lr * n - weight_decay * w
        d = p - (w - e)
        parts = np.split(d, np.cumsum(sizes)[:-1])
        out.append([x.reshape(y.shape) for x, y in zip(parts, step.u, strict=True)])
    return out


HYPERS: dict[str, st.SearchStrategy[Any]] = {
    "lr": st.floats(1e-3, 1.0),
    "momentum": decays,
    "rho": st.one_of(st.just(0.0), factors),
    "weight_decay": st.floats(0.0, 0.3),
    "nesterov": st.booleans(),
    "lerp": st.booleans(),
}

ORACLES: dict[str, Oracle] = {"MSAMMomentum": Oracle(tz.m.MSAMMomentum, msam_momentum, HYPERS)}
