"""The projections in NumPy: the rule of a child, `Peak`, on arrays that are put together by hand."""

from typing import Any

import numpy as np
import torch

import torchzero as tz
from tests.oracle import Array, Oracle, Step, decays, factors
from tests.projections.peak import Peak


def _peak(us: list[Array], ps: list[Array], beta: float, decay: float) -> list[Array]:
    """The child's rule on one tensor: its directions over a run."""
    m, out = np.zeros_like(us[0]), []
    for u, p in zip(us, ps, strict=True):
        m = beta * m + (1 - beta) * u
        out.append(m / (1 + np.abs(m).max()) + decay * p)
    return out


def _by_tensor(steps: list[Step], **hypers: float) -> list[list[Array]]:
    tensors = range(len(steps[0].u))
    runs = [_peak([s.u[i] for s in steps], [s.p[i] for s in steps], **hypers) for i in tensors]
    return [list(step) for step in zip(*runs, strict=True)]


def _as_one_vector(steps: list[Step], **hypers: float) -> list[list[Array]]:
    def vector(parts: list[Array]) -> Array:
        return np.concatenate([x.ravel() for x in parts])

    out = _peak([vector(s.u) for s in steps], [vector(s.p) for s in steps], **hypers)
    ends = np.cumsum([x.size for x in steps[0].u])[:-1]
    return [[x.reshape(u.shape) for x, u in zip(np.split(d, ends), steps[0].u, strict=True)] for d in out]


def _by_element(steps: list[Step], **hypers: float) -> list[list[Array]]:
    out = [[np.empty_like(u) for u in s.u] for s in steps]
    for i, shape in enumerate(u.shape for u in steps[0].u):
        for at in np.ndindex(shape):
            run = _peak([np.asarray(s.u[i][at]) for s in steps], [np.asarray(s.p[i][at]) for s in steps], **hypers)
            for step, value in zip(out, run, strict=True):
                step[i][at] = value
    return out


def _in_single(steps: list[Step], **hypers: float) -> list[list[Array]]:
    def single(parts: list[Array]) -> list[Array]:
        return [x.astype(np.float32) for x in parts]

    rounded = [s._replace(u=single(s.u), p=single(s.p)) for s in steps]
    return [[x.astype(np.float64) for x in step] for step in _by_tensor(rounded, **hypers)]


_HYPERS: Any = {"beta": decays, "decay": factors}

ORACLES = {
    "VectorProjection": Oracle(lambda **h: tz.m.VectorProjection(Peak(**h)), _as_one_vector, _HYPERS),
    "ScalarProjection": Oracle(lambda **h: tz.m.ScalarProjection(Peak(**h)), _by_element, _HYPERS),
    "To": Oracle(lambda **h: tz.m.To(Peak(**h), torch.float32), _in_single, _HYPERS, rtol=1e-5),
    "ViewAsReal": Oracle(lambda **h: tz.m.ViewAsReal(Peak(**h)), _by_tensor, _HYPERS),
}
