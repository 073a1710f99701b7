"""CubicRegularization: the global minimum of its model, whatever the signature of the curvature."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, quartics
from torchzero.linalg.operators import CompactLBFGS, CompactLSR1, Dense, Diagonal, LowRankShift, Operator
from torchzero.linalg.spectrum import spectrum
from torchzero.trust_region.cubic_regularization import minimise_cubic


def step(B: Operator, g: Array, radius: float, **options: object) -> Array:
    module = tz.m.CubicRegularization(tz.m.Newton(), eps=1e-12, **options)
    u = torch.from_numpy(g)
    prepared, _ = module.prepare(B, u, torch.zeros(()), None)
    return module.subproblem(B, u, torch.tensor(radius, dtype=torch.float64), prepared).numpy()


@settings(max_examples=60)
@given(case=quartics(definite=False), radius=st.floats(0.01, 20))
def test_the_step_is_the_global_minimum_of_the_model(case: tuple[Quartic, Array], radius: float) -> None:
    """Cartis, Gould & Toint, theorem 3.1: (B + σI)d = g with σ = ‖d‖/Δ and B + σI positive semidefinite."""
    f, x = case
    H, g = f.hessian(x), f.grad(x)
    d = step(Dense(torch.from_numpy(H)), g, radius, indefinite="global")
    sigma = np.linalg.norm(d) / radius
    np.testing.assert_allclose(H @ d + sigma * d, g, rtol=1e-6, atol=1e-7)
    assert np.linalg.eigvalsh(H)[0] + sigma >= -1e-8


@settings(max_examples=30)
@given(case=quartics(), radius=st.floats(0.01, 20))
def test_a_definite_model_has_one_minimum(case: tuple[Quartic, Array], radius: float) -> None:
    f, x = case
    B = Dense(torch.from_numpy(f.hessian(x)))
    a, b = (step(B, f.grad(x), radius, indefinite=how) for how in ("global", "newton"))
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("w", [0.0, 1e-30, 1e-18])
def test_the_hard_case_is_completed_along_the_lowest_eigenvector(w: float) -> None:
    values = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    sigma, d = minimise_cubic(
        values, torch.tensor([w, 1.0], dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    )
    torch.testing.assert_close(sigma.item(), 1.0)
    torch.testing.assert_close(d.norm().item(), 2.0)
    torch.testing.assert_close(d[1].item(), 1 / 3)


def operators() -> list[Operator]:
    rng = np.random.default_rng(0)
    S = torch.from_numpy(rng.normal(size=(3, 6)))
    A = torch.from_numpy(np.diag(rng.uniform(0.5, 3, 6)))
    count, scale = torch.tensor(2), torch.tensor(1.3, dtype=torch.float64)
    Q = torch.linalg.qr(torch.from_numpy(rng.normal(size=(6, 2))))[0]
    return [
        CompactLBFGS.from_pairs(S, S @ A, count, scale),
        CompactLSR1.from_pairs(S, S @ A - 2 * S, count, scale),
        Diagonal(torch.from_numpy(rng.normal(size=6))),
        LowRankShift(Q, torch.tensor([2.0, -3.0], dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)),
    ]


@pytest.mark.parametrize("B", operators(), ids=lambda B: type(B).__name__)
@pytest.mark.parametrize("how", ["global", "newton"])
def test_structured_models_are_solved_as_their_dense_matrices(B: Operator, how: str) -> None:
    g = np.random.default_rng(1).normal(size=6)
    mine, theirs = step(B, g, 0.7, indefinite=how), step(Dense(B.to_dense()), g, 0.7, indefinite=how)
    np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("B", operators(), ids=lambda B: type(B).__name__)
def test_a_spectrum_is_that_of_the_dense_matrix(B: Operator) -> None:
    parts, n = spectrum(B), 6
    x = torch.arange(1.0, n + 1, dtype=torch.float64)
    back = parts.combine(parts.values * parts.coefficients(x)) + parts.rest * parts.leftover(x)
    torch.testing.assert_close(back, B.to_dense() @ x)


def test_newtons_step_is_taken_where_it_helps() -> None:
    x = torch.tensor([3.0], dtype=torch.float64)
    module = tz.m.CubicRegularization(tz.m.Newton(), check_decrease=True)
    torch.testing.assert_close(module(x, module.init(x), lambda x: (x**2).sum())[0], torch.zeros_like(x))


@pytest.mark.parametrize(("how", "end"), [("newton", [0.086678, 2.884255]), ("global", [3.0, 2.0])])
def test_only_the_global_minimum_of_the_model_escapes_from_a_saddle_point(how: str, end: list[float]) -> None:
    """Himmelblau's function: f''(0.0867, 2.8843) has the eigenvalues -31.7 and 75.5."""

    def himmelblau(x: torch.Tensor) -> torch.Tensor:
        return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2

    opt, x = tz.m.CubicRegularization(tz.m.Newton(), indefinite=how), torch.tensor([0.5, 4.5], dtype=torch.float64)
    state = opt.init(x)
    for _ in range(12):
        x, state = opt(x, state, himmelblau)
    np.testing.assert_allclose(x.numpy(), end, atol=1e-5)
