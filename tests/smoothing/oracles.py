"""An independent statement of Laplacian smoothing: the linear system, solved densely."""

import numpy as np
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step


def _solve(x: Array, sigma: float) -> Array:
    n = x.size
    system = np.eye(n)
    for i in range(n):
        for j in (i - 1, i + 1):
            system[i, i] += sigma
            system[i, j % n] -= sigma
    return np.linalg.solve(system, x.ravel()).reshape(x.shape)


def _smoothing(run: list[Step], sigma: float, layerwise: bool, min_numel: int) -> list[list[Array]]:
    out = []
    for s in run:
        if layerwise:
            out.append([_solve(x, sigma) if x.size > min_numel else x for x in s.u])
        else:
            ring = _solve(np.concatenate([x.ravel() for x in s.u]), sigma)
            ends = np.cumsum([x.size for x in s.u])[:-1]
            out.append([part.reshape(x.shape) for part, x in zip(np.split(ring, ends), s.u, strict=True)])
    return out


ORACLES: dict[str, Oracle] = {
    "LaplacianSmoothing": Oracle(
        tz.m.LaplacianSmoothing,
        _smoothing,
        {"sigma": st.floats(0, 10), "layerwise": st.booleans(), "min_numel": st.integers(0, 9)},
    ),
}
