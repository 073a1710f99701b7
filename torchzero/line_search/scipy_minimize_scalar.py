"""ScipyMinimizeScalar: scipy.optimize.minimize_scalar along the update."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.hyper import static
from torchzero.line_search.base import Found, Line, LineSearch


class ScipyMinimizeScalarMemory(NamedTuple):
    """What ScipyMinimizeScalar keeps."""

    a: Tensor  # ()            the last step size
    known: Tensor  # () bool   whether there was one


class ScipyMinimizeScalar(LineSearch):
    r"""Minimise the loss along the update by `scipy.optimize.minimize_scalar`.

    $$ a_t = \arg\min_a φ(a) $$

    The result may be negative. Where it is not finite, or φ(a) is not finite or above φ(0), the step is zero. This runs
    foreign code: it cannot be vmapped, differentiated or compiled.

    Args:
        method: "brent", "golden", "bounded", or None for what scipy chooses.
        maxiter: the most iterations of scipy's, or None.
        bracket: two or three step sizes, or None. For "brent" and "golden".
        bounds: two step sizes, or None. For "bounded".
        tol: scipy's tolerance, or None.
        prev_init: the last step size takes the last place of the bracket.
        options: further options of scipy's: a dict, or None.

    Raises:
        ImportError: without scipy.
        ValueError: for an unknown method.

    >>> import torch, torchzero as tz
    >>> search = tz.m.ScipyMinimizeScalar()
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0].abs() < 1e-6
    tensor([True])

    Reference: Brent 1973, Algorithms for minimization without derivatives; scipy.optimize.minimize_scalar.
    """

    needs = frozenset({"objective", "value"})
    host_side = True

    method: str | None = static(None, choices=("brent", "golden", "bounded"))
    maxiter: int | None = static(None, low=1, integer=True)
    bracket: Sequence[float] | None = static(None)
    bounds: Sequence[float] | None = static(None)
    tol: float | None = static(None, low=0)
    prev_init: bool = static(False)
    options: Mapping[str, Any] | None = static(None)

    def recall(self, like: Tensor) -> ScipyMinimizeScalarMemory:
        return ScipyMinimizeScalarMemory(torch.zeros_like(like), torch.zeros_like(like, dtype=torch.bool))

    def search(self, line: Line, memory: ScipyMinimizeScalarMemory) -> tuple[Found, ScipyMinimizeScalarMemory]:
        import numpy as np
        from scipy.optimize import minimize_scalar

        calls = 0

        def value(a: float) -> float:
            nonlocal calls
            calls += 1
            f = float(line.value(a))
            return f if math.isfinite(f) else math.inf

        options = dict(self.options or {}) | ({} if self.maxiter is None else {"maxiter": self.maxiter})
        bracket = self.bracket
        if self.prev_init and bool(memory.known):
            last = float(memory.a)
            bracket = (*bracket[:-1], last) if bracket is not None else (0.0, last)
        with np.errstate(all="ignore"):  # its parabolas go through trials that are not finite
            result: Any = minimize_scalar(
                value, bracket=bracket, bounds=self.bounds, method=self.method, tol=self.tol, options=options
            )
        a, f = line.number(float(result.x)), line.number(float(result.fun))
        success = torch.isfinite(a) & torch.isfinite(f) & (f <= line.f0)
        found = Found(a, f, (), success, line.count(calls))
        known = success & (a != 0)
        return found, ScipyMinimizeScalarMemory(torch.where(known, a, line.number(memory.a)), memory.known | known)
