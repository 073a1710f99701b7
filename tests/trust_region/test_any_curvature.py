"""Every trust region over every module that models curvature: what steps promise, and dense oracles of models."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from tests import registry
from torchzero.linalg.operators import Dense, Operator

REGIONS: dict[str, Callable[[Any], tz.Module]] = {
    "LevenbergMarquardt": lambda m: tz.m.LevenbergMarquardt(m, y=0.5),
    "TrustCG": lambda m: tz.m.TrustCG(m),
    "Dogleg": lambda m: tz.m.Dogleg(m),
    "ExactTrustRegion": lambda m: tz.m.ExactTrustRegion(m),
    "CubicRegularization": lambda m: tz.m.CubicRegularization(m, indefinite="global"),
}
BOUNDED = ("TrustCG", "Dogleg", "ExactTrustRegion")


def f(p: list[Tensor]) -> Tensor:
    x, y = p
    valley = (1 - x[0]) ** 2 + 20 * (x[1] - x[0] ** 2) ** 2
    return valley + (y**4).sum() + 0.5 * ((y - x[0]) ** 2).sum() + 0.2 * torch.sin(3 * y).sum()


def start() -> list[Tensor]:
    return [torch.tensor([-1.2, 1.0], dtype=torch.float64), torch.tensor([[0.4, -0.7]], dtype=torch.float64)]


def models_curvature(make: Callable[[], tz.Module]) -> bool:
    module, p = make(), start()
    state = module.init(p)
    return module.operator(module.update(state, tz.Var(p, objective=f))) is not None


CURVATURE = {
    name: make
    for name, make, _ in registry.instances()
    if registry.entries()[name.split(".")[0]].family in ("quasi_newton", "second_order", "least_squares")
    and ("." not in name or name in ("Newton.1", "BFGS.1", "LBFGS.1", "SR1.1", "SubspaceNewton.2"))
    and models_curvature(make)
} | {
    "Online(LBFGS)": lambda: tz.m.Online(tz.m.LBFGS()),
    "RestartEvery(LSR1)": lambda: tz.m.RestartEvery(tz.m.LSR1(), 3),
    "BFGS of each": lambda: tz.m.BFGS(concat_params=False),
    "SSBFGS of each": lambda: tz.m.SSBFGS(concat_params=False),
}


def test_all_kinds_are_there() -> None:
    for name in ("BFGS", "LBFGS", "LSR1", "LBFGSB", "SSBroyden", "DiagonalBFGS", "SG2", "SPSA2", "PSB"):
        assert name in CURVATURE
    for name in ("Newton", "Newton.1", "ImprovedNewton", "InverseFreeNewton", "SubspaceNewton", "GaussNewton"):
        assert name in CURVATURE
    assert len(CURVATURE) > 40


def judge(region: str, opt: Any, before: Any, after: Any, p: list[Tensor], var: tz.Var, B: Tensor) -> None:
    """The step against the model as a dense matrix."""
    d = torch.cat([u.flatten() for u in var.update])
    u = torch.cat([g.flatten() for g in var.grad])
    f0, f1, radius = f(p), f(tz.apply_update(var)), before.own.radius
    assert torch.isfinite(d).all()
    assert f1 <= f0
    assert after.own.accepted == bool(d.any())
    if region in BOUNDED:
        assert d.norm() <= radius * (1 + 1e-9)
    if after.own.accepted and after.evaluations == 1 and B.abs().max() < 1e10:  # else it is all rounding
        predicted = u @ d - 0.5 * d @ B @ d
        rho, length = (f0 - f1) / predicted.clamp_min(1e-300), d.norm() if region in BOUNDED else radius
        if min(abs(rho - opt.rho_good), abs(rho - opt.rho_bad)) > 1e-6 and predicted.abs() > 1e-9 * f0:
            good = rho > opt.rho_good
            if opt.boundary_tol is not None:
                good = good & (1 - length / radius < opt.boundary_tol)
            new = torch.maximum(radius, length * opt.nplus) if good else radius
            new = length * opt.nminus if rho < opt.rho_bad else new
            torch.testing.assert_close(after.own.radius, new, rtol=1e-6, atol=0)


def well(M: Tensor) -> bool:
    """Whether a matrix can be solved with, to five digits."""
    return bool(torch.isfinite(M).all()) and bool(torch.linalg.cond(M) < 1e7)


def check_operator(B: Operator, D: Tensor) -> None:
    """Woodbury's and the others' ways against the dense matrix."""
    x = torch.linspace(-1, 1.3, len(D), dtype=torch.float64)
    size = D.abs().max().item()
    torch.testing.assert_close(B.matvec(x), D @ x, rtol=1e-6, atol=1e-7 * size)
    torch.testing.assert_close(B.diagonal(), D.diagonal(), rtol=1e-6, atol=1e-7 * size)
    for shift in (0.7 * torch.ones(()).double(), torch.tensor([0.5, 1.0, 2.0, 0.3], dtype=torch.float64)):
        M = D + torch.diag(shift + torch.zeros(len(D), dtype=torch.float64))
        if well(M):
            torch.testing.assert_close(M @ B.solve_shifted(x, shift), x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("name", sorted(CURVATURE))
def test_a_step_is_short_enough_goes_down_and_is_judged_by_its_model(name: str, region: str) -> None:
    opt: Any = REGIONS[region](CURVATURE[name]())
    p = start()
    state, B = opt.init(p), opt.operator(opt.init(p))
    D = B.to_dense()
    for _ in range(5):
        before, var = state, tz.Var(p, objective=f)
        state, var = opt.step(before, var)
        B = opt.operator(state)
        D = B.to_dense()
        judge(region, opt, before, state, p, var, D)
        p = tz.apply_update(var)
    if torch.isfinite(D).all():
        check_operator(B, D)
        u = torch.linspace(1, -2, 4, dtype=torch.float64)
        if well(D):
            steps = []
            for model in (B, Dense(D)):
                prepared, _ = opt.prepare(model, u, torch.zeros(()), lambda d: torch.zeros(()))
                steps.append(opt.subproblem(model, u, torch.tensor(0.6, dtype=torch.float64), prepared))
            torch.testing.assert_close(steps[0], steps[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("name", ["BFGS", "BFGS of each", "LBFGS", "LSR1", "SSBroyden", "Newton"])
def test_a_good_model_finds_the_minimum(name: str, region: str) -> None:
    opt, p = REGIONS[region](CURVATURE[name]()), start()
    state = opt.init(p)
    for _ in range(60):
        p, state = opt(p, state, f)
    assert all(g.abs().max() < 1e-4 for g in torch.func.grad(f)(p))


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("name", ["BFGS", "BFGS of each", "LBFGS", "LSR1", "Newton", "DiagonalSR1", "SubspaceNewton"])
def test_vmapped_is_looped_with_the_attempts_of_the_slowest(name: str, region: str) -> None:
    """The batched objective is called once for each attempt that the slowest lane makes."""
    opt = REGIONS[region](CURVATURE[name]())
    lanes = torch.tensor([[-1.2, 1.0, 0.4, -0.7], [3.0, -2.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.1]], dtype=torch.float64)
    calls = 0

    def counted(p: list[Tensor]) -> Tensor:
        nonlocal calls
        calls += 1
        return f(p)

    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        p = [x[:2], x[2:].reshape(1, 2)]
        state, tried = opt.init(p), []
        for _ in range(4):
            p, state = opt(p, state, counted)
            tried.append(state.evaluations)
        return torch.cat([v.flatten() for v in p]), torch.stack(tried)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batched, tried = torch.vmap(run)(lanes)
        together, calls = calls, 0
        looped = [run(x) for x in lanes]
    torch.testing.assert_close(batched, torch.stack([x for x, _ in looped]), rtol=1e-7, atol=1e-9)
    assert torch.equal(tried, torch.stack([t for _, t in looped]))
    others = calls - tried.sum().item()  # values, gradients and Hessians at x0: as many in every lane
    assert others % len(lanes) == 0
    assert together == others // len(lanes) + tried.amax(0).sum().item()
