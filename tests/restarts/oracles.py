"""Restarts as loops in NumPy around simple memories: sums of what came in since the last restart, faded by a factor."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step

Run = list[Step]
Directions = list[list[Array]]


def _flat(tensors: list[Array]) -> Array:
    return np.concatenate([x.reshape(-1) for x in tensors])


def _like(x: Array, like: list[Array]) -> list[Array]:
    cuts = np.cumsum([y.size for y in like])[:-1]
    return [part.reshape(y.shape) for part, y in zip(np.split(x, cuts), like, strict=True)]


def _faded(gradients: list[Array], beta: float) -> Array:
    """What HeavyBall emits when shown these gradients and nothing before."""
    n = len(gradients)
    return sum((beta ** (n - 1 - i) * g for i, g in enumerate(gradients)), np.zeros_like(gradients[0]))


def _every(run: Run, steps: int | str, beta: float) -> Directions:
    n = sum(x.size for x in run[0].u) if steps == "ndim" else int(steps)
    g = [_flat(s.u) for s in run]
    starts = [max([0, *(j for j in range(k + 1) if (j + 1) % n == 0)]) for k in range(len(run))]
    return [_like(_faded(g[s : k + 1], beta), run[k].u) for k, s in enumerate(starts)]


def _stuck(run: Run, tol: float, n_tol: int, beta: float) -> Directions:
    g, p, out = [_flat(s.u) for s in run], [_flat(s.p) for s in run], []
    begin, still, fresh = 0, 0, True
    for k in range(len(run)):
        if not fresh:
            still = still + 1 if np.abs(p[k] - p[k - 1]).max() <= tol else 0
        fresh = False
        if still >= n_tol:
            begin, still, fresh = k, 0, True
        out.append(_like(_faded(g[begin : k + 1], beta), run[k].u))
    return out


def _criterion(run: Run, tol: float, n: int, beta: float) -> Directions:
    g, out, begin, hits = [_flat(s.u) for s in run], [], 0, 0
    for k, x in enumerate(g):
        hits = hits + 1 if np.sqrt((x**2).sum()) <= tol else 0
        if hits == n:
            begin, hits = k, 0
        out.append(_like(_faded(g[begin : k + 1], beta), run[k].u))
    return out


def _birgin_martinez(run: Run, cond: float, beta: float) -> Directions:
    g, out, begin = [_flat(s.u) for s in run], [], 0
    for k, x in enumerate(g):
        d = _faded(g[begin : k + 1], beta)
        if d @ x < cond * np.linalg.norm(d) * np.linalg.norm(x):
            d, begin = x, k + 1
        out.append(_like(d, run[k].u))
    return out


def _powell(run: Run, cond1: float | None, cond2: float | None, beta: float) -> Directions:
    g, out, begin = [_flat(s.u) for s in run], [], 0
    for k, x in enumerate(g):
        xx = x @ x
        if k and cond1 is not None and abs(g[k - 1] @ x) >= cond1 * xx:
            begin = k
        d = _faded(g[begin : k + 1], beta)
        if k and cond2 is not None and not (1 - cond2) * xx <= d @ x <= (1 + cond2) * xx:
            begin, d = k, x
        out.append(_like(d, run[k].u))
    return out


betas = st.floats(0.1, 0.95)
optional = st.none() | st.floats(0.0, 1.5)


def _ball(beta: float) -> Any:
    return tz.m.HeavyBall(beta)


ORACLES: dict[str, Oracle] = {
    "BirginMartinezRestart": Oracle(
        lambda cond, beta: tz.m.BirginMartinezRestart(_ball(beta), cond),
        _birgin_martinez,
        {"cond": st.floats(0.0, 0.95), "beta": betas},
    ),
    "PowellRestart": Oracle(
        lambda cond1, cond2, beta: tz.m.PowellRestart(_ball(beta), cond1, cond2),
        _powell,
        {"cond1": optional, "cond2": optional, "beta": betas},
    ),
    "RestartEvery": Oracle(
        lambda steps, beta: tz.m.RestartEvery(_ball(beta), steps),
        _every,
        {"steps": st.sampled_from([1, 2, 3, 4, "ndim"]), "beta": betas},
    ),
    "RestartOnStuck": Oracle(
        lambda tol, n_tol, beta: tz.m.RestartOnStuck(_ball(beta), tol, n_tol),
        _stuck,
        {"tol": st.floats(1.0, 4.0), "n_tol": st.integers(1, 3), "beta": betas},
    ),
    "RestartOnTerminationCriteria": Oracle(
        lambda tol, n, beta: tz.m.RestartOnTerminationCriteria(_ball(beta), tz.m.TerminateByGradientNorm(tol, n)),
        _criterion,
        {"tol": st.floats(0.0, 10.0) | st.floats(50.0, 300.0), "n": st.integers(1, 3), "beta": betas},
    ),
}
