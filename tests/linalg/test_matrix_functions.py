"""Functions of matrices: their values, their derivatives, and both where matrices degenerate."""

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.adaptive.oracles import polar
from torchzero.linalg import (
    matrix_power,
    msign,
    orthogonalize,
    orthogonalize_via_qr,
    safe_eigh,
    safe_qr,
    symmetric_function,
    zeropower_via_eigh,
    zeropower_via_newtonschulz5,
    zeropower_via_svd,
)
from torchzero.linalg.orthogonalize_matrices import METHODS
from torchzero.linalg.zeropower_via_newtonschulz5 import JORDAN, iterate

POLAR: dict[str, Callable[[Tensor], Tensor]] = {
    "msign": msign,
    "zeropower_via_svd": zeropower_via_svd,
    "zeropower_via_eigh": zeropower_via_eigh,
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def symmetric(A: Tensor) -> Tensor:
    return (A + A.mT) / 2


def identity_plus_rank_one(u: Tensor) -> Tensor:
    return torch.eye(len(u), dtype=u.dtype) + torch.outer(u, u)


@pytest.mark.parametrize("name", POLAR)
@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5), (2, 1), (2, 4, 3)])
def test_the_polar_factor(name: str, shape: tuple[int, ...]) -> None:
    A = draw(*shape)
    expected = torch.stack([torch.from_numpy(polar(x.numpy(), "svd")) for x in A.reshape(-1, *shape[-2:])]).reshape(
        shape
    )
    torch.testing.assert_close(POLAR[name](A), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("method", ["newtonschulz", "ns5"])
@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_newton_schulz_is_a_polynomial_of_the_singular_values(method: str, shape: tuple[int, ...]) -> None:
    A = draw(*shape)
    torch.testing.assert_close(orthogonalize(A, method), torch.from_numpy(polar(A.numpy(), method)))


def test_newton_schulz_flattens_singular_values() -> None:
    S = torch.linalg.svdvals(zeropower_via_newtonschulz5(torch.diag(torch.logspace(-2, 0, 8, dtype=torch.float64))))
    assert 0.6 < S.min() < S.max() < 1.3


def test_the_polar_express_reaches_small_singular_values() -> None:
    A = torch.diag(torch.logspace(-3, 0, 12, dtype=torch.float64))
    torch.testing.assert_close(msign(A), torch.eye(12, dtype=torch.float64), rtol=1e-4, atol=1e-4)
    assert torch.equal(msign(A, steps=0), A / (1.01 * torch.linalg.norm(A) + 1e-7))


@pytest.mark.parametrize("name", POLAR)
def test_the_polar_factor_of_a_singular_matrix_leaves_out_its_null_space(name: str) -> None:
    A = torch.outer(draw(4, seed=1), draw(3, seed=2))
    torch.testing.assert_close(POLAR[name](A), A / torch.linalg.norm(A), rtol=1e-6, atol=1e-6)
    assert torch.equal(POLAR[name](torch.zeros(2, 3)), torch.zeros(2, 3))


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_qr_is_gram_schmidt(shape: tuple[int, int]) -> None:
    A = draw(*shape).numpy()
    columns, made = (A if shape[0] >= shape[1] else A.T).T, []
    for column in columns:
        rest = column - sum(((q @ column) * q for q in made), np.zeros_like(column))
        made.append(rest / np.linalg.norm(rest))
    expected = np.stack(made, 1) if shape[0] >= shape[1] else np.stack(made, 0)
    torch.testing.assert_close(orthogonalize_via_qr(torch.from_numpy(A)), torch.from_numpy(expected))


@pytest.mark.parametrize("method", ["eigh_abs", "eigh", "svd"])
@pytest.mark.parametrize("power", [-0.5, -0.25, 0.5, 2.0])
def test_powers_of_a_positive_matrix(method: str, power: float) -> None:
    B = draw(3, 4, 4)
    A = B @ B.mT + 0.1 * torch.eye(4, dtype=torch.float64)
    S, Q = np.linalg.eigh(A.numpy())
    expected = torch.from_numpy(np.einsum("bij,bj,bkj->bik", Q, S**power, Q))
    torch.testing.assert_close(matrix_power(A, power, method), expected)


def test_powers_of_negative_eigenvalues() -> None:
    A = torch.diag(torch.tensor([-4.0, 9.0], dtype=torch.float64))
    assert torch.allclose(matrix_power(A, 0.5, "eigh_abs").diagonal(), A.new_tensor([2.0, 3.0]))
    assert torch.allclose(matrix_power(A, 0.5, "svd").diagonal(), A.new_tensor([-2.0, 3.0]))
    assert torch.allclose(matrix_power(A, 0.5, "eigh").diagonal(), A.new_tensor([0.0, 3.0]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (2, 3, 3)])
def test_derivatives_of_orthogonal_factors(method: str, shape: tuple[int, ...]) -> None:
    A = draw(*shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda A: orthogonalize(A, method), (A,), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_at_zero_are_finite(method: str) -> None:
    grad = torch.func.grad(lambda A: orthogonalize(A, method).sum())
    assert bool(torch.isfinite(grad(torch.zeros(3, 4))).all())


def test_the_derivative_of_the_polar_factor_at_the_identity() -> None:
    """All singular values coincide: the derivative of the SVD does not exist, this one does."""
    R = torch.linalg.qr(draw(3, 3))[0].requires_grad_()
    assert torch.autograd.gradcheck(zeropower_via_svd, (R,))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # torch itself, when forward mode is first used
@pytest.mark.parametrize("method", ["eigh_abs", "eigh", "svd"])
def test_derivatives_of_powers_where_eigenvalues_coincide(method: str) -> None:
    u, p = draw(4).requires_grad_(), torch.tensor(-0.25, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, p: matrix_power(identity_plus_rank_one(u), p, method), (u, p))
    f = lambda u: matrix_power(identity_plus_rank_one(u), -0.5, method)  # noqa: E731
    u = u.detach()
    torch.testing.assert_close(torch.func.jacfwd(f)(u), torch.func.jacrev(f)(u))


def test_a_function_of_a_matrix() -> None:
    A = symmetric(draw(3, 3)).requires_grad_()
    f = lambda A: symmetric_function(symmetric(A), torch.exp, torch.exp)  # noqa: E731
    torch.testing.assert_close(f(A), torch.linalg.matrix_exp(A))
    assert torch.autograd.gradcheck(f, (A,))


def test_eigenvectors() -> None:
    A = symmetric(draw(2, 4, 4)).requires_grad_()
    size, Q = safe_eigh(A)
    torch.testing.assert_close(Q @ torch.diag_embed(size) @ Q.mT, A)
    assert torch.autograd.gradcheck(lambda A: safe_eigh(symmetric(A))[0], (A,))
    assert torch.autograd.gradcheck(lambda A: safe_eigh(symmetric(A))[1] ** 2, (A,))  # whatever the signs are
    grad = torch.func.grad(lambda A: safe_eigh(A)[1].sum())(torch.eye(3))
    assert bool(torch.isfinite(grad).all())


def test_orthonormal_columns() -> None:
    A = draw(2, 5, 3).requires_grad_()
    Q = safe_qr(A)
    R = Q.mT @ A
    torch.testing.assert_close(Q @ R, A)
    torch.testing.assert_close(R.tril(-1), torch.zeros_like(R))
    assert bool((R.diagonal(dim1=-2, dim2=-1) > 0).all())
    assert torch.autograd.gradcheck(safe_qr, (A,))


@pytest.mark.parametrize("method", METHODS)
def test_batched_vmapped_and_compiled_are_the_same(method: str) -> None:
    A = draw(4, 3, 5)
    each = torch.stack([orthogonalize(a, method) for a in A])
    torch.testing.assert_close(orthogonalize(A, method), each)
    torch.testing.assert_close(torch.vmap(lambda a: orthogonalize(a, method))(A), each)
    compiled = torch.compile(lambda A: orthogonalize(A, method), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(A), each)


def test_what_is_not_finite_becomes_nan_and_spares_its_neighbours() -> None:
    A = torch.stack([torch.full((2, 2), float("nan")), torch.eye(2)])
    functions: list[Callable[[Tensor], Tensor]] = [
        lambda A: matrix_power(A, -0.5),
        lambda A: safe_eigh(A)[0].unsqueeze(-1),
        safe_qr,
        zeropower_via_svd,
        zeropower_via_eigh,
    ]
    for f in functions:
        assert bool(torch.isnan(f(A)[0]).all())
        assert bool(torch.isfinite(f(A)[1]).all())


@pytest.mark.parametrize("f", [zeropower_via_newtonschulz5, msign])
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_newton_schulz_over_batches_is_a_loop(f: Callable[[Tensor], Tensor], shape: tuple[int, int]) -> None:
    A = draw(2, 3, *shape)
    expected = torch.stack([torch.stack([f(x) for x in row]) for row in A])
    close = functools.partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)
    close(f(A), expected)
    close(torch.vmap(torch.vmap(f))(A), expected)
    close(torch.vmap(f, 2, 1)(A.movedim(0, 2)), expected.movedim(0, 1))
    once = functools.partial(iterate, coeffs=JORDAN)
    close(torch.vmap(once, 2, 1)(A.movedim(0, 2) / 10), once(A / 10).movedim(0, 1))
    slope = torch.func.grad(lambda x: f(x).sin().sum())
    expected = torch.stack([torch.stack([slope(x) for x in row]) for row in A])
    close(slope(A), expected)
    close(torch.vmap(torch.vmap(slope))(A), expected)
    close(torch.func.grad(lambda A: torch.vmap(f, 2)(A).sin().sum())(A.movedim(0, 2)).movedim(2, 0), expected)
    leaf = A.clone().requires_grad_()
    close(torch.autograd.grad(torch.vmap(f)(leaf).sin().sum(), leaf)[0], expected)
