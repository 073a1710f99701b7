"""Smooth functions with gradient and Hessian in NumPy, for statements of second-order rules."""

from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

Array = np.ndarray[Any, Any]


class Quartic(NamedTuple):
    """f(x) = ½xᵀAx - bᵀx + ¼Σcx⁴ on five numbers, for torch split into a 2 × 2 matrix and one number."""

    A: Array
    b: Array
    c: float

    def value(self, x: Array) -> float:
        return float(0.5 * x @ self.A @ x - self.b @ x + 0.25 * self.c * (x**4).sum())

    def grad(self, x: Array) -> Array:
        return self.A @ x - self.b + self.c * x**3

    def hessian(self, x: Array) -> Array:
        return self.A + np.diag(3 * self.c * x**2)

    def __call__(self, params: dict[str, Tensor]) -> Tensor:
        x = torch.cat([params["a"].reshape(-1), params["b"].reshape(-1)])
        A, b = torch.from_numpy(self.A), torch.from_numpy(self.b)
        return 0.5 * x @ A @ x - b @ x + 0.25 * self.c * (x**4).sum()


def pack(x: Array) -> dict[str, Tensor]:
    """A vector as parameters."""
    t = torch.from_numpy(np.array(x))
    return {"a": t[:4].reshape(2, 2), "b": t[4].clone()}


def unpack(params: dict[str, Tensor]) -> Array:
    """Parameters as a vector."""
    return torch.cat([params["a"].reshape(-1), params["b"].reshape(-1)]).numpy()


@st.composite
def quartics(draw: Any, definite: bool = True) -> tuple[Quartic, Array]:
    """A function and a point to start from; convex if `definite`."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    Q = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    low = 0.3 if definite else -3.0
    A = Q @ np.diag(rng.uniform(low, 4.0, 5)) @ Q.T
    c = draw(st.sampled_from([0.0, 0.5, 2.0]))
    return Quartic((A + A.T) / 2, rng.normal(size=5), c), rng.normal(size=5)


def run(module: Any, problem: Any, x: Array, steps: int) -> list[Array]:
    """All points of a run of a module."""
    params, state, out = pack(x), module.init(pack(x)), []
    for _ in range(steps):
        params, state = module(params, state, problem)
        out.append(unpack(params))
    return out
