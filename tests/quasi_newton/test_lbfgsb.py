"""LBFGSB: the Cauchy point and the subspace step by brute force, feasibility, and SciPy's L-BFGS-B."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from torchzero.linalg.operators import CompactLBFGS
from torchzero.quasi_newton.lbfgsb import cauchy_point, subspace_minimiser

seeds = st.integers(0, 2**32 - 1)


def situation(seed: int, n: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor, CompactLBFGS]:
    """x between bounds, some of them infinite and some met, a gradient with a zero, and a model."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    lb, ub = x - rng.uniform(0, 1.5, size=n), x + rng.uniform(0, 1.5, size=n)
    lb[rng.random(n) < 0.2] = -np.inf
    ub[rng.random(n) < 0.2] = np.inf
    lb[0], g = x[0], rng.normal(size=n)
    g[1] *= rng.integers(2)
    A = rng.normal(size=(n, n))
    S = rng.normal(size=(3, n))
    Y = S @ (A @ A.T + 0.2 * np.eye(n))
    rows = [torch.from_numpy(a) for a in (S, Y)]
    B = CompactLBFGS.from_pairs(*rows, torch.tensor(rng.integers(4)), torch.tensor(rng.uniform(0.3, 3)).double())
    return *(torch.from_numpy(a) for a in (x, g, lb, ub)), B


@settings(max_examples=40)
@given(seed=seeds)
def test_cauchy_point_is_the_first_minimiser_along_the_path(seed: int) -> None:
    x, g, lb, ub, B = situation(seed)
    dense = B.to_dense().numpy()

    def model(t: float) -> float:
        z = np.clip((x - t * g).numpy(), lb.numpy(), ub.numpy()) - x.numpy()
        return float(g.numpy() @ z + 0.5 * z @ dense @ z)

    breaks = [0.0, *sorted(float(t) for t in np.where(g > 0, x - lb, x - ub) / np.where(g == 0, np.nan, g) if t > 0)]
    ends = [t for t in breaks if math.isfinite(t)]
    best = ends[-1]
    for start, end in zip(ends, [*ends[1:], ends[-1] + 50.0], strict=True):
        a, b, c = (model(start + part * (end - start)) for part in (0, 0.5, 1))  # a parabola between two breaks
        slope, bend = (4 * b - 3 * a - c) / (end - start), 4 * (a - 2 * b + c) / (end - start) ** 2
        if slope >= -1e-10 or (bend > 0 and -slope / bend < end - start):
            best = start + max(0.0, -slope / bend if bend > 0 else 0.0)
            break
    path = np.clip((x - best * g).numpy(), lb.numpy(), ub.numpy())
    np.testing.assert_allclose(cauchy_point(x, g, lb, ub, B).numpy(), path, atol=1e-5, rtol=1e-5)


@settings(max_examples=40)
@given(seed=seeds)
def test_subspace_step_is_feasible_and_no_worse_than_the_cauchy_point(seed: int) -> None:
    x, g, lb, ub, B = situation(seed)
    dense = B.to_dense()
    cauchy = cauchy_point(x, g, lb, ub, B)
    end = subspace_minimiser(x, g, lb, ub, B, cauchy)
    assert ((end >= lb) & (end <= ub)).all()
    assert g @ (end - x) <= 1e-12
    free = (cauchy > lb) & (cauchy < ub)
    exact = cauchy.clone()
    gradient = (g + dense @ (cauchy - x))[free]
    exact[free] = cauchy[free] - torch.linalg.solve(dense[free][:, free], gradient)
    if ((exact >= lb) & (exact <= ub)).all():
        torch.testing.assert_close(end, exact, rtol=1e-7, atol=1e-8)


def test_without_bounds_it_is_lbfgs() -> None:
    rng = np.random.default_rng(0)
    mine, theirs = tz.m.LBFGSB(), tz.m.LBFGS()
    a, b = mine.init(torch.zeros(5).double()), theirs.init(torch.zeros(5).double())
    for _ in range(6):
        x = torch.from_numpy(rng.normal(size=5))
        var = tz.Var(x, grad=x * torch.arange(1, 6))
        (a, u), (b, v) = mine.step(a, var), theirs.step(b, var)
        torch.testing.assert_close(u.update, v.update, rtol=1e-8, atol=1e-10)


def problem(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 12))
    A = rng.normal(size=(n, n))
    lb = -rng.uniform(0, 1, size=n)
    ub = np.where(rng.random(n) < 0.3, np.inf, rng.uniform(0, 1, size=n))
    arrays = A @ A.T + 0.1 * np.eye(n), 3 * rng.normal(size=n), lb, ub, np.clip(rng.normal(size=n), lb, ub)
    A_, b, lower, upper, x = (torch.from_numpy(a) for a in arrays)
    return A_, b, lower, upper, x


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_what_scipy_finds(seed: int) -> None:
    A, b, lb, ub, x = problem(seed)

    def f(x: Tensor) -> Tensor:
        return 0.5 * x @ A @ x - b @ x + 0.1 * (x**4).sum()

    def both(x: np.ndarray) -> tuple[float, np.ndarray]:
        slope, value = torch.func.grad_and_value(f)(torch.from_numpy(x))
        return value.item(), slope.numpy()

    found = scipy.optimize.minimize(
        both, x.numpy(), jac=True, method="L-BFGS-B", bounds=scipy.optimize.Bounds(lb, ub), options={"gtol": 1e-9}
    )
    opt = tz.m.LBFGSB(lb, ub)
    state = opt.init(x)
    for _ in range(80):
        state, var = opt.step(state, tz.Var(x, objective=f))
        step, slope = 1.0, var.grad @ var.update
        while f(x - step * var.update) > f(x) - 1e-4 * step * slope and step > 1e-8:
            step /= 2
        x = x - step * var.update
        assert ((x >= lb - 1e-14) & (x <= ub + 1e-14)).all()
    assert f(x).item() <= found.fun + 1e-8 * (1 + abs(found.fun))


def test_bounds_are_numbers_or_trees_like_the_parameters() -> None:
    params = {"a": torch.zeros(2), "b": torch.zeros(3)}
    grads = {"a": torch.tensor([-9.0, 9.0]), "b": torch.tensor([9.0, -9.0, 0.0])}
    wide = torch.tensor([-0.25, -0.5, -1.0])
    opt = tz.m.LBFGSB(lb={"a": -0.125, "b": wide}, ub=0.5, scale_first=False)
    _, var = opt.step(opt.init(params), tz.Var(params, grad=grads))
    end = tz.apply_update(var)
    assert end["a"].tolist() == [0.5, -0.125]
    assert end["b"].tolist() == [-0.25, 0.5, 0.0]


def test_parameters_out_of_bounds_are_led_back() -> None:
    opt = tz.m.LBFGSB(lb=0.0, ub=1.0)
    x = torch.tensor([-3.0, 0.5, 7.0])
    end = tz.apply_update(opt.step(opt.init(x), tz.Var(x, grad=torch.tensor([1.0, 0.0, -1.0])))[1])
    assert end.tolist() == [0.0, 0.5, 1.0]
