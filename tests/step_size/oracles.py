"""Independent statements of the step size modules' rules, in NumPy."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step

Run = list[Step]
Directions = list[list[Array]]

scales = st.floats(0, 2)
lengths = st.integers(0, 6)


def _scaled(run: Run, factor_of: Any) -> Directions:
    return [[factor_of(k) * x for x in s.u] for k, s in enumerate(run)]


def _flat(tensors: list[Array]) -> Array:
    return np.concatenate([np.asarray(x, dtype=float).ravel() for x in tensors])


def _constant(run: Run, **hyper: float) -> Directions:
    (value,) = hyper.values()
    return _scaled(run, lambda k: value)


def _line(k: float, n: float, a: float, b: float) -> float:
    return float(np.interp(k, [0, n], [a, b])) if n > 0 else b


def _warmup(run: Run, steps: int, start_lr: float, end_lr: float) -> Directions:
    return _scaled(run, lambda k: _line(k, steps, start_lr, end_lr))


def _lr_warmup(run: Run, n_steps: int, start_lr: float, end_lr: float, delay_steps: int) -> Directions:
    def factor(k: int) -> float:
        return start_lr if k < delay_steps else _line(k - delay_steps, n_steps, start_lr, end_lr)

    return _scaled(run, factor)


def _norm_clip(run: Run, steps: int, start_norm: float, end_norm: float) -> Directions:
    out = []
    for k, s in enumerate(run):
        length = math.sqrt(sum(float(v) ** 2 for v in _flat(s.u)))
        bound = _line(k, steps, start_norm, end_norm) if k <= steps else math.inf
        out.append([x * bound / length if length > bound else x for x in s.u])
    return out


def small_step(u: Array, size: float) -> float:
    """The step taken when no step size is known."""
    largest = max(abs(v) for v in u)
    if largest < size:
        return 1.0
    return size / largest if largest < 1 else size


def _polyak(
    run: Run, f_star: float | None, y: float, y_decay: float, max: float | None, use_grad: bool, alpha: float
) -> Directions:
    out, best = [], math.inf
    for s in run:
        u = _flat(s.u)
        best = min(best, s.f)
        target = best - y if f_star is None else f_star
        y = y * (1 - y_decay)
        square = float(u @ u)
        a = (s.f - target) / square if square > 0 else math.nan
        if not (math.isfinite(a) and a > 0):
            a = small_step(u, 1e-7)
        a = a if max is None else min(a, max)
        out.append([alpha * a * x for x in s.u])
    return out


def _barzilai_borwein(run: Run, type: str, alpha_0: float, use_grad: bool) -> Directions:
    out = []
    for k, s in enumerate(run):
        a = None
        if k > 0:
            move, change = _flat(s.p) - _flat(run[k - 1].p), _flat(s.u) - _flat(run[k - 1].u)
            sy = float(move @ change)
            if sy > 0:
                long, short = float(move @ move) / sy, sy / float(change @ change)
                a = {"long": long, "short": short}.get(type, math.sqrt(long * short))
        if a is None:
            a = small_step(_flat(s.u), alpha_0)
        out.append([a * x for x in s.u])
    return out


ORACLES: dict[str, Oracle] = {
    "LR": Oracle(tz.m.LR, _constant, {"lr": scales}),
    "StepSize": Oracle(tz.m.StepSize, _constant, {"step_size": st.floats(-2, 2)}),
    "Alpha": Oracle(tz.m.Alpha, _constant, {"alpha": st.floats(-2, 2)}),
    "Warmup": Oracle(tz.m.Warmup, _warmup, {"steps": lengths, "start_lr": scales, "end_lr": scales}),
    "LRWarmup": Oracle(
        tz.m.LRWarmup, _lr_warmup, {"n_steps": lengths, "start_lr": scales, "end_lr": scales, "delay_steps": lengths}
    ),
    "WarmupNormClip": Oracle(
        tz.m.WarmupNormClip,
        _norm_clip,
        {"steps": lengths, "start_norm": st.floats(1e-3, 3), "end_norm": st.floats(1e-3, 3)},
    ),
    "PolyakStepSize": Oracle(
        tz.m.PolyakStepSize,
        _polyak,
        {
            "f_star": st.none() | st.floats(-1, 1),
            "y": st.floats(0.01, 3),
            "y_decay": st.floats(0, 1),
            "max": st.none() | st.floats(1e-3, 1),
            "use_grad": st.booleans(),
            "alpha": st.floats(0.1, 2),
        },
    ),
    "BarzilaiBorwein": Oracle(
        tz.m.BarzilaiBorwein,
        _barzilai_borwein,
        {
            "type": st.sampled_from(["long", "short", "geom", "geom-fallback"]),
            "alpha_0": st.floats(1e-7, 0.1),
            "use_grad": st.booleans(),
        },
    ),
}
