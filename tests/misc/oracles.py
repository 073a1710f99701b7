"""Independent statements of the misc modules' rules, in NumPy."""

import math
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step, decays, factors

Run = list[Step]
Directions = list[list[Array]]

small_eps = st.floats(1e-8, 1e-2)
counts = st.integers(1, 4)
orders = st.sampled_from([1, 2, 3, math.inf, "mad", "l2", "linf"])


def _size(tensors: list[Array], ord: float | str) -> float:
    x = np.concatenate([t.reshape(-1) for t in tensors])
    if ord == "mad":
        return float(np.abs(x).sum() / x.size)
    p = {"l2": 2, "linf": math.inf}.get(ord, ord) if isinstance(ord, str) else ord
    return float(np.abs(x).max() if p == math.inf else (np.abs(x) ** p).sum() ** (1 / p))


def _grafted(
    d: list[Array], m: list[Array], tensorwise: bool, ord: float | str, eps: float, s: float = 1
) -> list[Array]:
    if tensorwise:
        return [_grafted([a], [b], False, ord, eps, s)[0] for a, b in zip(d, m, strict=True)]
    ratio = _size(m, ord) / max(_size(d, ord), eps)
    return [(1 - s) * x + s * ratio * x for x in d]


def _before(run: Run) -> Directions:
    """The direction that Previous(1) makes."""
    return [run[max(k - 1, 0)].u for k in range(len(run))]


def _graft(run: Run, tensorwise: bool, ord: float | str, eps: float, strength: float) -> Directions:
    return [
        _grafted([np.sign(x) for x in s.u], b, tensorwise, ord, eps, strength)
        for s, b in zip(run, _before(run), strict=True)
    ]


def _graft_to_grad(run: Run, tensorwise: bool, ord: float | str, eps: float) -> Directions:
    return [_grafted(b, s.u, tensorwise, ord, eps) for s, b in zip(run, _before(run), strict=True)]


def _graft_grad_to_update(run: Run, tensorwise: bool, ord: float | str, eps: float) -> Directions:
    return [_grafted(s.u, b, tensorwise, ord, eps) for s, b in zip(run, _before(run), strict=True)]


def _graft_to_params(run: Run, tensorwise: bool, ord: float | str, eps: float) -> Directions:
    return [_grafted(s.u, s.p, tensorwise, ord, eps) for s in run]


def _leafwise(rule: Callable[..., Array]) -> Callable[..., Directions]:
    """A rule of (direction, step's tensor u, p, loss) with Previous(1) in front, so that u and the direction differ."""

    def reference(run: Run, **h: float) -> Directions:
        out = []
        for s, b in zip(run, _before(run), strict=True):
            out.append([rule(x, g, p, s.f, **h) for x, g, p in zip(b, s.u, s.p, strict=True)])
        return out

    return reference


def _after_previous(cls: Callable[..., tz.Module]) -> Callable[..., tz.Module]:
    return lambda **h: tz.Chain(tz.m.Previous(1), cls(**h))


def _accumulation(run: Run, n: int, mean: bool) -> Directions:
    out = []
    for k, step in enumerate(run):
        if (k + 1) % n:
            out.append(step.u)
            continue
        block = run[k + 1 - n : k + 1]
        total = [sum(s.u[i] for s in block) for i in range(len(step.u))]
        out.append([x / n if mean else x for x in total])
    return out


def _previous(run: Run, n: int) -> Directions:
    return [run[max(k - n, 0)].u for k in range(len(run))]


def _last(rule: Callable[..., Array], start: float, look: str = "u") -> Callable[..., Directions]:
    def reference(run: Run, **h: float) -> Directions:
        seen = [[np.full_like(x, start) for x in run[0].u], *[getattr(s, look) for s in run]]
        return [[rule(a, b, **h) for a, b in zip(seen[k + 1], seen[k], strict=True)] for k in range(len(run))]

    return reference


def _ratio(now: Array, before: Array, numerator: str) -> Array:
    top, bottom = (now, before) if numerator == "cur" else (before, now)
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom != 0)


def _absolute_ratio(now: Array, before: Array, numerator: str, eps: float) -> Array:
    top, bottom = (abs(now), abs(before)) if numerator == "cur" else (abs(before), abs(now))
    return top / np.maximum(bottom, eps)


def _hpu(run: Run) -> Directions:
    p_prev = [np.zeros_like(x) for x in run[0].p]
    u_prev = [np.zeros_like(x) for x in run[0].p]
    out = []
    for s in run:
        length = math.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(s.p, p_prev, strict=True)))
        out.append([(a - b) / max(length, 1e-8) for a, b in zip(s.u, u_prev, strict=True)])
        p_prev, u_prev = s.p, s.u
    return out


def _velocity(run: Run, beta: float) -> Directions:
    """EMA from zero without debiasing, of the steps that it sees."""
    m = [np.zeros_like(x) for x in run[0].u]
    out = []
    for s in run:
        m = [beta * a + (1 - beta) * b for a, b in zip(m, s.u, strict=True)]
        out.append(m)
    return out


def _turns(run: Run, owner: list[int], beta: float) -> Directions:
    """Module 0 is EMA(beta), module 1 the sign; owner[k] says whose step k is."""
    mine = iter(_velocity([s for k, s in enumerate(run) if owner[k] == 0], beta) if 0 in owner else [])
    return [next(mine) if owner[k] == 0 else [np.sign(x) for x in s.u] for k, s in enumerate(run)]


def _alternate(run: Run, a: int, b: int, beta: float) -> Directions:
    return _turns(run, [0 if k % (a + b) < a else 1 for k in range(len(run))], beta)


def _switch(run: Run, a: int, beta: float) -> Directions:
    return _turns(run, [0 if k < a else 1 for k in range(len(run))], beta)


def _routed(run: Run, beta: float, wanted: Callable[[int, Array], int]) -> Directions:
    """Route 0 is EMA(beta), route 1 the sign, route 2 nothing."""
    ema, out = _velocity(run, beta), []
    for k, s in enumerate(run):
        ways = [wanted(i, x) for i, x in enumerate(s.u)]
        out.append([(ema[k][i], np.sign(x), x)[ways[i]] for i, x in enumerate(s.u)])
    return out


def _lookahead(run: Run, k: int, alpha: float, lr: float) -> Directions:
    out, slow = [], run[0].p
    for t, s in enumerate(run):
        if t % k == 0:
            slow = s.p  # the step before has put the parameters at the slow weights
        fast = [p - lr * u for p, u in zip(s.p, s.u, strict=True)]
        if (t + 1) % k == 0:
            new = [a + alpha * (b - a) for a, b in zip(slow, fast, strict=True)]
            out.append([p - x for p, x in zip(s.p, new, strict=True)])
        else:
            out.append([lr * u for u in s.u])
    return out


def _graft_make(**h: float) -> tz.Module:
    return tz.m.Graft(tz.m.Sign(), tz.m.Previous(1), **h)


grafts = {"tensorwise": st.booleans(), "ord": orders, "eps": small_eps}
loss_factors = {"alpha": factors, "min_value": st.sampled_from([1e-16, 0.3, 0.8])}

ORACLES: dict[str, Oracle] = {
    "Graft": Oracle(_graft_make, _graft, {**grafts, "strength": st.floats(0, 1.5)}),
    "GraftToGrad": Oracle(_after_previous(tz.m.GraftToGrad), _graft_to_grad, grafts),
    "GraftGradToUpdate": Oracle(_after_previous(tz.m.GraftGradToUpdate), _graft_grad_to_update, grafts),
    "GraftToParams": Oracle(tz.m.GraftToParams, _graft_to_params, grafts),
    "GradSign": Oracle(_after_previous(tz.m.GradSign), _leafwise(lambda x, g, p, f: abs(x) * np.sign(g))),
    "UpdateSign": Oracle(_after_previous(tz.m.UpdateSign), _leafwise(lambda x, g, p, f: abs(g) * np.sign(x))),
    "Relative": Oracle(
        _after_previous(tz.m.Relative),
        _leafwise(lambda x, g, p, f, min_value: x * np.maximum(abs(p), min_value)),
        {"min_value": st.floats(0, 2)},
    ),
    "MulByLoss": Oracle(
        _after_previous(tz.m.MulByLoss),
        _leafwise(lambda x, g, p, f, alpha, min_value: x * max(alpha * f, min_value)),
        loss_factors,
    ),
    "DivByLoss": Oracle(
        _after_previous(tz.m.DivByLoss),
        _leafwise(lambda x, g, p, f, alpha, min_value: x / max(alpha * f, min_value)),
        loss_factors,
    ),
    "FillLoss": Oracle(
        tz.m.FillLoss, _leafwise(lambda x, g, p, f, alpha: np.full_like(x, alpha * f)), {"alpha": st.floats(-3, 3)}
    ),
    "GradientAccumulation": Oracle(tz.m.GradientAccumulation, _accumulation, {"n": counts, "mean": st.booleans()}),
    "Accumulate": Oracle(
        lambda n, mean: tz.m.Accumulate(n_steps=n, mean=mean), _accumulation, {"n": counts, "mean": st.booleans()}
    ),
    "Previous": Oracle(tz.m.Previous, _previous, {"n": st.integers(1, 6)}),
    "LastDifference": Oracle(tz.m.LastDifference, _last(lambda a, b: a - b, 0)),
    "LastGradDifference": Oracle(_after_previous(tz.m.LastGradDifference), _last(lambda a, b: a - b, 0)),
    "LastParamDifference": Oracle(tz.m.LastParamDifference, _last(lambda a, b: a - b, 0, "p")),
    "LastProduct": Oracle(tz.m.LastProduct, _last(lambda a, b: a * b, 1)),
    "LastRatio": Oracle(tz.m.LastRatio, _last(_ratio, 1), {"numerator": st.sampled_from(["cur", "prev"])}),
    "LastAbsoluteRatio": Oracle(
        tz.m.LastAbsoluteRatio,
        _last(_absolute_ratio, 1),
        {"numerator": st.sampled_from(["cur", "prev"]), "eps": small_eps},
    ),
    "HpuEstimate": Oracle(tz.m.HpuEstimate, _hpu),
    "Alternate": Oracle(
        lambda a, b, beta: tz.m.Alternate(tz.m.EMA(beta), [tz.m.Sign()], steps=(a, b)),
        _alternate,
        {"a": counts, "b": counts, "beta": decays},
    ),
    "Switch": Oracle(
        lambda a, beta: tz.m.Switch(tz.m.EMA(beta), tz.m.Sign(), steps=[a]),
        _switch,
        {"a": counts, "beta": decays},
    ),
    "Split": Oracle(
        lambda beta: tz.m.Split(lambda x: x.ndim > 1, tz.m.EMA(beta), tz.m.Sign()),
        lambda run, beta: _routed(run, beta, lambda i, x: 0 if x.ndim > 1 else 1),
        {"beta": decays},
    ),
    "Masked": Oracle(
        lambda beta: tz.m.Masked(tz.m.EMA(beta), [False, True, False, True]),
        lambda run, beta: _routed(run, beta, lambda i, x: 0 if i % 2 else 2),
        {"beta": decays},
    ),
    "Partition": Oracle(
        lambda beta: tz.m.Partition({"a": ("[02]", tz.m.EMA(beta)), "b": (lambda path, x: x.ndim > 1, tz.m.Sign())}),
        lambda run, beta: _routed(run, beta, lambda i, x: 0 if i in (0, 2) else 1 if x.ndim > 1 else 2),
        {"beta": decays},
    ),
    "Lookahead": Oracle(
        lambda k, alpha, lr: tz.m.Lookahead(tz.m.LR(lr), k, alpha),
        _lookahead,
        {"k": counts, "alpha": st.floats(0, 1), "lr": factors},
    ),
}
