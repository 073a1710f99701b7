"""Independent statements of the weight decay modules' rules: torch.optim, and loops in NumPy."""

import math
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

import torchzero as tz
from tests.clipping.oracles import measure
from tests.oracle import Array, Oracle, Step

Run = list[Step]
Directions = list[list[Array]]

strengths = st.floats(0, 1)
powers = st.sampled_from([0.5, 1, 2, 3, 4, 2.5])


def pull(theta: float, ord: float) -> float:
    """The derivative of |θ|ᵖ / p."""
    return 0.0 if theta == 0 else math.copysign(abs(theta) ** (ord - 1), theta)


def _elementwise(u: Array, p: Array, strength: float, ord: float, cautious: bool) -> Array:
    out = []
    for a, b in zip(u.ravel(), p.ravel(), strict=True):
        same = (a > 0 and b > 0) or (a < 0 and b < 0)
        out.append(a + strength * pull(b, ord) if same or not cautious else a)
    return np.array(out).reshape(u.shape)


def _weight_decay(run: Run, weight_decay: float, ord: float) -> Directions:
    if ord != 2:
        return [[_elementwise(u, p, weight_decay, ord, False) for u, p in zip(s.u, s.p, strict=True)] for s in run]
    params = [torch.zeros(x.shape, dtype=torch.float64) for x in run[0].p]
    opt, out = torch.optim.SGD(params, lr=1.0, weight_decay=weight_decay), []
    for s in run:
        for x, p, u in zip(params, s.p, s.u, strict=True):
            x.copy_(torch.from_numpy(p.copy()))
            x.grad = torch.from_numpy(u.copy())
        opt.step()
        out.append([p - x.numpy() for x, p in zip(params, s.p, strict=True)])
    return out


def _cautious(run: Run, weight_decay: float, ord: float) -> Directions:
    return [[_elementwise(u, p, weight_decay, ord, True) for u, p in zip(s.u, s.p, strict=True)] for s in run]


def _relative(run: Run, weight_decay: float, ord: float, norm_input: str, metric: Any, cautious: bool) -> Directions:
    out = []
    for s in run:
        measured = s.p if norm_input == "params" else s.u
        size = measure([float(v) for x in measured for v in x.ravel()], metric)
        strength = weight_decay * size
        out.append([_elementwise(u, p, strength, ord, cautious) for u, p in zip(s.u, s.p, strict=True)])
    return out


ORACLES: dict[str, Oracle] = {
    "WeightDecay": Oracle(tz.m.WeightDecay, _weight_decay, {"weight_decay": strengths, "ord": powers}),
    "CautiousWeightDecay": Oracle(tz.m.CautiousWeightDecay, _cautious, {"weight_decay": strengths, "ord": powers}),
    "RelativeWeightDecay": Oracle(
        tz.m.RelativeWeightDecay,
        _relative,
        {
            "weight_decay": strengths,
            "ord": powers,
            "norm_input": st.sampled_from(["update", "grad", "params"]),
            "metric": st.sampled_from(["mad", "std", "var", "sum", "l0", "l1", "l2", "l3", "linf", 0, 1.5]),
            "cautious": st.booleans(),
        },
    ),
}
