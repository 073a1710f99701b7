"""The Nyström methods: exact where the sketch sees everything, and their own formulas where it does not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, pack, quartics, run
from torchzero.linalg.nystrom import nystrom


@settings(max_examples=20)
@given(case=quartics(), reg=st.floats(0.01, 1), seed=st.integers(0, 99), method=st.sampled_from(["qr", None]))
def test_sketch_and_solve_is_exact_at_full_rank(
    case: tuple[Quartic, Array], reg: float, seed: int, method: str | None
) -> None:
    f, x = case
    module = tz.m.NystromSketchAndSolve(rank=100, reg=reg, seed=seed, orthogonalize_method=method)
    d = x - run(module, f, x, 1)[0]
    np.testing.assert_allclose(d, np.linalg.solve(f.hessian(x) + reg * np.eye(5), f.grad(x)), rtol=1e-6, atol=1e-9)


@settings(max_examples=20)
@given(case=quartics(), k=st.integers(1, 4), seed=st.integers(0, 99))
def test_the_approximation_is_that_of_the_formula(case: tuple[Quartic, Array], k: int, seed: int) -> None:
    f, x = case
    A, omega = f.hessian(x), np.linalg.qr(np.random.default_rng(seed).normal(size=(5, k)))[0]
    L, Q, exists = nystrom(torch.from_numpy(omega), torch.from_numpy(A @ omega))
    wanted = A @ omega @ np.linalg.inv(omega.T @ A @ omega) @ omega.T @ A
    assert exists
    np.testing.assert_allclose((Q * L @ Q.mT).numpy(), wanted, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose((Q.mT @ Q).numpy(), np.eye(k), atol=1e-10)


@settings(max_examples=20)
@given(case=quartics(), k=st.integers(1, 5), reg=st.floats(1e-4, 1), seed=st.integers(0, 99))
def test_pcg_solves_the_system(case: tuple[Quartic, Array], k: int, reg: float, seed: int) -> None:
    f, x = case
    module = tz.m.NystromPCG(rank=k, reg=reg, seed=seed, maxiter=30)
    d = x - run(module, f, x, 1)[0]
    np.testing.assert_allclose(d, np.linalg.solve(f.hessian(x) + reg * np.eye(5), f.grad(x)), rtol=1e-5, atol=1e-7)


def test_a_good_sketch_saves_iterations() -> None:
    """With the exact inverse as preconditioner one product is enough."""
    f, x = Quartic(np.diag([1.0, 10, 100, 1000, 10000]), np.ones(5), 0.0), np.ones(5)
    module = tz.m.NystromPCG(rank=5, maxiter=1, seed=0, reg=1e-6)
    np.testing.assert_allclose(run(module, f, x, 1)[0], 1 / np.array([1.0, 10, 100, 1000, 10000]), rtol=1e-4)


@pytest.mark.parametrize("name", ["NystromSketchAndSolve", "NystromPCG"])
def test_an_indefinite_hessian_is_survived(name: str) -> None:
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    module = getattr(tz.m, name)(rank=3, seed=0)
    _, var = module.step(module.init(x), tz.Var(x, objective=lambda x: x[0] ** 2 - x[1] ** 2 + x[2] ** 3))
    assert torch.isfinite(var.update).all()
    if name == "NystromSketchAndSolve":
        torch.testing.assert_close(var.update, torch.tensor([2.0, -4.0, 27.0], dtype=torch.float64))


def test_applying_again_does_not_change_what_is_kept() -> None:
    f, x = Quartic(np.eye(5), np.ones(5), 1.0), pack(np.ones(5))
    module = tz.m.NystromSketchAndSolve(rank=3, update_freq=10, seed=0)
    state = module.update(module.init(x), tz.Var(x, objective=f))
    first = state.factors.L.clone()
    for _ in range(3):
        module.apply(state, tz.Var(x, objective=f))
    assert torch.equal(state.factors.L, first)


def test_the_operator_solves_for_the_direction() -> None:
    f, x = Quartic(np.diag([1.0, 2, 3, 4, 5]), np.ones(5), 1.0), np.full(5, 0.5)
    module = tz.m.NystromSketchAndSolve(rank=3, seed=0)
    state, var = module.step(module.init(pack(x)), tz.Var(pack(x), objective=f))
    got = torch.cat([var.update["a"].reshape(-1), var.update["b"].reshape(-1)])
    torch.testing.assert_close(got, module.operator(state).solve(torch.from_numpy(f.grad(x))))
