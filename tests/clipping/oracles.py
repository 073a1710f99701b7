"""Independent statements of the clipping modules' rules: optax, and loops in NumPy."""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step, decays

Run = list[Step]
Directions = list[list[Array]]

bounds = st.floats(1e-3, 5.0)
orders = st.sampled_from([0, 1, 2, 3.5, math.inf, "mad", "std", "var", "sum", "l0", "l1", "l2", "l3", "l4", "linf"])
smooth_orders = st.sampled_from([1, 2, 3.5, math.inf, "mad", "l2", "l4"])
dims = st.sampled_from([None, "global", 0, 1, -1, (0, 2), (1,)])
sizes = st.sampled_from([0, 1, 2, 3, 4, 6, 18, 19])


def measure(values: list[float], ord: Any) -> float:
    """A norm or metric of plain numbers."""
    n = len(values)
    if ord == "mad":
        return sum(abs(x) for x in values) / n
    if ord == "sum":
        return sum(values)
    if ord in ("std", "var"):
        mean = sum(values) / n
        var = sum((x - mean) ** 2 for x in values) / max(n - 1, 1)
        return math.sqrt(var) if ord == "std" else var
    p = float(ord[1:]) if isinstance(ord, str) else ord
    if p == 0:
        return float(sum(1 for x in values if x != 0))
    if p == math.inf:
        return max(abs(x) for x in values)
    return sum(abs(x) ** p for x in values) ** (1 / p)


def slices(x: Array, dim: Any, inverse: bool) -> Iterator[tuple[Any, ...]]:
    """Index expressions of the groups of one tensor; none where it has none of the dimensions."""
    wanted = (
        range(x.ndim) if dim is None else [d for d in ([dim] if isinstance(dim, int) else dim) if -x.ndim <= d < x.ndim]
    )
    along = {d % x.ndim for d in wanted}
    if inverse:
        along = set(range(x.ndim)) - along
    if along:
        yield from itertools.product(*[[slice(None)] if d in along else range(x.shape[d]) for d in range(x.ndim)])


def grouped(u: list[Array], dim: Any, inverse: bool, min_size: int, rule: Callable[[Array], Array]) -> list[Array]:
    """`rule` on every group of at least `min_size` elements; 0-d tensors count as vectors."""
    if dim == "global":
        flat = np.concatenate([x.ravel() for x in u])
        flat = rule(flat) if flat.size >= min_size else flat
        ends = np.cumsum([x.size for x in u])[:-1]
        return [part.reshape(x.shape) for part, x in zip(np.split(flat, ends), u, strict=True)]
    out = []
    for x in u:
        y = np.array(np.atleast_1d(x))
        for index in slices(y, dim, inverse and dim is not None):
            group = np.array(y[index])
            if group.size >= min_size:
                y[index] = rule(group)
        out.append(y.reshape(x.shape))
    return out


def _clip_norm(run: Run, max_norm: float, ord: Any, dim: Any, inverse_dims: bool, min_size: int) -> Directions:
    def rule(x: Array) -> Array:
        size = measure(list(x.ravel()), ord)
        return x * (max_norm / size) if size > max_norm else x

    return [grouped(s.u, dim, inverse_dims, min_size, rule) for s in run]


def _normalize(run: Run, norm_value: float, ord: Any, dim: Any, inverse_dims: bool, min_size: int) -> Directions:
    def rule(x: Array) -> Array:
        size = measure(list(x.ravel()), ord)
        return x if size == 0 else x * (norm_value / (size if abs(size) > 1e-12 else 1.0))

    return [grouped(s.u, dim, inverse_dims, min_size, rule) for s in run]


def _centralize(run: Run, dim: Any, inverse_dims: bool, min_size: int) -> Directions:
    return [grouped(s.u, dim, inverse_dims, min_size, lambda x: x - sum(x.ravel()) / x.size) for s in run]


def _clip_value(run: Run, value: float) -> Directions:
    return [[np.clip(x, -value, value) for x in s.u] for s in run]


def _by_ema(clips: bool) -> Callable[..., Directions]:
    def reference(
        run: Run, beta: float, ord: Any, tensorwise: bool, max_ema_growth: float | None, init: float, min_norm: float
    ) -> Directions:
        groups = [[i] for i in range(len(run[0].u))] if tensorwise else [list(range(len(run[0].u)))]
        out = [list(s.u) for s in run]
        for group in groups:
            e = [np.full_like(run[0].u[i], init) for i in group]
            before = None
            for t, s in enumerate(run):
                u = [s.u[i] for i in group]
                e = [beta * a + (1 - beta) * b for a, b in zip(e, u, strict=True)]
                size = measure([v for x in e for v in x.ravel()], ord)
                if before is not None and max_ema_growth is not None:
                    cap = max(max_ema_growth * before, min_norm)
                    if size > cap:
                        e = [x * cap / size for x in e]
                        size = cap
                before = size
                length = measure([v for x in u for v in x.ravel()], ord)
                factor = size / length if length > 0 else 0.0
                for i, x in zip(group, u, strict=True):
                    out[t][i] = x * min(1.0, factor) if clips and length > 0 else x * factor
        return out

    return reference


def _value_by_ema(run: Run, beta: float, init: float) -> Directions:
    out = []
    e = [np.abs(x) * init for x in run[0].u]
    for s in run:
        e = [beta * a + (1 - beta) * np.abs(x) for a, x in zip(e, s.u, strict=True)]
        out.append([np.sign(x) * np.minimum(np.abs(x), a) for a, x in zip(e, s.u, strict=True)])
    return out


def _norm_growth(
    run: Run,
    add: float | None,
    mul: float | None,
    min_value: float,
    max_decay: float | None,
    ord: Any,
    tensorwise: bool,
) -> Directions:
    groups = [[i] for i in range(len(run[0].u))] if tensorwise else [list(range(len(run[0].u)))]
    out = [list(s.u) for s in run]
    for group in groups:
        record = None
        for t, s in enumerate(run):
            size = measure([v for i in group for v in s.u[i].ravel()], ord)
            allowed = math.inf
            if record is not None:
                allowed = min(
                    [math.inf] + ([record + add] if add is not None else []) + ([record * mul] if mul else [])
                )
            made = min(size, allowed)
            for i in group:
                out[t][i] = s.u[i] * (made / size) if size > 0 else s.u[i]
            if record is not None and max_decay is not None:
                made = max(made, record / max_decay)
            record = max(made, min_value)
    return out


def _value_growth(
    run: Run, add: float | None, mul: float | None, min_value: float, max_decay: float | None
) -> Directions:
    columns = []
    for i, x0 in enumerate(run[0].u):
        outs = [np.array(s.u[i]).reshape(-1) for s in run]
        for j in range(x0.size):
            record = abs(outs[0][j])
            for t in range(1, len(run)):
                size = abs(outs[t][j])
                made = size
                if add is not None:
                    made = min(made, record + add)
                if mul is not None:
                    made = min(made, max(record, min_value) * mul)
                outs[t][j] = math.copysign(made, outs[t][j])
                falls = max_decay is not None and size / max(record, min_value) < 1 / max_decay
                record = record / max_decay if falls and max_decay is not None else made
        columns.append([x.reshape(x0.shape) for x in outs])
    return [list(row) for row in zip(*columns, strict=True)]


def _adaptive(run: Run, clipping: float, eps: float) -> Directions:
    """optax, told that the units lie along the first dimension."""
    out = []
    with jax.enable_x64(True):
        for s in run:
            row = []
            for u, p in zip(s.u, s.p, strict=True):
                axis = tuple(range(1, u.ndim)) if u.ndim > 1 else None
                rule = optax.adaptive_grad_clip(clipping, eps, axis)
                row.append(np.array(rule.update(jax.numpy.asarray(u), rule.init(None), jax.numpy.asarray(p))[0]))
            out.append(row)
    return out


def _within_bounds(steps: list[Step], lb: float | None, ub: float | None) -> list[list[Array]]:
    def cut(u: Array, p: Array) -> Array:
        low, high = -math.inf if lb is None else lb, math.inf if ub is None else ub
        ends = [min(max(a - b, low), high) for a, b in zip(p.ravel(), u.ravel(), strict=True)]
        return np.array(ends).reshape(p.shape)

    return [[p - cut(u, p) for u, p in zip(s.u, s.p, strict=True)] for s in steps]


_GROUPS = {"dim": dims, "inverse_dims": st.booleans(), "min_size": sizes}
_BY_EMA = {
    "beta": decays,
    "ord": smooth_orders,
    "tensorwise": st.booleans(),
    "max_ema_growth": st.none() | st.floats(1.0, 3.0),
    "init": st.sampled_from([0.0, 0.1, -1.0]),
    "min_norm": st.floats(1e-6, 0.5),
}
_GROWTH = {
    "add": st.none() | st.floats(0, 1),
    "mul": st.none() | st.floats(0.8, 2.0),
    "min_value": st.floats(1e-5, 0.5),
    "max_decay": st.none() | st.floats(1.3, 4.0),
}

ORACLES: dict[str, Oracle] = {
    "ClipNorm": Oracle(tz.m.ClipNorm, _clip_norm, {"max_norm": bounds, "ord": orders, **_GROUPS}),
    "Normalize": Oracle(tz.m.Normalize, _normalize, {"norm_value": bounds, "ord": orders, **_GROUPS}, rtol=1e-7),
    "Centralize": Oracle(tz.m.Centralize, _centralize, _GROUPS),
    "ClipValue": Oracle(tz.m.ClipValue, _clip_value, {"value": bounds}),
    "ClipNormByEMA": Oracle(tz.m.ClipNormByEMA, _by_ema(clips=True), _BY_EMA),
    "NormalizeByEMA": Oracle(tz.m.NormalizeByEMA, _by_ema(clips=False), _BY_EMA),
    "ClipValueByEMA": Oracle(tz.m.ClipValueByEMA, _value_by_ema, {"beta": decays, "init": st.floats(0, 2)}),
    "ClipNormGrowth": Oracle(
        tz.m.ClipNormGrowth, _norm_growth, {**_GROWTH, "ord": smooth_orders, "tensorwise": st.booleans()}
    ),
    "ClipValueGrowth": Oracle(tz.m.ClipValueGrowth, _value_growth, _GROWTH),
    "AdaptiveClipNorm": Oracle(
        tz.m.AdaptiveClipNorm, _adaptive, {"clipping": st.floats(1e-3, 1), "eps": st.floats(1e-4, 1)}
    ),
    "WithinBounds": Oracle(
        tz.m.WithinBounds, _within_bounds, {"lb": st.none() | st.floats(-2, 0), "ub": st.none() | st.floats(0, 2)}
    ),
}
