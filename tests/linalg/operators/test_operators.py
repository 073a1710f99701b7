"""Operators: each against a dense matrix that is built here, and every method against the operator's own matrix."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from torchzero.linalg.operators import (
    BlockDiagonal,
    CompactLBFGS,
    CompactLSR1,
    Dense,
    DenseInverse,
    DenseWithInverse,
    Diagonal,
    JtJ,
    LowRankShift,
    Operator,
    ScaledIdentity,
)

Array = np.ndarray[Any, Any]
N, M = 5, 3  # parameters; residuals, columns or pairs


def tensor(x: Any) -> Tensor:
    return torch.from_numpy(np.array(x, order="C"))


def positive(rng: np.random.Generator, n: int = N) -> Array:
    A = rng.normal(size=(n, n))
    return A @ A.T + 0.5 * np.eye(n)


def pairs(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Rows of steps and differences of gradients of a quadratic, at the end of M rows; garbage in the others."""
    S, Y = rng.normal(size=(2, M, N))
    sizes = 10.0 ** rng.uniform(-6, 3, size=(M, 1))
    S = S * sizes
    Y[M - count :] = S[M - count :] @ positive(rng)
    return S, Y


def dense(rng: np.random.Generator) -> tuple[Operator, Array]:
    B = rng.normal(size=(N, N)) + 4 * np.eye(N)
    return Dense(tensor(B)), B


def dense_inverse(rng: np.random.Generator) -> tuple[Operator, Array]:
    B = rng.normal(size=(N, N)) + 4 * np.eye(N)
    return DenseInverse(tensor(np.linalg.inv(B))), B


def dense_with_inverse(rng: np.random.Generator) -> tuple[Operator, Array]:
    B = rng.normal(size=(N, N)) + 4 * np.eye(N)
    return DenseWithInverse(tensor(B), tensor(np.linalg.inv(B))), B


def diagonal(rng: np.random.Generator) -> tuple[Operator, Array]:
    b = rng.uniform(0.5, 3, size=N)
    return Diagonal(tensor(b)), np.diag(b)


def scaled_identity(rng: np.random.Generator) -> tuple[Operator, Array]:
    s = rng.uniform(0.5, 3)
    return ScaledIdentity(tensor(s), N), s * np.eye(N)


def low_rank_shift(rng: np.random.Generator) -> tuple[Operator, Array]:
    Q, L, delta = np.linalg.qr(rng.normal(size=(N, M)))[0], rng.uniform(0.5, 9, size=M), rng.uniform(0.1, 1)
    Q[:, 1] *= rng.integers(2)  # an unused direction
    return LowRankShift(tensor(Q), tensor(L), tensor(delta)), Q @ np.diag(L) @ Q.T + delta * np.eye(N)


def tall_jacobian(rng: np.random.Generator) -> tuple[Operator, Array]:
    J = rng.normal(size=(N + 2, N))
    return JtJ(tensor(J)), J.T @ J


def wide_jacobian(rng: np.random.Generator) -> tuple[Operator, Array]:
    J = rng.normal(size=(M, N))
    return JtJ(tensor(J)), J.T @ J


def compact_lbfgs(rng: np.random.Generator) -> tuple[Operator, Array]:
    count, scale = int(rng.integers(0, M + 1)), rng.uniform(0.5, 3)
    S, Y = pairs(rng, count)
    B = scale * np.eye(N)
    for s, y in zip(S[M - count :], Y[M - count :], strict=True):
        B = B + np.outer(y, y) / (s @ y) - np.outer(B @ s, B @ s) / (s @ B @ s)
    return CompactLBFGS.from_pairs(tensor(S), tensor(Y), torch.tensor(count), tensor(scale)), B


def compact_lsr1(rng: np.random.Generator) -> tuple[Operator, Array]:
    count, scale = int(rng.integers(0, M + 1)), rng.uniform(0.05, 0.3)
    S, Y = pairs(rng, count)
    B = scale * np.eye(N)
    for s, y in zip(S[M - count :], Y[M - count :], strict=True):
        w = y - B @ s
        B = B + np.outer(w, w) / (w @ s)
    return CompactLSR1.from_pairs(tensor(S), tensor(Y), torch.tensor(count), tensor(scale)), B


def block_diagonal(rng: np.random.Generator) -> tuple[Operator, Array]:
    A, H, B = positive(rng, 2), positive(rng, 2), np.zeros((N, N))
    b = rng.uniform(0.5, 3, size=N - 4)
    B[:2, :2], B[2:-2, 2:-2], B[-2:, -2:] = A, np.diag(b), np.linalg.inv(H)
    return BlockDiagonal((Dense(tensor(A)), Diagonal(tensor(b)), DenseInverse(tensor(H))), (2, N - 4, 2)), B


KINDS: dict[str, Callable[[np.random.Generator], tuple[Operator, Array]]] = {
    f.__name__: f
    for f in (
        dense,
        dense_inverse,
        dense_with_inverse,
        diagonal,
        scaled_identity,
        low_rank_shift,
        tall_jacobian,
        wide_jacobian,
        compact_lbfgs,
        compact_lsr1,
        block_diagonal,
    )
}
every = pytest.mark.parametrize("kind", KINDS)


def close(x: Tensor, y: Array, rtol: float = 1e-7) -> None:
    np.testing.assert_allclose(x.numpy(), y, rtol=rtol, atol=rtol * np.abs(y).max())


@every
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), vector=st.booleans())
def test_every_method_is_that_of_the_dense_matrix(kind: str, seed: int, vector: bool) -> None:
    rng = np.random.default_rng(seed)
    op, B = KINDS[kind](rng)
    x = rng.normal(size=N)
    shift = rng.uniform(0.1, 5, size=N if vector else ())
    close(op.to_dense(), B)
    close(op.diagonal(), np.diag(B))
    close(op.matvec(tensor(x)), B @ x)
    close(op.solve_shifted(tensor(x), tensor(shift)), np.linalg.solve(B + shift * np.eye(N), x))
    if not vector:
        close(op.solve_shifted(tensor(x), float(shift)), np.linalg.solve(B + shift * np.eye(N), x))
    close(op.solve(tensor(x)), np.linalg.pinv(B) @ x, 1e-6)


@every
def test_a_batch_of_operators_is_a_loop(kind: str) -> None:
    ops = [KINDS[kind](np.random.default_rng(seed))[0] for seed in range(3)]
    xs = torch.from_numpy(np.random.default_rng(9).normal(size=(3, N)))
    leaves, spec = torch.utils._pytree.tree_flatten(ops[0])
    columns = zip(*(torch.utils._pytree.tree_leaves(op) for op in ops), strict=True)
    batch = torch.utils._pytree.tree_unflatten([torch.stack(c) for c in columns], spec)
    assert len(leaves) == len(torch.utils._pytree.tree_leaves(batch))

    def every_method(op: Operator, x: Tensor) -> tuple[Tensor, ...]:
        shifted = op.solve_shifted(x, 0.5), op.solve_shifted(x, x * x)
        return op.matvec(x), op.solve(x), *shifted, op.diagonal(), op.to_dense()

    batched = torch.vmap(every_method)(batch, xs)
    for i, (op, x) in enumerate(zip(ops, xs, strict=True)):
        for mine, theirs in zip(batched, every_method(op, x), strict=True):
            torch.testing.assert_close(mine[i], theirs, rtol=1e-8, atol=1e-10)


@every
def test_a_method_compiles_into_one_graph(kind: str) -> None:
    op = KINDS[kind](np.random.default_rng(1))[0]
    x = torch.linspace(-1, 1, N, dtype=torch.float64)

    def f(op: Operator, x: Tensor) -> tuple[Tensor, Tensor]:
        return op.solve_shifted(op.matvec(x), 0.5), op.solve(x)

    torch._dynamo.reset()
    compiled = torch.compile(f, fullgraph=True, backend="eager")
    for mine, theirs in zip(compiled(op, x), f(op, x), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_an_operator_of_pairs_can_be_made_in_a_compiled_loop() -> None:
    S, Y = map(tensor, pairs(np.random.default_rng(3), 2))
    x = torch.linspace(-1, 1, N, dtype=torch.float64)

    def f(S: Tensor, Y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        one, count = torch.ones((), dtype=torch.float64), torch.tensor(2)
        first, second = CompactLBFGS.from_pairs(S, Y, count, one), CompactLSR1.from_pairs(S, Y, count, one)
        return first.solve(x), second.solve(x)

    torch._dynamo.reset()
    for mine, theirs in zip(torch.compile(f, fullgraph=True, backend="eager")(S, Y, x), f(S, Y, x), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_term_of_sr1_without_curvature_is_left_out() -> None:
    S, Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 2.0], [0.0, 3.0]])
    op = CompactLSR1.from_pairs(S, Y, torch.tensor(2), torch.tensor(1.0))
    assert op.to_dense().tolist() == [[1.0, 0.0], [0.0, 3.0]]


def test_a_pseudo_inverse_where_directions_are_missing() -> None:
    op = LowRankShift(torch.tensor([[1.0], [0.0]]), torch.tensor([2.0]), torch.tensor(0.0))
    assert op.solve(torch.tensor([4.0, 7.0])).tolist() == [2.0, 0.0]


def test_a_singular_matrix_gives_what_is_not_finite() -> None:
    assert not bool(torch.isfinite(Dense(torch.ones(2, 2)).solve(torch.tensor([1.0, 2.0]))).all())
