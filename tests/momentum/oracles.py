"""Independent statements of the momentum modules' rules: torch.optim, and loops in NumPy."""

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step, decays, factors

Run = list[Step]
Directions = list[list[Array]]

dampenings = st.floats(-0.5, 1.0)
bools = st.booleans()


def _columns(run: Run) -> Directions:
    """The updates of each tensor over time."""
    return [[step.u[i] for step in run] for i in range(len(run[0].u))]


def _rows(columns: Directions) -> Directions:
    return [list(row) for row in zip(*columns, strict=True)]


def _mean_of(us: list[Array], beta: float, damp: float, debias: bool, lerp: bool, start: str) -> list[Array]:
    """Write every output as the weighted sum of all updates so far."""
    out = []
    for t in range(1, len(us) + 1):
        total = np.zeros_like(us[0])
        for s in range(1, t + 1):
            weight = (1 - damp) * ((1 - beta) if lerp else 1)
            if s == 1 and start == "update":
                weight = 1.0
            total = total + beta ** (t - s) * weight * us[s - 1]
        correct = debias and not (lerp and start == "update")
        out.append(total / (1 - beta**t) if correct else total)
    return out


def _ema(run: Run, momentum: float, dampening: float, debias: bool, lerp: bool, ema_init: str) -> Directions:
    return _rows([_mean_of(us, momentum, dampening, debias, lerp, ema_init) for us in _columns(run)])


def _torch_sgd(run: Run, **kwargs: Any) -> Directions:
    """The steps of torch.optim.SGD with unit learning rate, where the parameters of every step are given."""
    params = [torch.zeros(x.shape, dtype=torch.float64) for x in run[0].p]
    opt, out = torch.optim.SGD(params, lr=1.0, **kwargs), []
    for step in run:
        for p, x, u in zip(params, step.p, step.u, strict=True):
            p.copy_(torch.from_numpy(x.copy()))
            p.grad = torch.from_numpy(u.copy())
        opt.step()
        out.append([x - p.numpy() for p, x in zip(params, step.p, strict=True)])
    return out


def _heavy_ball(run: Run, momentum: float, dampening: float) -> Directions:
    return _torch_sgd(run, momentum=momentum, dampening=dampening)


def _sgd(run: Run, momentum: float, dampening: float, weight_decay: float, nesterov: bool, alpha: float) -> Directions:
    nesterov = nesterov and momentum > 0
    damped = 0.0 if nesterov else dampening
    out = _torch_sgd(run, momentum=momentum, dampening=damped, weight_decay=weight_decay, nesterov=nesterov)
    return [[alpha * x for x in row] for row in out]


def _make_sgd(momentum: float, dampening: float, weight_decay: float, nesterov: bool, alpha: float) -> tz.Module:
    nesterov = nesterov and momentum > 0
    return tz.m.SGD(momentum, 0 if nesterov else dampening, weight_decay, nesterov, alpha)


def _nag(run: Run, momentum: float, dampening: float, lerp: bool) -> Directions:
    columns = []
    for us in _columns(run):
        v, out = np.zeros_like(us[0]), []
        for u in us:
            v = momentum * v + (1 - momentum) * u if lerp else momentum * (v + u)
            out.append(u + (1 - dampening) * v)
        columns.append(out)
    return _rows(columns)


def _averaging(run: Run, history_size: int) -> Directions:
    columns = _columns(run)
    return _rows([[np.mean(us[max(t - history_size, 0) : t], 0) for t in range(1, len(us) + 1)] for us in columns])


def _median(run: Run, history_size: int) -> Directions:
    columns = _columns(run)
    return _rows([[np.median(us[max(t - history_size, 0) : t], 0) for t in range(1, len(us) + 1)] for us in columns])


def _weighted(run: Run, weights: list[float]) -> Directions:
    columns = []
    for us in _columns(run):
        out = []
        for t in range(1, len(us) + 1):
            recent = us[max(t - len(weights), 0) : t]
            used = weights[len(weights) - len(recent) :]
            out.append(sum(w * x for w, x in zip(used, recent, strict=True)) / len(recent))
        columns.append(out)
    return _rows(columns)


ORACLES: dict[str, Oracle] = {
    "EMA": Oracle(
        tz.m.EMA,
        _ema,
        {
            "momentum": decays,
            "dampening": dampenings,
            "debias": bools,
            "lerp": bools,
            "ema_init": st.sampled_from(["zeros", "update"]),
        },
    ),
    "HeavyBall": Oracle(tz.m.HeavyBall, _heavy_ball, {"momentum": st.floats(0.01, 0.99), "dampening": dampenings}),
    "NAG": Oracle(tz.m.NAG, _nag, {"momentum": decays, "dampening": dampenings, "lerp": bools}),
    "SGD": Oracle(
        _make_sgd,
        _sgd,
        {
            "momentum": st.sampled_from([0.0, 0.3, 0.9]),
            "dampening": dampenings,
            "weight_decay": st.floats(0, 0.5),
            "nesterov": bools,
            "alpha": factors,
        },
    ),
    "Averaging": Oracle(tz.m.Averaging, _averaging, {"history_size": st.integers(1, 6)}),
    "MedianAveraging": Oracle(tz.m.MedianAveraging, _median, {"history_size": st.integers(1, 6)}),
    "WeightedAveraging": Oracle(
        tz.m.WeightedAveraging, _weighted, {"weights": st.lists(st.floats(-2, 2), min_size=1, max_size=6)}
    ),
}
