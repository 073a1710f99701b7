"""What theory says of other coordinates and of quadratics: of the methods of which it is true, and of no others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz

N = 3
seeds = st.integers(0, 2**32 - 1)
Function = Callable[[Tensor], Tensor]


def f(x: Tensor) -> Tensor:
    bent = 1.5 * (x[0] - 1) ** 2 + 0.7 * (x[1] - x[0] ** 2) ** 2 + 0.3 * x[2] ** 4 + 0.5 * x[2] ** 2
    return bent + 0.4 * x[0] * x[2] + torch.log1p(x[1] ** 2)


def convex(x: Tensor) -> Tensor:
    return ((x - 0.5) ** 2).sum() + 0.1 * (x**4).sum() + 0.2 * torch.cosh(x[0] - x[1]) + 0.3 * (x[1] + x[2]) ** 2


def residuals(x: Tensor) -> Tensor:
    return torch.stack([x[0] - 1, 2 * (x[1] - x[0] ** 2), x[2] + 0.3 * x[0], torch.sin(x[1]) + 0.2 * x[2]])


def coordinates(seed: int, how: str = "any") -> tuple[Tensor, Tensor, Tensor]:
    """x = Az + b and a point z: A regular, "orthogonal" or "diagonal"."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(N, N))
    U, s, Vt = np.linalg.svd(A)
    A = U @ np.diag(np.clip(s, 0.5, 2.0)) @ Vt
    A = {"any": A, "orthogonal": U @ Vt, "diagonal": np.diag(np.exp(rng.uniform(-1, 1, N)))}[how]
    return torch.from_numpy(A), torch.from_numpy(rng.normal(size=N)), torch.from_numpy(rng.normal(size=N))


def path(opt: tz.Chain, x: Tensor, fn: Function, steps: int, begun: Callable[[Any], Any] = lambda s: s) -> Tensor:
    state = begun(opt.init(x))
    points = []
    for _ in range(steps):
        x, state = opt(x, state, fn)
        points.append(x)
    return torch.stack(points)


def apart(make: Callable[[], tz.Chain], seed: int, how: str, steps: int, fn: Function, begun: Any = None) -> float:
    """How far apart the paths in two coordinate systems are, seen in one."""
    A, b, z = coordinates(seed, how)
    before = path(make(), A @ z + b, fn, steps)
    after = path(make(), z, lambda z: fn(A @ z + b), steps, (lambda s: begun(s, A)) if begun else lambda s: s)
    return ((after @ A.mT + b) - before).abs().max().item() / (1 + before.abs().max().item())


AFFINE = [
    "BFGS",
    "DFP",
    "FletcherVMM",
    "Horisho",
    "McCormick",
    "NewSSM",
    "Pearson",
    "SR1",
    "SSBFGS",
    "SSBroyden",
    "SSVM",
    "ShorR",
]
NOT_AFFINE = ["BroydenGood", "BroydenBad", "Greenstadt1", "Greenstadt2", "ICUM", "PSB", "DiagonalBFGS"]


def same_metric(state: Any, A: Tensor) -> Any:
    """The identity of x in the coordinates z: H = A⁻¹A⁻ᵀ, B = AᵀA."""
    (first, own), *_ = state.items()
    inverse, B = torch.linalg.inv(A), A.mT @ A
    H = inverse @ inverse.mT
    if own.P.ndim == 1:
        return {**state, first: own._replace(P=H.diagonal().clone())}
    P = H if first.split(".")[1] != "PSB" else B
    return {**state, first: own._replace(P=P, **({} if isinstance(own.R, tuple) else {"R": B}))}


@pytest.mark.parametrize("name", AFFINE)
@settings(max_examples=8)
@given(seed=seeds)
def test_the_convex_class_and_its_kin_do_not_see_a_change_of_coordinates(name: str, seed: int) -> None:
    """When the first matrix changes with them; all line searches see the same."""
    make = lambda: tz.Chain(getattr(tz.m, name)(init_scale=1.0), tz.m.StrongWolfe(c2=0.4))  # noqa: E731
    assert apart(make, seed, "any", 4, f, same_metric) < 1e-6


@pytest.mark.parametrize("name", NOT_AFFINE)
def test_the_others_do(name: str) -> None:
    make = lambda: tz.Chain(getattr(tz.m, name)(init_scale=1.0), tz.m.StrongWolfe(c2=0.4))  # noqa: E731
    assert max(apart(make, seed, "any", 5, f, same_metric) for seed in range(5)) > 1e-3


@pytest.mark.parametrize(
    ("make", "fn"),
    [
        (lambda: tz.Chain(tz.m.Newton(), tz.m.Backtracking()), convex),
        (lambda: tz.Chain(tz.m.Newton(precompute_inverse=True), tz.m.LR(0.5)), convex),
        (lambda: tz.Chain(tz.m.NewtonCG(tol=0.0, reg=0.0, maxiter=8), tz.m.Backtracking()), convex),
        (lambda: tz.Chain(tz.m.GaussNewton(reg=0.0), tz.m.Backtracking()), residuals),
        (lambda: tz.Chain(tz.m.TwoPointNewton(), tz.m.LR(0.2)), convex),
        (lambda: tz.Chain(tz.m.SixthOrder3P(), tz.m.LR(0.2)), convex),
    ],
    ids=["Newton", "inverse", "NewtonCG", "GaussNewton", "TwoPointNewton", "SixthOrder3P"],
)
@settings(max_examples=8)
@given(seed=seeds)
def test_newtons_method_does_not_see_a_change_of_coordinates(make: Any, fn: Function, seed: int) -> None:
    assert apart(make, seed, "any", 2, fn) < 1e-5


@settings(max_examples=8)
@given(seed=seeds, y=st.sampled_from([0.0, 1.0]))
def test_marquardts_damping_does_not_see_units(seed: int, y: float) -> None:
    """Levenberg's does."""
    make = lambda: tz.Chain(tz.m.LevenbergMarquardt(tz.m.GaussNewton(reg=0.0), y=y, init=0.3))  # noqa: E731
    assert (apart(make, seed, "diagonal", 4, residuals) < 1e-6) == (y == 1)


TURNED: dict[str, Callable[[], tz.Chain]] = {
    **{
        name: lambda name=name: tz.Chain(getattr(tz.m, name)(), tz.m.StrongWolfe(c2=0.4))
        for name in (*AFFINE[:7], "BroydenGood", "BroydenBad", "Greenstadt1", "PSB", "LSR1")
    },
    **{
        name: lambda name=name: tz.Chain(getattr(tz.m, name)(), tz.m.StrongWolfe(c2=0.1))
        for name in ("FletcherReeves", "PolakRibiere", "HagerZhang", "DaiYuan", "DYHS", "LiuStorey")
    },
    **{
        name: lambda name=name: tz.Chain(getattr(tz.m, name)(tz.m.Newton()))
        for name in ("LevenbergMarquardt", "TrustCG", "Dogleg", "CubicRegularization")
    },
    "LBFGS": lambda: tz.Chain(tz.m.LBFGS(scale_first=False), tz.m.StrongWolfe(c2=0.4)),  # it measures ‖u‖₁
    "SAM": lambda: tz.Chain(tz.m.SAM(rho=0.1), tz.m.LR(0.05)),
    "Newton, absolute": lambda: tz.Chain(tz.m.Newton(eigval_fn=torch.abs), tz.m.LR(0.5)),
}


@pytest.mark.parametrize("name", TURNED)
@settings(max_examples=5)
@given(seed=seeds)
def test_nothing_depends_on_how_the_axes_lie(name: str, seed: int) -> None:
    assert apart(TURNED[name], seed, "orthogonal", 3, f) < 1e-5


# ---------------------------------------------------------------------- quadratics


def quadratic(seed: int, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """A positive matrix with eigenvalues in [1, 10], a right-hand side and a point."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    A = Q @ np.diag(rng.uniform(1, 10, n)) @ Q.T
    return torch.from_numpy(A), torch.from_numpy(rng.normal(size=n)), torch.from_numpy(rng.normal(size=n))


def left(opt: tz.Module, problem: tuple[Tensor, Tensor, Tensor], steps: int, exact: bool) -> float:
    """The gradient's norm after some steps, with exact line searches or with none."""
    A, b, x = problem
    state = opt.init(x)
    for _ in range(steps):
        g = A @ x - b
        if g.norm() < 1e-11:
            break
        state, var = opt.step(state, tz.Var(x, objective=lambda x: 0.5 * x @ A @ x - b @ x, grad=g, loss=x.sum()))
        d = var.update
        x = x - ((g @ d) / (d @ A @ d) if exact else 1.0) * d
    return (A @ x - b).norm().item()


CONJUGATE = [
    "BFGS",
    "DFP",
    "FletcherVMM",
    "Horisho",
    "SR1",
    "SSBFGS",
    "SSBroyden",
    "SSVM",
    "NewSSM",
    "ProjectedGradientMethod",
    "FletcherReeves",
    "PolakRibiere",
    "HestenesStiefel",
    "LiuStorey",
    "DaiYuan",
    "ConjugateDescent",
    "HagerZhang",
    "DYHS",
]


@pytest.mark.parametrize("name", CONJUGATE)
@settings(max_examples=6)
@given(seed=seeds, n=st.integers(1, 5))
@example(seed=0, n=6)
def test_conjugate_directions_end_in_n_exact_line_searches(name: str, seed: int, n: int) -> None:
    make = getattr(tz.m, name)
    opt = make(init_scale=1.0) if "init_scale" in make().hypers() else make()
    assert left(opt, quadratic(seed, n), n, exact=True) < 1e-6


@pytest.mark.parametrize("name", ["LBFGS", "LSR1"])
@settings(max_examples=6)
@given(seed=seeds, n=st.integers(1, 5))
def test_limited_memory_ends_as_soon_while_it_forgets_nothing(name: str, seed: int, n: int) -> None:
    assert left(getattr(tz.m, name)(history_size=n), quadratic(seed, n), n + 1, exact=True) < 1e-6


@settings(max_examples=10)
@given(seed=seeds, n=st.integers(1, 4))
def test_sr1_needs_no_line_search(seed: int, n: int) -> None:
    """Nocedal & Wright, theorem 6.1: after n independent steps H is the inverse."""
    assert left(tz.m.SR1(init_scale=10.0), quadratic(seed, n), n + 1, exact=False) < 1e-4


@pytest.mark.parametrize("name", ["BroydenGood", "BroydenBad"])
@settings(max_examples=10)
@given(seed=seeds, n=st.integers(1, 4))
def test_broydens_methods_solve_a_linear_system_in_2n_steps(name: str, seed: int, n: int) -> None:
    """Gay 1979, https://doi.org/10.1137/0716047"""
    assert left(getattr(tz.m, name)(init_scale=5.0), quadratic(seed, n), 2 * n, exact=False) < 1e-4


@pytest.mark.parametrize("make", [tz.m.Newton, tz.m.NewtonCG, tz.m.TwoPointNewton, tz.m.SixthOrder5P, tz.m.ExactNewton])
@settings(max_examples=5)
@given(seed=seeds, n=st.integers(1, 5))
def test_newtons_method_ends_in_one_step(make: Any, seed: int, n: int) -> None:
    assert left(make(), quadratic(seed, n), 1, exact=False) < 1e-6
