"""Independent statements of the operations, in NumPy."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special
from hypothesis import strategies as st

import torchzero as tz
from tests.oracle import Array, Oracle, Step, decays, factors

m = tz.m
Values = list[list[Array]]

numbers = st.floats(-3.0, 3.0).filter(lambda x: abs(x) > 1e-3)
names = st.sampled_from(["sum", "neg", "chain"])
operands = st.one_of(names, numbers)
pairs = st.one_of(st.tuples(names, names), st.tuples(names, numbers), st.tuples(numbers, names))
lists = st.tuples(names, st.lists(operands, max_size=3), st.integers(0, 3)).map(
    lambda x: [*x[1][: x[2]], x[0], *x[1][x[2] :]]
)
flags = st.booleans()
powers = st.sampled_from([1.0, 1.5, 2, 2.0, 3])


def module(operand: Any) -> Any:
    """The operand that a drawn name stands for: a module with a state, one without, a sequence; or a number."""
    made = {"sum": m.AccumulateSum, "neg": m.Negate, "chain": lambda: [m.Negate(), m.Add(0.5)]}
    return made[operand]() if isinstance(operand, str) else operand


def values(run: Sequence[Step], operand: Any) -> Values:
    """What that operand is worth at every step."""
    out: Values = []
    for k, step in enumerate(run):
        if operand == "sum":
            out.append([np.asarray(sum(run[j].u[i] for j in range(k + 1))) for i in range(len(step.u))])
        elif operand == "neg":
            out.append([-u for u in step.u])
        elif operand == "chain":
            out.append([-u + 0.5 for u in step.u])
        else:
            out.append([np.full_like(u, operand) for u in step.u])
    return out


def quiet(reference: Callable[..., Values]) -> Callable[..., Values]:
    """NumPy's infinities and NaNs without its warnings."""

    @functools.wraps(reference)
    def run(*args: Any, **kwargs: Any) -> Values:
        with np.errstate(all="ignore"):
            return reference(*args, **kwargs)

    return run


def each(f: Callable[..., Array]) -> Callable[..., Values]:
    """The rule of a function of one tensor."""
    return quiet(lambda run, **h: [[np.asarray(f(u, **h)) for u in step.u] for step in run])


def binary(f: Callable[..., Array]) -> Callable[..., Values]:
    """The rule of a function of the direction and an operand."""

    def rule(run: Sequence[Step], operand: Any, **h: Any) -> Values:
        b = values(run, operand)
        return [[np.asarray(f(x, y, **h)) for x, y in zip(s.u, v, strict=True)] for s, v in zip(run, b, strict=True)]

    return quiet(rule)


def multi(f: Callable[..., Array]) -> Callable[..., Values]:
    """The rule of a function of two operands."""

    def rule(run: Sequence[Step], pair: tuple[Any, Any], **h: Any) -> Values:
        a, b = (values(run, operand) for operand in pair)
        return [[np.asarray(f(x, y, **h)) for x, y in zip(v, w, strict=True)] for v, w in zip(a, b, strict=True)]

    return quiet(rule)


def reduce(f: Callable[..., Array]) -> Callable[..., Values]:
    """The rule of a function of any number of operands."""

    def rule(run: Sequence[Step], inputs: list[Any], **h: Any) -> Values:
        columns = [values(run, operand) for operand in inputs]
        n = len(run[0].u)
        return [[np.asarray(f([c[k][i] for c in columns], **h)) for i in range(n)] for k in range(len(run))]

    return quiet(rule)


def recurrence(f: Callable[..., list[Array]]) -> Callable[..., Values]:
    """The rule of a function of all directions of one tensor so far: a list with one result for each."""

    def rule(run: Sequence[Step], **h: Any) -> Values:
        columns = [f([step.u[i] for step in run], **h) for i in range(len(run[0].u))]
        return [[np.asarray(c[k]) for c in columns] for k in range(len(run))]

    return quiet(rule)


# ------------------------------------------------------------------ functions of one element

POWERS = ("abs", "sign", "square", "sqrt", "reciprocal", "floor", "ceil", "round", "trunc")
ANGLES = ("sin", "cos", "tan", "sinh", "cosh", "tanh")
LOGS = ("exp", "exp2", "expm1", "log", "log1p", "log2", "log10")
UNARY: dict[str, Callable[[Array], Array]] = {
    **{name: getattr(np, name) for name in (*POWERS, *ANGLES, *LOGS)},
    **{"a" + name: getattr(np, "arc" + name) for name in ANGLES},
    "neg": np.negative,
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "sigmoid": scipy.special.expit,
    "frac": lambda x: x - np.trunc(x),
    "copy": lambda x: x,
    "zero": np.zeros_like,
}


def magnitude_power(u: Array, value: float) -> Array:
    """|u|^p with the sign of u, element by element."""
    return np.vectorize(lambda x: math.copysign(abs(x) ** value, x) if x else 0.0, otypes=[float])(u)


def finite(u: Array, times: float, nan: float | None, posinf: float | None, neginf: float | None) -> Array:
    """NaN and infinities replaced; `times` infinity makes them."""
    limit = np.finfo(np.float64).max
    a, b, c = nan or 0.0, limit if posinf is None else posinf, -limit if neginf is None else neginf
    return np.nan_to_num(u * times, nan=a, posinf=b, neginf=c)


@quiet
def rescaled(run: Sequence[Step], ends: tuple[float | None, float | None], tensorwise: bool, eps: float) -> Values:
    """The affine map onto [a, b], for each tensor or for all as one vector."""
    (a, b), out = ends, []
    for step in run:
        groups = [[u] for u in step.u] if tensorwise else [step.u]
        row = []
        for group in groups:
            vector = np.concatenate([u.ravel() for u in group])
            low, high = vector.min(), vector.max()
            for u in group:
                if a is None:
                    row.append(u + b - high)
                elif b is None:
                    row.append(u + a - low)
                else:
                    s = (b - a) / (high - low + eps) if high - low + eps > 0 else 0.0
                    row.append(s * u + (a - s * low))
        out.append([np.asarray(x) for x in row])
    return out


def shared(us: list[Any]) -> list[Any]:
    """A function of the list: every tensor plus the sum of the first."""
    return [u * u + us[0].sum() for u in us]


FUNCTIONS: dict[str, Oracle] = {
    "Abs": Oracle(m.Abs, each(np.abs)),
    "Cos": Oracle(m.Cos, each(np.cos)),
    "Exp": Oracle(m.Exp, each(np.exp)),
    "Negate": Oracle(m.Negate, each(lambda u: 0 - u)),
    "Sign": Oracle(m.Sign, each(np.sign)),
    "Sin": Oracle(m.Sin, each(np.sin)),
    "Sqrt": Oracle(m.Sqrt, each(np.sqrt)),
    "CustomUnaryOperation": Oracle(
        m.CustomUnaryOperation, each(lambda u, name: UNARY[name](u)), {"name": st.sampled_from(sorted(UNARY))}
    ),
    "Reciprocal": Oracle(
        m.Reciprocal, each(lambda u, eps: np.reciprocal(u + eps)), {"eps": st.one_of(st.just(0), numbers)}
    ),
    "MagnitudePower": Oracle(
        m.MagnitudePower, each(magnitude_power), {"value": st.one_of(st.sampled_from([1, 2, 3]), st.floats(0.1, 4.0))}
    ),
    "NanToNum": Oracle(
        lambda times, **h: tz.Chain(m.Mul(times), m.NanToNum(**h)),
        each(finite),
        {
            "times": st.sampled_from([1.0, math.inf]),
            "nan": st.one_of(st.none(), numbers),
            "posinf": st.one_of(st.none(), numbers),
            "neginf": st.one_of(st.none(), numbers),
        },
    ),
    "Rescale": Oracle(
        lambda ends, **h: m.Rescale(*ends, **h),
        rescaled,
        {
            "ends": st.one_of(
                st.tuples(numbers, numbers), st.tuples(st.none(), numbers), st.tuples(numbers, st.none())
            ),
            "tensorwise": flags,
            "eps": st.one_of(st.just(0), st.floats(1e-3, 1.0)),
        },
    ),
    "UnaryLambda": Oracle(
        lambda: m.UnaryLambda(shared), lambda run: [[np.asarray(u * u + s.u[0].sum()) for u in s.u] for s in run]
    ),
    "UnaryParameterwiseLambda": Oracle(
        lambda c: m.UnaryParameterwiseLambda(lambda u: c * u + u.sum()),
        each(lambda u, c: c * u + u.sum()),
        {"c": factors},
    ),
}


# ------------------------------------------------------------------ the direction and an operand


def add_magnitude(u: Array, b: Array, add_to_zero: bool, scalar: bool) -> Array:
    """Element by element: the amount is added away from zero."""

    def one(x: float, v: float) -> float:
        amount = v if scalar else abs(v)
        if x == 0:
            return amount if scalar and add_to_zero else 0.0
        return x + amount if x > 0 else x - amount

    return np.vectorize(one, otypes=[float])(u, b)


@quiet
def add_magnitude_rule(run: Sequence[Step], operand: Any, add_to_zero: bool) -> Values:
    return binary(functools.partial(add_magnitude, add_to_zero=add_to_zero, scalar=not isinstance(operand, str)))(
        run, operand
    )


@quiet
def threshold(run: Sequence[Step], operand: Any, value: Any, update_above: bool) -> Values:
    t, v = values(run, operand), values(run, value)
    return [
        [
            np.where((t[k][i] < u) if update_above else (t[k][i] > u), u, v[k][i])
            for i, u in enumerate(step.u)
        ]
        for k, step in enumerate(run)
    ]  # fmt: skip


def bound(operand: Any) -> Any:
    return None if operand is None else module(operand)


@quiet
def clipped(run: Sequence[Step], pair: tuple[Any, Any], source: Any = None) -> Values:
    a = [step.u for step in run] if source is None else values(run, source)
    low, high = (None if x is None else values(run, x) for x in pair)
    out = []
    for k in range(len(run)):
        row = []
        for i, x in enumerate(a[k]):
            if low is not None:
                x = np.where(x < low[k][i], low[k][i], x)
            if high is not None:
                x = np.where(x > high[k][i], high[k][i], x)
            row.append(np.asarray(x))
        out.append(row)
    return out


def orthogonal(u: Array, b: Array) -> Array:
    """The least-squares residual of u on b."""
    x, y = u.ravel(), b.ravel()
    return u - (np.linalg.lstsq(y[:, None], x, rcond=None)[0][0] * b if y.any() else 0.0)


bounds = st.tuples(st.one_of(st.none(), operands), st.one_of(st.none(), operands))
OPERAND = {"operand": operands}

BINARY: dict[str, Oracle] = {
    "Add": Oracle(
        lambda operand, alpha: m.Add(module(operand), alpha),
        binary(lambda u, b, alpha: u + alpha * b),
        {**OPERAND, "alpha": numbers},
    ),
    "Sub": Oracle(
        lambda operand, alpha: m.Sub(module(operand), alpha),
        binary(lambda u, b, alpha: u - alpha * b),
        {**OPERAND, "alpha": numbers},
    ),
    "RSub": Oracle(lambda operand: m.RSub(module(operand)), binary(lambda u, b: b - u), OPERAND),
    "Mul": Oracle(lambda operand: m.Mul(module(operand)), binary(lambda u, b: b * u), OPERAND),
    "Div": Oracle(lambda operand: m.Div(module(operand)), binary(lambda u, b: u / b), OPERAND),
    "RDiv": Oracle(lambda operand: m.RDiv(module(operand)), binary(lambda u, b: b / u), OPERAND),
    "Pow": Oracle(
        lambda operand: m.Pow(module(operand)),
        binary(lambda u, b: np.power(u, b)),
        {"operand": st.one_of(names, numbers, st.sampled_from([0, 1, 2, 3, 0.5]))},
    ),
    "RPow": Oracle(lambda operand: m.RPow(module(operand)), binary(lambda u, b: np.power(b, u)), OPERAND),
    "Lerp": Oracle(
        lambda operand, weight: m.Lerp(module(operand), weight),
        binary(lambda u, b, weight: (1 - weight) * u + weight * b),
        {**OPERAND, "weight": st.floats(-0.5, 1.5)},
    ),
    "CopySign": Oracle(
        lambda operand: m.CopySign(module(operand)), binary(lambda u, b: np.abs(u) * np.sign(b)), OPERAND
    ),
    "RCopySign": Oracle(
        lambda operand: m.RCopySign(module(operand)), binary(lambda u, b: np.abs(b) * np.sign(u)), OPERAND
    ),
    "Maximum": Oracle(lambda operand: m.Maximum(module(operand)), binary(lambda u, b: np.where(u > b, u, b)), OPERAND),
    "Minimum": Oracle(lambda operand: m.Minimum(module(operand)), binary(lambda u, b: np.where(u < b, u, b)), OPERAND),
    "Clip": Oracle(lambda pair: m.Clip(*map(bound, pair)), clipped, {"pair": bounds}),
    "MirroredClip": Oracle(
        lambda operand: m.MirroredClip(module(operand)), binary(lambda u, b: np.minimum(np.maximum(u, -b), b)), OPERAND
    ),
    "Threshold": Oracle(
        lambda operand, value, update_above: m.Threshold(module(operand), module(value), update_above),
        threshold,
        {**OPERAND, "value": operands, "update_above": flags},
    ),
    "AddMagnitude": Oracle(
        lambda operand, add_to_zero: m.AddMagnitude(module(operand), add_to_zero),
        add_magnitude_rule,
        {**OPERAND, "add_to_zero": flags},
    ),
    "GramSchimdt": Oracle(lambda operand: m.GramSchimdt(module(operand)), binary(orthogonal), OPERAND, rtol=1e-7),
}


# ------------------------------------------------------------------ norms


def size(x: Array, ord: Any) -> float:
    """How large the elements of x are, from the definitions."""
    x = np.abs(x) if ord not in ("std", "var", "sum") else x
    if ord == "sum":
        return float(x.sum())
    if ord == "mad":
        return float(x.sum() / x.size)
    if ord in ("std", "var"):
        variance = x.var(ddof=1) if x.size > 1 else 0.0
        return float(math.sqrt(variance) if ord == "std" else variance)
    p = {"l0": 0, "l1": 1, "l2": 2, "l3": 3, "l4": 4, "linf": math.inf}.get(ord, ord)
    if p == 0:
        return float((x > 0).sum())
    return float(x.max() if p == math.inf else (x**p).sum() ** (1 / p))


def sizes(row: list[Array], ord: Any, tensorwise: bool) -> list[float]:
    """The size of each tensor, or that of all of them for each."""
    whole = [np.concatenate([x.ravel() for x in row])] * len(row)
    return [size(x, ord) for x in (row if tensorwise else whole)]


@quiet
def grafted(run: Sequence[Step], operand: str, tensorwise: bool, ord: Any, eps: float, outward: bool) -> Values:
    """Direction and length from different sources: `outward` takes the direction from the operand."""
    out = []
    for step, b in zip(run, values(run, operand), strict=True):
        direction, magnitude = (b, step.u) if outward else (step.u, b)
        have, want = sizes(direction, ord, tensorwise), sizes(magnitude, ord, tensorwise)
        out.append([np.asarray(d * w / max(h, eps)) for d, h, w in zip(direction, have, want, strict=True)])
    return out


@quiet
def by_norm(run: Sequence[Step], pair: tuple[Any, str], tensorwise: bool, ord: Any, divide: bool) -> Values:
    out = []
    for a, n in zip(values(run, pair[0]), values(run, pair[1]), strict=True):
        length = sizes(n, ord, tensorwise)
        out.append([np.asarray((x / w if w else 0 * x) if divide else x * w) for x, w in zip(a, length, strict=True)])
    return out


orders = st.sampled_from([1, 2, 3, 2.5, math.inf, "mad", "std", "var", "sum", "l0", "l1", "l2", "l3", "l4", "linf"])
GRAFT = {"operand": names, "tensorwise": flags, "ord": orders, "eps": st.floats(1e-8, 1.0)}
NORM = {"pair": st.tuples(operands, names), "tensorwise": flags, "ord": orders}

NORMS: dict[str, Oracle] = {
    "GraftInputToOutput": Oracle(
        lambda operand, **h: m.GraftInputToOutput(module(operand), **h),
        functools.partial(grafted, outward=False),
        GRAFT,
        1e-8,
    ),
    "GraftOutputToInput": Oracle(
        lambda operand, **h: m.GraftOutputToInput(module(operand), **h),
        functools.partial(grafted, outward=True),
        GRAFT,
        1e-8,
    ),
    "MultiplyByModuleNorm": Oracle(
        lambda pair, **h: m.MultiplyByModuleNorm(*map(module, pair), **h),
        functools.partial(by_norm, divide=False),
        NORM,
    ),
    "DivideByModuleNorm": Oracle(
        lambda pair, **h: m.DivideByModuleNorm(*map(module, pair), **h),
        functools.partial(by_norm, divide=True),
        NORM,
        1e-8,
    ),
}


# ------------------------------------------------------------------ several operands

PAIR = {"pair": pairs}
INPUTS = {"inputs": lists}
weighted = lists.flatmap(lambda x: st.tuples(st.just(x), st.lists(numbers, min_size=len(x), max_size=len(x))))


@quiet
def weighted_sum(run: Sequence[Step], pair: tuple[list[Any], list[float]], mean: bool) -> Values:
    inputs, weights = pair
    total: Values = [[np.zeros_like(u) for u in step.u] for step in run]
    for operand, w in zip(inputs, weights, strict=True):
        for row, v in zip(total, values(run, operand), strict=True):
            row[:] = [np.asarray(x + w * y / (len(inputs) if mean else 1)) for x, y in zip(row, v, strict=True)]
    return total


def lower_median(xs: list[Array]) -> Array:
    return np.sort(np.stack(xs), axis=0)[(len(xs) - 1) // 2]


MULTI: dict[str, Oracle] = {
    "SubModules": Oracle(
        lambda pair, alpha: m.SubModules(*map(module, pair), alpha),
        multi(lambda a, b, alpha: a - alpha * b),
        {**PAIR, "alpha": numbers},
    ),
    "DivModules": Oracle(
        lambda pair, other_first: m.DivModules(*map(module, pair), other_first),
        multi(lambda a, b, other_first: a / b),
        {**PAIR, "other_first": flags},
    ),
    "PowModules": Oracle(lambda pair: m.PowModules(*map(module, pair)), multi(np.power), PAIR),
    "LerpModules": Oracle(
        lambda pair, weight: m.LerpModules(*map(module, pair), weight),
        multi(lambda a, b, weight: (1 - weight) * a + weight * b),
        {**PAIR, "weight": st.floats(-0.5, 1.5)},
    ),
    "ClipModules": Oracle(
        lambda source, pair: m.ClipModules(module(source), *map(bound, pair)),
        clipped,
        {"source": names, "pair": bounds},
    ),
    "Sum": Oracle(lambda inputs: m.Sum(*map(module, inputs)), reduce(lambda xs: np.sum(xs, axis=0)), INPUTS),
    "Mean": Oracle(lambda inputs: m.Mean(*map(module, inputs)), reduce(lambda xs: np.mean(xs, axis=0)), INPUTS),
    "Prod": Oracle(lambda inputs: m.Prod(*map(module, inputs)), reduce(lambda xs: np.prod(xs, axis=0)), INPUTS),
    "Median": Oracle(lambda inputs: m.Median(*map(module, inputs)), reduce(lower_median), INPUTS),
    "MaximumModules": Oracle(
        lambda inputs: m.MaximumModules(*map(module, inputs)), reduce(lambda xs: np.max(xs, axis=0)), INPUTS
    ),
    "MinimumModules": Oracle(
        lambda inputs: m.MinimumModules(*map(module, inputs)), reduce(lambda xs: np.min(xs, axis=0)), INPUTS
    ),
    "WeightedSum": Oracle(
        lambda pair: m.WeightedSum(*map(module, pair[0]), weights=pair[1]),
        functools.partial(weighted_sum, mean=False),
        {"pair": weighted},
    ),
    "WeightedMean": Oracle(
        lambda pair: m.WeightedMean(*map(module, pair[0]), weights=pair[1]),
        functools.partial(weighted_sum, mean=True),
        {"pair": weighted},
    ),
}


# ------------------------------------------------------------------ running sums, extrema and squares


def accumulated_sum(us: list[Array], decay: float) -> list[Array]:
    """From the definition: a direction k steps old has the weight (1-δ)^k."""
    return [np.asarray(sum(us[j] * (1 - decay) ** (k - j) for j in range(k + 1))) for k in range(len(us))]


def accumulated_mean(us: list[Array], decay: float) -> list[Array]:
    ages = [sum((1 - decay) ** age for age in range(k + 1)) for k in range(len(us))]
    return [np.asarray(s / n) for s, n in zip(accumulated_sum(us, decay), ages, strict=True)]


def folded(f: Callable[[Array, Array], Array]) -> Callable[..., list[Array]]:
    """m = f((1-δ) m, u), from the first direction on."""

    def rule(us: list[Array], decay: float) -> list[Array]:
        out = [us[0]]
        for u in us[1:]:
            out.append(np.asarray(f(out[-1] * (1 - decay), u)))
        return out

    return rule


def running_mean(xs: list[Array], beta: float) -> list[Array]:
    """The exponential mean as the weighted sum that it is."""
    return [np.asarray(sum((1 - beta) * beta ** (k - j) * xs[j] for j in range(k + 1))) for k in range(len(xs))]


def squares(
    us: list[Array],
    beta: float,
    pow: float,
    amsgrad: bool = False,
    debiased: bool = False,
    root: bool = False,
    centred: bool = False,
) -> list[Array]:
    v = running_mean([np.abs(u) ** pow for u in us], beta)
    if centred:
        v = [x - y**2 for x, y in zip(v, running_mean(us, beta), strict=True)]
    if amsgrad:
        v = [np.asarray(np.maximum(0.0, np.max(v[: k + 1], axis=0))) for k in range(len(v))]
    if root:
        v = [np.maximum(x, 0.0) ** (1 / pow) for x in v]
    if debiased:
        v = [x / (1 - beta ** (k + 1)) ** (1 / pow) for k, x in enumerate(v)]
    return v


def debiased(
    us: list[Array], beta1: float | None = None, beta2: float | None = None, alpha: float = 1.0, pow: float = 2.0
) -> list[Array]:
    """The bias corrections from the sums of the weights."""
    out = []
    for k, u in enumerate(us):
        factor = alpha
        if beta1 is not None:
            factor /= sum((1 - beta1) * beta1**j for j in range(k + 1))
        if beta2 is not None:
            factor *= sum((1 - beta2) * beta2**j for j in range(k + 1)) ** (1 / pow)
        out.append(np.asarray(u * factor))
    return out


def debiased_root(us: list[Array], beta: float, pow: float) -> list[Array]:
    return [np.asarray(u / (1 - beta ** (k + 1)) ** (1 / pow)) for k, u in enumerate(us)]


DECAY = {"decay": st.one_of(st.just(0), st.floats(1e-6, 0.9))}
SQUARES = {"beta": decays, "amsgrad": flags, "pow": powers}
CENTRED = {"beta": st.floats(0.05, 0.99), "amsgrad": flags, "pow": powers}
optional_decays = st.one_of(st.none(), decays)

RUNNING: dict[str, Oracle] = {
    "AccumulateSum": Oracle(m.AccumulateSum, recurrence(accumulated_sum), DECAY),
    "AccumulateMean": Oracle(m.AccumulateMean, recurrence(accumulated_mean), DECAY),
    "AccumulateProduct": Oracle(m.AccumulateProduct, recurrence(folded(np.multiply)), DECAY),
    "AccumulateMaximum": Oracle(m.AccumulateMaximum, recurrence(folded(np.maximum)), DECAY),
    "AccumulateMinimum": Oracle(m.AccumulateMinimum, recurrence(folded(np.minimum)), DECAY),
    "EMASquared": Oracle(m.EMASquared, recurrence(squares), SQUARES),
    "SqrtEMASquared": Oracle(
        m.SqrtEMASquared, recurrence(functools.partial(squares, root=True)), {**SQUARES, "debiased": flags}
    ),
    "CenteredEMASquared": Oracle(
        m.CenteredEMASquared, recurrence(functools.partial(squares, centred=True)), CENTRED, 1e-8
    ),
    "CenteredSqrtEMASquared": Oracle(
        m.CenteredSqrtEMASquared,
        recurrence(functools.partial(squares, centred=True, root=True)),
        {**CENTRED, "debiased": flags},
        1e-7,
    ),
    "Debias": Oracle(
        m.Debias,
        recurrence(debiased),
        {"beta1": optional_decays, "beta2": optional_decays, "alpha": numbers, "pow": powers},
    ),
    "Debias2": Oracle(
        m.Debias2,
        recurrence(debiased_root),
        {"beta": decays, "pow": powers},
    ),
}


# ------------------------------------------------------------------ sources, and modules that leave the direction alone


def from_params(f: Callable[..., Array]) -> Callable[..., Values]:
    return lambda run, **h: [[np.asarray(f(p, **h)) for p in step.p] for step in run]


SOURCES: dict[str, Oracle] = {
    "Identity": Oracle(lambda: m.Identity(1, key="x"), each(lambda u: u)),
    "Clone": Oracle(m.Clone, each(lambda u: u)),
    "Grad": Oracle(lambda: tz.Chain(m.Sign(), m.Grad()), each(lambda u: u)),
    "UpdateToNone": Oracle(
        lambda c: tz.Chain(m.Mul(c), m.UpdateToNone(), m.Add(c)), each(lambda u, c: u + c), {"c": factors}
    ),
    "Params": Oracle(m.Params, from_params(lambda p: p)),
    "Zeros": Oracle(m.Zeros, from_params(lambda p: 0 * p)),
    "Ones": Oracle(m.Ones, from_params(lambda p: 0 * p + 1)),
    "Fill": Oracle(m.Fill, from_params(lambda p, value: 0 * p + value), {"value": numbers}),
}

ORACLES: dict[str, Oracle] = {**FUNCTIONS, **BINARY, **NORMS, **MULTI, **RUNNING, **SOURCES}
