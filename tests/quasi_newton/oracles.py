"""Independent statements of the quasi-Newton updates, in NumPy: loops over steps, textbook matrix products."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.linalg
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import SHAPES, Array, Oracle, Step

EPS = np.finfo(float).eps
N = sum(int(np.prod(s)) for s in SHAPES)


def ravel(parts: Sequence[Array]) -> Array:
    return np.concatenate([np.ravel(x) for x in parts])


def unravel(vector: Array) -> list[Array]:
    sizes = np.cumsum([int(np.prod(s)) for s in SHAPES])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(vector, sizes), SHAPES, strict=True)]


class Seen:
    """What a formula may look at besides the matrix and the pair."""

    def __init__(self, tol: float, before: Array, rise: float, memory: dict[str, Array], **own: Any) -> None:
        self.tol, self.before, self.rise, self.memory, self.own = tol, before, rise, memory, own


Formula = Callable[[Array, Array, Array, Seen], "Array | None"]


# ---------------------------------------------------------------- formulas; None where a pair is skipped


def bfgs(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    if s @ y <= seen.tol:
        return None
    V = np.eye(len(s)) - np.outer(y, s) / (s @ y)
    return V.T @ H @ V + np.outer(s, s) / (s @ y)


def bfgs_direct(B: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    H = bfgs(np.linalg.inv(B), s, y, seen)
    return None if H is None else np.linalg.inv(H)


def dfp(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    if abs(s @ y) <= seen.tol:
        return None
    return H + np.outer(s, s) / (s @ y) - H @ np.outer(y, y) @ H.T / (y @ H @ y)


def dfp_direct(B: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    if abs(s @ y) <= seen.tol:
        return None
    V = np.eye(len(s)) - np.outer(s, y) / (s @ y)
    return V.T @ B @ V + np.outer(y, y) / (s @ y)


def sr1(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    z = s - H @ y
    size = np.linalg.norm(y)
    if abs(z @ y) <= max(seen.tol * np.linalg.norm(z) * size, 16 * EPS * np.linalg.norm(s) * size):
        return None
    return H + np.outer(z, z) / (z @ y)


def swapped(formula: Formula) -> Formula:
    return lambda B, s, y, seen: formula(B, y, s, seen)


def psb(B: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    r = y - B @ s
    return B + (np.outer(r, s) + np.outer(s, r)) / (s @ s) - (r @ s) * np.outer(s, s) / (s @ s) ** 2


def fletcher(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    return None if abs(s @ y) <= seen.tol else bfgs(H, s, y, Seen(-np.inf, seen.before, 0, {}))


def hoshino(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    if abs(s @ y) <= seen.tol:
        return None
    sy, yHy = s @ y, y @ H @ y
    bracket = (1 + 2 * yHy / sy) * np.outer(s, s) - np.outer(s, y) @ H - H @ np.outer(y, s) - H @ np.outer(y, y) @ H
    return H + bracket / (sy + yHy)


def new_ssm(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    if s @ y <= seen.tol:
        return None
    sy = s @ y
    tau = 2 * (sy + seen.rise) / sy if seen.own["type"] == 1 else (-seen.rise + 1 / (2 * sy)) / sy
    V = np.eye(len(s)) - np.outer(y, s) / sy
    return V.T @ H @ V + np.outer(s, s) / (tau * sy)


def shor(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    return H - (1 - seen.own["alpha"] ** 2) * np.outer(H @ y, H @ y) / (y @ H @ y)


def corrected(choose: Callable[[Array, Array, Array, Seen], Array]) -> Formula:
    """H with the smallest change along c that maps y to s."""

    def formula(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
        c = choose(H, s, y, seen)
        return H - np.outer(H @ y - s, c) / (c @ y)

    return formula


def column(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    new, j = H.copy(), int(np.argmax(np.abs(y)))
    new[:, j] += (s - H @ y) / y[j]
    return new


def thomas(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    R, length, eye = seen.memory.setdefault("R", np.eye(len(s))), np.linalg.norm(s), np.eye(len(s))
    d = (R + length / 2 * eye) @ s
    if d @ s <= 0:
        return None
    seen.memory["R"] = (1 + length) * (length * eye + R - np.outer(d, d) / (d @ s))
    return H - np.outer(H @ y - s, H.T @ d) / (d @ H @ y)


def projected(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    R, Hy = seen.memory.setdefault("R", np.eye(len(s))), H @ y
    seen.memory["R"] = R + np.outer(s - R @ y, Hy) / (y @ Hy)
    return H - np.outer(Hy, Hy) / (y @ Hy)


def scaled(numbers: Callable[[float, float, float, int, dict[str, Any]], tuple[float, float]]) -> Formula:
    """Broyden's family with a scale; B by inversion."""

    def formula(H: Array, s: Array, y: Array, seen: Seen) -> Array | None:
        sigma, tau, epsilon = s @ y, y @ H @ y, s @ np.linalg.solve(H, s)
        if min(sigma - seen.tol, sigma, tau, epsilon) <= 0:
            return None
        scale, mix = numbers(sigma, tau, epsilon, len(s), seen.own)
        v = np.sqrt(tau) * (s / sigma - H @ y / tau)
        return scale * (H - np.outer(H @ y, H @ y) / tau + mix * np.outer(v, v)) + np.outer(s, s) / sigma

    return formula


def ssvm_numbers(o: float, t: float, e: float, n: int, own: dict[str, Any]) -> tuple[float, float]:
    switch = own["switch"]
    near = 1 + 64 * EPS
    if isinstance(switch, tuple):
        phi, theta = switch
    elif switch == 2:
        phi, theta = np.sqrt(e / t), 1 / (1 + np.sqrt(t * e / o**2))
    elif switch == 4:
        phi, theta = e / t, 0.5
    elif e <= o * near:
        phi, theta = e / o, 0.0
    elif o * near >= t:
        phi, theta = o / t, 1.0
    else:
        phi, theta = 1.0, o * ((e if switch == 1 else t) - o) / (e * t - o**2)
    return phi * e / o + (1 - phi) * o / t, theta


def ssbfgs_numbers(o: float, t: float, e: float, n: int, own: dict[str, Any]) -> tuple[float, float]:
    tau = o / e if own["scaling"] == "oren_luenberger" else min(1.0, o / e)
    return 1 / tau, 1.0


def ssbroyden_numbers(o: float, t: float, e: float, n: int, own: dict[str, Any]) -> tuple[float, float]:
    b, h = np.longdouble(e) / o, np.longdouble(t) / o
    a = max(b * h - 1, np.longdouble(0))
    rho = min(1, h * (1 - np.sqrt(a / (1 + a))))
    theta = max((rho - 1) / a, min(1 / rho, (1 - b) / b))
    sigma, rate = 1 + a * theta, min(1, 1 / b)
    power = abs(sigma) ** (1 / (1 - n))
    tau = min(rate * power, sigma) if theta <= 0 else rate * min(power, 1 / theta)
    return float(1 / tau), float((1 - theta) / (1 + a * theta))


def of_diagonal(formula: Formula) -> Formula:
    """The diagonal of what a formula makes of a diagonal matrix."""

    def diagonal(h: Array, s: Array, y: Array, seen: Seen) -> Array | None:
        H = formula(np.diag(h), s, y, seen)
        return None if H is None else np.diag(H)

    return diagonal


def cauchy(b: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    return b + (s @ y - sum(b * s**2)) / sum(s**4) * s**2


def weighted_cauchy(b: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    return b + (s @ y - sum(b * s**2)) / sum(b**2 * s**4) * b**2 * s**2


def andrei(b: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    return b + (s @ y + s @ s - sum(b * s**2)) / sum(s**4) * s**2 - 1


def nosrati(b: Array, s: Array, y: Array, seen: Seen) -> Array | None:
    return b + s @ y / sum(s**4) * s**2


# ---------------------------------------------------------------- the loop


def first_size(u: Array) -> float:
    if not np.abs(u).max() > EPS:
        return 1.0
    return float(np.clip(1 / np.abs(u).sum(), 1e-7 / np.abs(u).max(), 1))


def solve(B: Array, u: Array) -> Array:
    pivots = np.abs(np.diag(scipy.linalg.lu_factor(B)[0]))
    if pivots.min() <= 16 * len(B) * EPS * np.abs(B).max():
        return first_size(u) * u
    return np.linalg.solve(B, u)


def strategy(
    inverse: Formula | None,
    direct: Formula | None = None,
    diagonal: bool = False,
    restart: str = "",
    bounded: bool = False,
) -> Callable[..., list[list[Array]]]:
    """A reference for the class with these formulas."""

    def reference(steps: list[Step], **hypers: Any) -> list[list[Array]]:
        use_inverse = hypers.get("inverse", inverse is not None)
        formula = inverse if use_inverse else direct
        assert formula is not None
        scale = hypers.get("init_scale", "auto")

        def fresh(curvature: float) -> Array:
            P = np.ones(N) if diagonal else np.eye(N)
            return P / curvature if use_inverse else P * curvature

        P, scaled_yet = fresh(1.0 if scale == "auto" else scale), scale != "auto"
        memory: dict[str, Array] = {}
        absorbed, out = 0, []
        x = u = np.zeros(N)
        f = 0.0
        for k, step in enumerate(steps):
            now_x, now_u = ravel(step.p), ravel(step.u)
            if k == 0:
                absorbed, x, u, f = 1, now_x, now_u, step.f
            elif k % hypers.get("update_freq", 1) == 0:
                absorbed += 1
                s, y, before, rise = now_x - x, now_u - u, u, step.f - f
                x, u, f = now_x, now_u, step.f
                interval = hypers.get("restart_interval", "auto" if restart else None)
                interval = N + 1 if interval == "auto" else interval
                if interval and absorbed % interval == 0:
                    good = scale == "auto" and s @ y > 0
                    P = fresh(y @ y / (s @ y) if good else 1.0 if scale == "auto" else scale)
                    scaled_yet = scale != "auto" or good
                    if restart == "memory":
                        P = memory.setdefault("R", np.eye(N))
                    else:
                        memory.clear()
                elif np.abs(s).max() > hypers.get("ptol", 1e-32) and np.abs(y).max() > hypers.get("gtol", 1e-32):
                    if not scaled_yet and s @ y > 0:
                        factor, scaled_yet = y @ y / (s @ y), True
                        P = P / factor if use_inverse else P * factor
                    own = {k: v for k, v in hypers.items() if k in ("type", "alpha", "switch", "scaling")}
                    kept = dict(memory)
                    new = formula(P, s, y, Seen(hypers.get("tol", 1e-32), before, rise, memory, **own))
                    if new is not None:
                        beta = hypers.get("beta") or 0.0
                        mixed = beta * P + (1 - beta) * new
                        if np.isfinite(mixed).all():
                            P = mixed
                        else:
                            memory = kept
            d = now_u * (first_size(now_u) if hypers.get("scale_first") and absorbed <= 1 else 1.0)
            used = np.where((hypers["lb"] < P) & (hypers["ub"] > P), P, 1.0) if bounded else P
            if diagonal:
                d = used * d if use_inverse else d / used
            else:
                d = used @ d if use_inverse else solve(used, d)
            out.append(unravel(d))
        return out

    return reference


def make(name: str) -> Callable[..., tz.Module]:
    return lambda **hypers: getattr(tz.m, name)(**hypers)


scales = st.one_of(st.just("auto"), st.floats(0.2, 20.0))
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "init_scale": scales,
    "beta": st.one_of(st.none(), st.floats(0.0, 0.9)),
    "update_freq": st.integers(1, 2),
    "restart_interval": st.sampled_from([None, 3, 4, "auto"]),
    "scale_first": st.booleans(),
    "ptol": st.sampled_from([1e-32, 2.5]),
    "gtol": st.sampled_from([1e-32, 1.0]),
}
tols = {"tol": st.sampled_from([1e-32, 1.0])}
# A pair almost without curvature is a scale almost without bounds: the self-scaled methods are not shown any.
higher = {"tol": st.sampled_from([1e-3, 0.3])}


def one(name: str, *args: Any, more: dict[str, st.SearchStrategy[Any]] | None = None, **kwargs: Any) -> Oracle:
    hypers = {**COMMON, **(more or {})}
    if len(args) > 1 and args[0] is not None:
        hypers["inverse"] = st.booleans()
    # Curvature of random gradients has any sign and size, and a matrix that follows it is as ill-conditioned.
    return Oracle(make(name), strategy(*args, **kwargs), hypers, rtol=1e-3)


bounds = {"lb": st.floats(0.01, 0.5), "ub": st.floats(2.0, 100.0)}


# ---------------------------------------------------------------- limited memory and the rest


def two_loops(S: list[Array], Y: list[Array], u: Array) -> Array:
    q, alphas = u.copy(), []
    for s, y in zip(S[::-1], Y[::-1], strict=True):
        alphas.append(s @ q / (s @ y))
        q = q - alphas[-1] * y
    r = q * (S[-1] @ Y[-1] / (Y[-1] @ Y[-1])) if S else q
    for s, y, a in zip(S, Y, alphas[::-1], strict=True):
        r = r + s * (a - y @ r / (s @ y))
    return r


def rank_ones(S: list[Array], Y: list[Array], u: Array) -> Array:
    H = np.eye(len(u))
    for s, y in zip(S, Y, strict=True):
        w = s - H @ y
        H = H + np.outer(w, w) / (w @ y)
    return H @ u


def limited(rule: Callable[[list[Array], list[Array], Array], Array], convex: bool) -> Callable[..., list[list[Array]]]:
    def reference(
        steps: list[Step],
        history_size: int,
        ptol: float | None,
        gtol: float | None,
        ptol_restart: bool,
        gtol_restart: bool,
        scale_first: bool,
        update_freq: int,
        sy_tol: float = 0.0,
    ) -> list[list[Array]]:
        S: list[Array] = []
        Y: list[Array] = []
        x = u = np.zeros(N)
        out = []
        for k, step in enumerate(steps):
            now_x, now_u = ravel(step.p), ravel(step.u)
            if k == 0:
                x, u = now_x, now_u
            elif k % update_freq == 0:
                s, y = now_x - x, now_u - u
                near = ptol is not None and np.abs(s).max() <= ptol
                flat = gtol is not None and np.abs(y).max() <= gtol
                if near or flat:
                    if ptol_restart if near else gtol_restart:
                        S, Y, x, u = [], [], now_x, now_u
                else:
                    x, u = now_x, now_u
                    if not convex or s @ y > sy_tol:
                        S, Y = [*S, s][-history_size:], [*Y, y][-history_size:]
            d = now_u * (first_size(now_u) if scale_first and not S else 1.0)
            out.append(unravel(rule(S, Y, d)))
        return out

    return reference


def gradient_correction(steps: list[Step]) -> list[list[Array]]:
    out = [steps[0].u]
    for a, b in itertools.pairwise(steps):
        s, y, u = ravel(b.p) - ravel(a.p), ravel(b.u) - ravel(a.u), ravel(b.u)
        out.append(unravel(u - y * (s @ u) / (s @ y) if s @ y != 0 else u))
    return out


limits = st.sampled_from([None, 1e-32, 2.5])
MEMORY: dict[str, st.SearchStrategy[Any]] = {
    "history_size": st.integers(1, 4),
    "ptol": limits,
    "gtol": limits,
    "ptol_restart": st.booleans(),
    "gtol_restart": st.booleans(),
    "scale_first": st.booleans(),
    "update_freq": st.integers(1, 2),
}


ORACLES: dict[str, Oracle] = {
    "BFGS": one("BFGS", bfgs, bfgs_direct, more=tols),
    "BroydenBad": one("BroydenBad", corrected(lambda H, s, y, seen: y), swapped(corrected(lambda B, y, s, seen: y))),
    "BroydenGood": one(
        "BroydenGood", corrected(lambda H, s, y, seen: H.T @ s), swapped(corrected(lambda B, y, s, seen: s))
    ),
    "DFP": one("DFP", dfp, dfp_direct, more=tols),
    "DNRTR": one("DNRTR", None, andrei, diagonal=True, bounded=True, more=bounds),
    "DiagonalBFGS": one("DiagonalBFGS", of_diagonal(bfgs), diagonal=True, more=tols),
    "DiagonalQuasiCauchi": one("DiagonalQuasiCauchi", None, cauchy, diagonal=True),
    "DiagonalSR1": one("DiagonalSR1", of_diagonal(sr1), swapped(of_diagonal(sr1)), diagonal=True),
    "DiagonalWeightedQuasiCauchi": one("DiagonalWeightedQuasiCauchi", None, weighted_cauchy, diagonal=True),
    "FletcherVMM": one("FletcherVMM", fletcher, more=tols),
    "GradientCorrection": Oracle(lambda: tz.m.GradientCorrection(), gradient_correction, rtol=1e-7),
    "Greenstadt1": one("Greenstadt1", corrected(lambda H, s, y, seen: seen.before)),
    "Greenstadt2": one("Greenstadt2", corrected(lambda H, s, y, seen: H @ H @ y)),
    "Horisho": one("Horisho", hoshino, more=tols),
    "ICUM": one("ICUM", column),
    "LBFGS": Oracle(
        make("LBFGS"), limited(two_loops, convex=True), {**MEMORY, "sy_tol": st.sampled_from([0.0, 1.0])}, rtol=1e-6
    ),
    "LSR1": Oracle(make("LSR1"), limited(rank_ones, convex=False), MEMORY, rtol=1e-5),
    "McCormick": one("McCormick", corrected(lambda H, s, y, seen: s)),
    "NewDQN": one("NewDQN", None, nosrati, diagonal=True, bounded=True, more=bounds),
    "NewSSM": one("NewSSM", new_ssm, more={**tols, "type": st.sampled_from([1, 2])}),
    "PSB": one("PSB", None, psb),
    "Pearson": one("Pearson", corrected(lambda H, s, y, seen: H @ y)),
    "ProjectedNewtonRaphson": one("ProjectedNewtonRaphson", projected, restart="memory"),
    "SR1": one("SR1", sr1, swapped(sr1), more={"tol": st.sampled_from([1e-32, 0.3])}),
    "SSBFGS": one(
        "SSBFGS", scaled(ssbfgs_numbers), more={**higher, "scaling": st.sampled_from(["oren_luenberger", "al_baali"])}
    ),
    "SSBroyden": one("SSBroyden", scaled(ssbroyden_numbers), more=higher),
    "SSVM": one("SSVM", scaled(ssvm_numbers), more={**higher, "switch": st.sampled_from([1, 2, 3, 4, (0.3, 0.6)])}),
    "ShorR": one("ShorR", shor, more={"alpha": st.floats(0.1, 1.0), "init_scale": st.floats(0.2, 20.0)}),
    "ThomasOptimalMethod": one("ThomasOptimalMethod", thomas),
}
