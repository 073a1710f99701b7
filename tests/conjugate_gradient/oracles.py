"""The conjugate gradient methods as their papers write them, in NumPy: for the descent direction p = -d."""

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step

# g and h are the gradients of this step and of the step before, p the descent direction of the step before.
Beta = Callable[[Array, Array, Array], float]


def _fraction(a: float, b: float) -> float:
    return a / b if b else 0.0


def _hager_zhang(g: Array, h: Array, p: Array) -> float:
    y = g - h
    if p @ y == 0:
        return 0.0
    return float((y - 2 * p * (y @ y) / (p @ y)) @ g / (p @ y))


BETAS: dict[str, Beta] = {
    "FletcherReeves": lambda g, h, p: _fraction(g @ g, h @ h),
    "PolakRibiere": lambda g, h, p: _fraction(g @ (g - h), h @ h),
    "HestenesStiefel": lambda g, h, p: _fraction(g @ (g - h), p @ (g - h)),
    "DaiYuan": lambda g, h, p: _fraction(g @ g, p @ (g - h)),
    "ConjugateDescent": lambda g, h, p: _fraction(g @ g, -(p @ h)),
    "LiuStorey": lambda g, h, p: _fraction(g @ (g - h), -(p @ h)),
    "HagerZhang": _hager_zhang,
    "DYHS": lambda g, h, p: max(0.0, min(BETAS["DaiYuan"](g, h, p), BETAS["HestenesStiefel"](g, h, p))),
}


def _reference(beta: Beta) -> Callable[..., list[list[Array]]]:
    def run(steps: list[Step], restart_interval: int | None, clip_beta: bool) -> list[list[Array]]:
        out, h, p, age = [], np.zeros(0), np.zeros(0), 0
        shapes = [x.shape for x in steps[0].u]
        cuts = np.cumsum([x.size for x in steps[0].u])[:-1]
        for step in steps:
            g = np.concatenate([x.reshape(-1) for x in step.u])
            if age == 0:
                p = -g
            else:
                b = beta(g, h, p)
                p = -g + (max(b, 0.0) if clip_beta else b) * p
            h, age = g, age + 1
            if age == restart_interval:
                age = 0
            out.append([x.reshape(s) for x, s in zip(np.split(-p, cuts), shapes, strict=True)])
        return out

    return run


ORACLES: dict[str, Oracle] = {
    name: Oracle(
        lambda name=name, **hypers: getattr(tz.m, name)(**hypers),
        _reference(beta),
        {"restart_interval": st.sampled_from([None, 1, 2, 3, 4]), "clip_beta": st.booleans()},
        rtol=1e-7,
    )
    for name, beta in BETAS.items()
}


def _projected(steps: list[Step], restart_interval: int | None, scale: float) -> list[list[Array]]:
    """Each direction is u without its parts in the span of H-conjugated changes: by Gram and Schmidt."""
    out, seen, last = [], [], np.zeros(0)
    shapes = [x.shape for x in steps[0].u]
    cuts = np.cumsum([x.size for x in steps[0].u])[:-1]
    for k, step in enumerate(steps):
        u = np.concatenate([x.reshape(-1) for x in step.u])
        if restart_interval is not None and (k + 1) % restart_interval == 0:
            seen = []
        elif k:
            q = u - last
            for e in seen:
                q = q - (e @ q) * e
            seen.append(q / np.sqrt(q @ q))
        last, d = u, u
        for e in seen:
            d = d - (e @ d) * e
        out.append([x.reshape(s) / scale for x, s in zip(np.split(d, cuts), shapes, strict=True)])
    return out


ORACLES["ProjectedGradientMethod"] = Oracle(
    lambda restart_interval, scale: tz.m.ProjectedGradientMethod(scale, restart_interval=restart_interval),
    _projected,
    {"restart_interval": st.sampled_from([None, 2, 3, 4]), "scale": st.floats(0.2, 4.0)},
    rtol=1e-7,
)
