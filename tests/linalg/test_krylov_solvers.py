"""Conjugate gradients and MINRES: best points of Krylov spaces, and their exits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from torchzero.linalg.cg import cg
from torchzero.linalg.minres import minres


def matrix(seed: int, n: int, definite: bool) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    sign = np.ones(n) if definite else np.where(np.arange(n) % 2, -1.0, 1.0)
    A = Q @ np.diag(sign * rng.uniform(0.5, 4, n)) @ Q.T
    return torch.from_numpy((A + A.T) / 2), torch.from_numpy(rng.normal(size=n))


@settings(max_examples=25)
@given(seed=st.integers(0, 9999), n=st.integers(1, 12), reg=st.floats(0, 1), warm=st.booleans())
def test_cg_solves_definite_systems(seed: int, n: int, reg: float, warm: bool) -> None:
    A, b = matrix(seed, n, True)
    x0 = torch.ones(n, dtype=torch.float64) if warm else None
    end = cg(lambda v: A @ v, b, x0, reg=reg, maxiter=3 * n + 3, tol=1e-10)
    torch.testing.assert_close((A + reg * torch.eye(n)) @ end.x, b, rtol=1e-7, atol=1e-7)
    assert end.converged


@settings(max_examples=25)
@given(seed=st.integers(0, 9999), n=st.integers(1, 12), definite=st.booleans(), warm=st.booleans())
def test_minres_solves_systems_of_any_signature(seed: int, n: int, definite: bool, warm: bool) -> None:
    A, b = matrix(seed, n, definite)
    x0 = torch.ones(n, dtype=torch.float64) if warm else None
    end = minres(lambda v: A @ v, b, x0, maxiter=4 * n + 4, tol=1e-9)
    torch.testing.assert_close(A @ end.x, b, rtol=1e-6, atol=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 9999), k=st.integers(1, 5), definite=st.booleans())
def test_minres_has_the_least_residual_of_its_krylov_space(seed: int, k: int, definite: bool) -> None:
    A, b = matrix(seed, 6, definite)
    K = np.linalg.qr(np.stack([np.linalg.matrix_power(A.numpy(), i) @ b.numpy() for i in range(k)], 1))[0]
    best = K @ np.linalg.lstsq(A.numpy() @ K, b.numpy(), rcond=None)[0]
    np.testing.assert_allclose(minres(lambda v: A @ v, b, maxiter=k).x.numpy(), best, rtol=1e-5, atol=1e-6)


def test_minres_returns_the_residual_where_it_finds_negative_curvature() -> None:
    A, b = torch.diag(torch.tensor([-1.0, 2.0])), torch.tensor([1.0, 0.1])
    torch.testing.assert_close(minres(lambda v: A @ v, b, npc_terminate=True).x, b)


@pytest.mark.parametrize("solver", [cg, minres])
def test_a_zero_right_hand_side_takes_no_product(solver: object) -> None:
    end = solver(lambda v: v, torch.zeros(3))
    assert end.products == 0
    assert torch.equal(end.x, torch.zeros(3))


@pytest.mark.parametrize("solver", [cg, minres])
@settings(max_examples=15)
@given(seed=st.integers(0, 9999), radius=st.floats(0.05, 3), definite=st.booleans())
def test_no_iterate_leaves_the_ball(solver: object, seed: int, radius: float, definite: bool) -> None:
    A, b = matrix(seed, 6, definite)
    end = solver(lambda v: A @ v, b, trust_radius=radius, npc_terminate=True)
    size = end.x.norm().item()
    assert size <= radius * (1 + 1e-9)
    assert abs(size - radius) < 1e-9 or not end.on_boundary


@pytest.mark.parametrize("solver", [cg, minres])
def test_lanes_of_a_batch_stop_each_by_themselves(solver: object) -> None:
    pairs = [matrix(s, 6, True) for s in range(4)]
    A, b = (torch.stack(x) for x in zip(*pairs, strict=True))
    A[1] = torch.eye(6)  # done after one product

    def solve(A: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        end = solver(lambda v: A @ v, b)
        return end.x, end.products

    x, products = torch.vmap(solve)(A, b)
    for i in range(4):
        alone, count = solve(A[i], b[i])
        torch.testing.assert_close(x[i], alone, rtol=1e-8, atol=1e-8)
        assert products[i] == count
    assert products[1] == 1
