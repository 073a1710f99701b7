"""NelderMead: scipy's simplex, iteration by iteration, with as many evaluations."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from torch import Tensor

import torchzero as tz

FUNCTIONS: dict[str, Any] = {
    "quadratic": lambda x: ((x - 1) ** 2 * (1 + np.arange(len(x)))).sum(),
    "rosenbrock": lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2).sum() + ((1 - x[:-1]) ** 2).sum() + 0 * x[0],
    "rough": lambda x: np.sin(300 * x).sum() + 0.1 * (x**2).sum(),  # contractions fail, vertices shrink
    "steps": lambda x: np.abs(x).sum() + 0.3 * np.sin(5 * x).sum(),
}


class ByNumbers(tz.Objective):
    def __init__(self, f: Any) -> None:
        self.f, self.calls = f, 0

    def value(self, params: Any) -> Tensor:
        self.calls += 1
        return torch.tensor(float(self.f(params.numpy())), dtype=torch.float64)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=8)
@given(seed=st.integers(0, 999), n=st.integers(1, 5), adaptive=st.booleans(), zero=st.booleans())
def test_the_simplex_is_that_of_scipy(name: str, seed: int, n: int, adaptive: bool, zero: bool) -> None:
    if (name == "rosenbrock" and n == 1) or (adaptive and n == 1):
        return
    f = FUNCTIONS[name]
    start = np.random.default_rng(seed).normal(size=n)
    start[0] = 0.0 if zero else start[0]
    opt, objective = tz.m.NelderMead(adaptive=adaptive), ByNumbers(f)
    x = torch.from_numpy(start.copy())
    state, spent = opt.init(x), 0
    for k in range(1, 16):  # rounding decides later on
        state, var = opt.step(state, tz.Var(x, objective=objective))
        spent += int(opt.evaluations(state))
        assert spent == objective.calls
        options = {"maxiter": k, "maxfev": 10**6, "xatol": 0.0, "fatol": 0.0, "adaptive": adaptive}
        if k in (1, 2, 5, 9, 15):
            with np.errstate(all="ignore"):
                theirs = optimize.minimize(f, start, method="Nelder-Mead", options=options)
            np.testing.assert_allclose(state.simplex, theirs.final_simplex[0], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(state.values, theirs.final_simplex[1], rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(tz.apply_update(var), theirs.x, rtol=1e-9, atol=1e-12)
            assert spent == theirs.nfev
        x = tz.apply_update(var)


def test_values_never_rise_and_a_failed_point_is_the_worst() -> None:
    def f(p: dict[str, Tensor]) -> Tensor:
        z = (p["a"] ** 2).sum() + (p["b"] - 1) ** 2
        return torch.where(p["b"] > 1.02, torch.full_like(z, torch.nan), z)

    p: Any = {"a": torch.tensor([1.0, -2.0], dtype=torch.float64), "b": torch.tensor(0.5, dtype=torch.float64)}
    opt, last = tz.m.NelderMead(), torch.inf
    state = opt.init(p)
    for _ in range(120):
        p, state = opt(p, state, f)
        assert f(p) <= last + 1e-12
        last = f(p).item()
    assert last < 1e-4


def test_one_point_is_asked_at_a_time() -> None:
    opt = tz.m.NelderMead()
    state = opt.init(torch.tensor([1.0, 0.0]))
    seen = []
    for _ in range(3):
        population, state = opt.ask(state)
        seen.append(population[0].tolist())
        state = opt.tell(state, population, (population**2).sum(1))
    np.testing.assert_allclose(seen, [[1.0, 0.0], [1.05, 0.0], [1.0, 0.00025]])
    assert not opt.unfinished(state)


def test_a_batch_of_them_ends_when_all_have() -> None:
    """Lanes take different numbers of evaluations in an iteration, and agree with themselves alone."""
    starts = torch.tensor([[-1.0, 1.0], [3.0, 2.0], [0.0, 0.5]], dtype=torch.float64)
    opt = tz.m.NelderMead()

    def rosenbrock(x: Tensor) -> Tensor:
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    def run(x: Tensor) -> Tensor:
        state = opt.init(x)
        for _ in range(60):
            x, state = opt(x, state, rosenbrock)
        return x

    torch.testing.assert_close(torch.vmap(run)(starts), torch.stack([run(x) for x in starts]))
