"""The adaptive family in NumPy: each rule as its paper has it, on one tensor or on all."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step, epsilons, factors

Rule = Callable[..., list[Array]]


def by_tensor(rule: Rule) -> Callable[..., list[list[Array]]]:
    """A rule for the updates of one tensor as a rule for all."""

    @functools.wraps(rule)
    def reference(steps: list[Step], **hypers: Any) -> list[list[Array]]:
        runs = [rule([s.u[i] for s in steps], **hypers) for i in range(len(steps[0].u))]
        return [list(step) for step in zip(*runs, strict=True)]

    return reference


def _flat(parts: list[Array]) -> Array:
    return np.concatenate([np.ravel(x) for x in parts])


def _parts(vector: Array, like: list[Array]) -> list[Array]:
    out, at = [], 0
    for x in like:
        out.append(vector[at : at + x.size].reshape(x.shape))
        at += x.size
    return out


# ---------------------------------------------------------------------- elementwise


@by_tensor
def _adam(us, beta1, beta2, eps, amsgrad, alpha, debias):
    m = v = top = np.zeros_like(us[0])
    out = []
    for t, u in enumerate(us, 1):
        m, v = beta1 * m + (1 - beta1) * u, beta2 * v + (1 - beta2) * u * u
        top = np.maximum(top, v)
        second, first = (top if amsgrad else v), m
        if debias:
            first, second = first / (1 - beta1**t), second / (1 - beta2**t)
        out.append(alpha * first / (np.sqrt(second) + eps))
    return out


@by_tensor
def _adagrad(us, lr_decay, initial_accumulator_value, eps, alpha):
    s, out = np.full_like(us[0], initial_accumulator_value), []
    for k, u in enumerate(us):
        s = s + u**2
        out.append(alpha / (1 + lr_decay * k) * u / (np.sqrt(s) + eps))
    return out


@by_tensor
def _rmsprop(us, smoothing, eps, mode):
    centered, debias, amsgrad, init = mode
    v = us[0] ** 2 if init == "update" else np.zeros_like(us[0])
    m, top, out = np.zeros_like(us[0]), np.zeros_like(us[0]), []
    for t, u in enumerate(us, 1):
        v, m = smoothing * v + (1 - smoothing) * u**2, smoothing * m + (1 - smoothing) * u
        top = np.maximum(top, v)
        weight = 1 - smoothing**t if debias else 1.0
        variance = (top if amsgrad else v) / weight - ((m / weight) ** 2 if centered else 0.0)
        out.append(u / (np.sqrt(variance) + eps))
    return out


@by_tensor
def _lion(us, beta1, beta2):
    m, out = np.zeros_like(us[0]), []
    for u in us:
        out.append(np.sign(beta1 * m + (1 - beta1) * u))
        m = beta2 * m + (1 - beta2) * u
    return out


@by_tensor
def _rprop(us, nplus, nminus, lb, ub, backtrack, alpha):
    """Element by element, as in the paper's listing."""
    out = [np.zeros_like(u) for u in us]
    for at in np.ndindex(us[0].shape):
        size, last, blocked = min(max(alpha, lb), ub), 0.0, True
        for step, u in zip(out, us, strict=True):
            agreement = 0.0 if blocked else np.sign(u[at]) * np.sign(last)
            blocked = False
            if agreement < 0:
                size = min(max(size * nminus, lb), ub)
                last, blocked = (-last if backtrack else 0.0), True
            else:
                size = min(max(size * nplus, lb), ub) if agreement > 0 else size
                last = np.sign(u[at]) * size
            step[at] = last
    return out


@by_tensor
def _adan(us, beta1, beta2, beta3, eps):
    m = v = n = np.zeros_like(us[0])
    before, out = us[0], []
    for t, u in enumerate(us, 1):
        change, before = u - before, u
        m, v = beta1 * m + (1 - beta1) * u, beta2 * v + (1 - beta2) * change
        n = beta3 * n + (1 - beta3) * (u + beta2 * change) ** 2
        first = m / (1 - beta1**t) + beta2 * v / (1 - beta2**t)
        out.append(first / (np.sqrt(n / (1 - beta3**t)) + eps))
    return out


# ---------------------------------------------------------------------- norms


def _adagrad_norm(steps, lr_decay, initial_accumulator_value, eps, beta, beta_debias, layerwise, use_sqrt, alpha):
    s, out = [initial_accumulator_value] * len(steps[0].u), []
    for k, step in enumerate(steps):
        squares = [float(np.sum(u**2)) for u in step.u]
        if not layerwise:
            squares = [sum(squares)] * len(squares)
        s = [a + x if beta is None else beta * a + (1 - beta) * x for a, x in zip(s, squares, strict=True)]
        weight = 1 - beta ** (k + 1) if beta is not None and beta_debias else 1.0
        size = [math.sqrt(x / weight) if use_sqrt else x / weight for x in s]
        out.append([alpha / (1 + lr_decay * k) * u / (x + eps) for u, x in zip(step.u, size, strict=True)])
    return out


def _ortho_grad(steps, eps, renormalize):
    out = []
    for step in steps:
        u, p = _flat(step.u), _flat(step.p)
        w = u - (p @ u) / (p @ p + eps) * p
        size = np.linalg.norm(w)
        out.append(_parts(w * (np.linalg.norm(u) / size if renormalize and size > 0 else 1.0), step.u))
    return out


def _mars_correction(steps, beta, scaling, max_norm):
    before, out = _flat(steps[0].u), []
    for step in steps:
        u = _flat(step.u)
        c = u + scaling * beta / (1 - beta) * (u - before)
        size, before = np.linalg.norm(c), u
        out.append(_parts(c * min(1.0, max_norm / size) if size > 0 else c, step.u))
    return out


# ---------------------------------------------------------------------- matrices


def _side(u: Array, channel_first: bool) -> tuple[int, int] | None:
    """The axes of the matrices in `u`, or None if there are none."""
    axes = (0, 1) if channel_first else (u.ndim - 2, u.ndim - 1)
    return axes if u.ndim > 1 and all(u.shape[i] > 1 for i in axes) else None


def _each_matrix(u: Array, channel_first: bool, f: Callable[[Array], Array]) -> Array:
    axes = _side(u, channel_first)
    if axes is None:
        return u
    last = np.moveaxis(u, axes, (-2, -1))
    made = np.empty_like(last)
    for at in np.ndindex(last.shape[:-2]):
        made[at] = f(last[at])
    return np.moveaxis(made, (-2, -1), axes)


TUNED = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)


def polar(A: Array, method: str) -> Array:
    """What the methods do to the singular values, done to the singular values."""
    U, S, Vh = np.linalg.svd(A, full_matrices=False)
    if method in ("newtonschulz", "ns5"):
        S = S / max(np.linalg.norm(S), 1e-7)
        for a, b, c in TUNED if method == "newtonschulz" else ((3.4445, -4.7750, 2.0315),) * 5:
            S = a * S + b * S**3 + c * S**5
    else:
        S = np.where(S / max(S[0], 1e-300) > 1e-10, 1.0, 0.0)
    return U @ np.diag(S) @ Vh


@by_tensor
def _orthogonalize(us, adjust_lr, dual_norm_correction, method, channel_first):
    def one(A: Array) -> Array:
        X = polar(A, method)
        X = np.sum(A * X) * X if dual_norm_correction else X
        return 0.2 * math.sqrt(max(A.shape)) * X if adjust_lr else X

    return [_each_matrix(u, channel_first, one) for u in us]


@by_tensor
def _dual_norm_correction(us, channel_first):
    return [_each_matrix(u, channel_first, lambda A: np.sum(A * A) * A) for u in us]


@by_tensor
def _muon_adjust_lr(us, channel_first, alpha, mode):
    def one(A: Array) -> Array:
        m, n = A.shape
        return alpha * A * (math.sqrt(max(1.0, m / n)) if mode == "original" else 0.2 * math.sqrt(max(m, n)))

    return [_each_matrix(u, channel_first, one) for u in us]


def _power(S: Array, p: float) -> Array:
    size, Q = np.linalg.eigh(S)
    return Q @ np.diag(np.abs(size) ** p) @ Q.T


def _full_matrix(us: list[Array], reg, precond_freq, beta, beta_debias, init, matrix_power) -> list[Array]:
    first = np.outer(us[0], us[0])
    S = {"identity": np.eye(len(us[0])), "zeros": np.zeros_like(first), "GGT": first}[init]
    out = []
    for k, u in enumerate(us):
        S = S + np.outer(u, u) if beta is None else beta * S + (1 - beta) * np.outer(u, u)
        if k % precond_freq == 0 or len(u) == 1:
            B = _power(S + reg * np.eye(len(u)), matrix_power)
        out.append(B @ u * (math.sqrt(1 - beta ** (k + 1)) if beta is not None and beta_debias else 1.0))
    return out


def _full_matrix_adagrad(steps, concat_params, **hypers):
    if concat_params:
        return [_parts(d, s.u) for d, s in zip(_full_matrix([_flat(s.u) for s in steps], **hypers), steps, strict=True)]
    runs = [_full_matrix([np.ravel(s.u[i]) for s in steps], **hypers) for i in range(len(steps[0].u))]
    return [
        [d.reshape(u.shape) for d, u in zip(ds, s.u, strict=True)]
        for ds, s in zip(zip(*runs, strict=True), steps, strict=True)
    ]


def merged(shape: tuple[int, ...], max_dim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The order of the dimensions, small ones first, and the shape with as many as possible of these made one."""
    order = tuple(np.argsort(shape, kind="stable"))
    head, rest = 1, [shape[i] for i in order]
    while rest and head * rest[0] <= max_dim:
        head *= rest.pop(0)
    return (order, (head, *rest)) if len(rest) < len(shape) else (order, tuple(rest))


def unfold(x: Array, i: int) -> Array:
    """A row for each index of dimension i."""
    return np.moveaxis(x, i, 0).reshape(x.shape[i], -1)


@by_tensor
def _shampoo(
    us, reg, precond_freq, matrix_power, merge_small, max_dim, precondition_1d, adagrad_eps, beta, beta_debias
):
    shape = us[0].shape
    order, seen = tuple(range(len(shape))), shape
    if merge_small and len(shape) > 1:
        order, seen = merged(shape, max_dim)
    dims = [i for i, n in enumerate(seen) if 1 < n <= max_dim and (precondition_1d or len(shape) > 1)]
    p = -1 / max(2 * len(seen), 2) if matrix_power is None else matrix_power
    S, s, B, out = {i: np.eye(seen[i]) for i in dims}, np.zeros(shape), {}, []
    for k, u in enumerate(us):
        debias = math.sqrt(1 - beta ** (k + 1)) if beta is not None and beta_debias else 1.0
        x = np.transpose(u, order).reshape(seen)
        s = s + u**2 if beta is None else beta * s + (1 - beta) * u**2
        for i in dims:
            G = unfold(x, i) @ unfold(x, i).T
            S[i] = S[i] + G if beta is None else beta * S[i] + (1 - beta) * G
            if k % precond_freq == 0:
                B[i] = _power(S[i] + reg * np.eye(seen[i]), p)
        if not dims:
            out.append(debias * u / (np.sqrt(s) + adagrad_eps))
            continue
        for i in dims:
            x = np.moveaxis(np.tensordot(B[i], x, axes=(1, i)), 0, i)
        back = np.argsort(order) if order else ()
        out.append(debias * np.transpose(x.reshape([shape[i] for i in order]), back))
    return out


# ---------------------------------------------------------------------- schedule-free


def schedule_free(direction: Callable[[int, int, Array, Array], Array]) -> Callable[..., list[list[Array]]]:
    """The three sequences of the paper around a direction (tensor, step, gradient, y)."""

    def reference(steps, lr, beta, weight_lr_power, r, warmup_steps):
        z, x = [p.copy() for p in steps[0].p], [p.copy() for p in steps[0].p]
        top = total = 0.0
        out = []
        for t, step in enumerate(steps, 1):
            rate = lr * min(1.0, t / warmup_steps) if warmup_steps else lr
            top = max(top, rate)
            weight = t**r * top**weight_lr_power
            total += weight
            c = weight / total if total > 0 else 0.0
            z = [a - rate * direction(i, t, u, p) for i, (a, u, p) in enumerate(zip(z, step.u, step.p, strict=True))]
            x = [(1 - c) * a + c * b for a, b in zip(x, z, strict=True)]
            out.append([p - ((1 - beta) * a + beta * b) for p, a, b in zip(step.p, z, x, strict=True)])
        return out

    return reference


def _schedule_free_sgd(steps, momentum, weight_decay, **hypers):
    return schedule_free(lambda i, t, u, y: u + weight_decay * y)(steps, beta=momentum, **hypers)


def _schedule_free_adam_w(steps, beta1, beta2, eps, weight_decay, **hypers):
    v = [np.zeros_like(u) for u in steps[0].u]

    def direction(i: int, t: int, u: Array, y: Array) -> Array:
        v[i] = beta2 * v[i] + (1 - beta2) * u**2
        return u / (np.sqrt(v[i] / (1 - beta2**t)) + eps) + weight_decay * y

    return schedule_free(direction)(steps, beta=beta1, **hypers)


def _schedule_free(steps, **hypers):
    return schedule_free(lambda i, t, u, y: u)(steps, **hypers)


# ---------------------------------------------------------------------- the table

_bools = st.booleans()
# A decay of 1e-10 multiplies what rounding leaves of 1 - (1 - 1e-10).
decays = st.just(0.0) | st.floats(0.01, 0.99)
_optional_decays = st.none() | decays
_dampings = st.floats(1e-2, 1.0)
_averaging: Any = {
    "lr": st.floats(0.0, 2.0),
    "weight_lr_power": st.floats(0.0, 3.0),
    "r": st.floats(-1.0, 2.0),
    "warmup_steps": st.integers(0, 4),
}

ORACLES: dict[str, Oracle] = {
    "Adam": Oracle(
        tz.m.Adam,
        _adam,
        {"beta1": decays, "beta2": decays, "eps": epsilons, "amsgrad": _bools, "alpha": factors, "debias": _bools},
    ),
    "Adagrad": Oracle(
        tz.m.Adagrad,
        _adagrad,
        {"lr_decay": decays, "initial_accumulator_value": st.floats(0, 2), "eps": epsilons, "alpha": factors},
    ),
    "AdagradNorm": Oracle(
        tz.m.AdagradNorm,
        _adagrad_norm,
        {
            "lr_decay": decays,
            "initial_accumulator_value": st.floats(0, 2),
            "eps": epsilons,
            "beta": _optional_decays,
            "beta_debias": _bools,
            "layerwise": _bools,
            "use_sqrt": _bools,
            "alpha": factors,
        },
    ),
    "Adan": Oracle(tz.m.Adan, _adan, {"beta1": decays, "beta2": decays, "beta3": decays, "eps": epsilons}),
    "DualNormCorrection": Oracle(tz.m.DualNormCorrection, _dual_norm_correction, {"channel_first": _bools}),
    "FullMatrixAdagrad": Oracle(
        tz.m.FullMatrixAdagrad,
        _full_matrix_adagrad,
        {
            "reg": _dampings,
            "precond_freq": st.integers(1, 3),
            "beta": _optional_decays,
            "beta_debias": _bools,
            "init": st.sampled_from(["identity", "zeros", "GGT"]),
            "matrix_power": st.floats(-1.0, 0.5),
            "concat_params": _bools,
        },
        rtol=1e-7,
    ),
    "Lion": Oracle(tz.m.Lion, _lion, {"beta1": decays, "beta2": decays}),
    "MARSCorrection": Oracle(
        tz.m.MARSCorrection, _mars_correction, {"beta": decays, "scaling": st.floats(-0.5, 0.5), "max_norm": factors}
    ),
    "MuonAdjustLR": Oracle(
        tz.m.MuonAdjustLR,
        _muon_adjust_lr,
        {"channel_first": _bools, "alpha": factors, "mode": st.sampled_from(["original", "match_rms_adamw"])},
    ),
    "OrthoGrad": Oracle(tz.m.OrthoGrad, _ortho_grad, {"eps": epsilons, "renormalize": _bools}),
    "Orthogonalize": Oracle(
        tz.m.Orthogonalize,
        _orthogonalize,
        {
            "adjust_lr": _bools,
            "dual_norm_correction": _bools,
            "method": st.sampled_from(["newtonschulz", "ns5", "svd", "eigh"]),
            "channel_first": _bools,
        },
        rtol=1e-6,
    ),
    "RMSprop": Oracle(
        lambda smoothing, eps, mode: tz.m.RMSprop(smoothing, eps, *mode),
        _rmsprop,
        {
            "smoothing": st.floats(0.2, 0.99),
            "eps": epsilons,
            # centered and debiased, the first variance is 0, and what rounding leaves of it is not worth comparing
            "mode": st.tuples(_bools, _bools, _bools, st.sampled_from(["zeros", "update"])).filter(
                lambda mode: not (mode[0] and mode[1])
            ),
        },
        rtol=1e-8,
    ),
    "Rprop": Oracle(
        tz.m.Rprop,
        _rprop,
        {
            "nplus": st.floats(1.0, 2.0),
            "nminus": st.floats(0.1, 1.0),
            "lb": st.floats(0.0, 0.1),
            "ub": st.floats(0.1, 2.0),
            "backtrack": _bools,
            "alpha": factors,
        },
    ),
    "ScheduleFree": Oracle(
        lambda **h: tz.m.ScheduleFree(tz.m.WeightDecay(0.0), **h),
        _schedule_free,
        {"beta": st.floats(0, 1), **_averaging},
    ),
    "ScheduleFreeAdamW": Oracle(
        tz.m.ScheduleFreeAdamW,
        _schedule_free_adam_w,
        {"beta1": st.floats(0, 1), "beta2": decays, "eps": epsilons, "weight_decay": st.floats(0, 1), **_averaging},
    ),
    "ScheduleFreeSGD": Oracle(
        tz.m.ScheduleFreeSGD,
        _schedule_free_sgd,
        {"momentum": st.floats(0, 1), "weight_decay": st.floats(0, 1), **_averaging},
    ),
    "Shampoo": Oracle(
        tz.m.Shampoo,
        _shampoo,
        {
            "reg": _dampings,
            "precond_freq": st.integers(1, 3),
            "matrix_power": st.none() | st.floats(-1.0, -0.1),
            "merge_small": _bools,
            "max_dim": st.integers(2, 9),
            "precondition_1d": _bools,
            "adagrad_eps": epsilons,
            "beta": _optional_decays,
            "beta_debias": _bools,
        },
        rtol=1e-7,
    ),
}
