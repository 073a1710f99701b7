"""SubspaceNewton: the best step within its subspace, whatever basis that is given in."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, pack, quartics, run
from torchzero.second_order.subspace_newton import SKETCHES, gram_schmidt


@settings(max_examples=40)
@given(
    case=quartics(),
    k=st.integers(1, 6),
    kind=st.sampled_from(SKETCHES),
    damping=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_the_step_minimises_the_model_in_the_subspace(
    case: tuple[Quartic, Array], k: int, kind: str, damping: float, seed: int
) -> None:
    f, x = case
    module = tz.m.SubspaceNewton(sketch_size=k, sketch_type=kind, damping=damping, seed=seed)
    params, state = pack(x), module.init(pack(x))
    for _ in range(3):
        g, H = f.grad(x), f.hessian(x)
        state, var = module.step(state, tz.Var(params, objective=f))
        d = np.concatenate([var.update["a"].reshape(-1).numpy(), var.update["b"].reshape(-1).numpy()])
        S = state.S.numpy()
        S = S[:, np.abs(S).sum(0) > 0]
        assert 1 <= S.shape[1] <= min(k, 5)
        np.testing.assert_allclose(S.T @ S, np.eye(S.shape[1]), atol=1e-9)
        np.testing.assert_allclose(
            d, S @ np.linalg.solve(S.T @ H @ S + damping * np.eye(S.shape[1]), S.T @ g), rtol=1e-5, atol=1e-7
        )
        params, x = tz.apply_update(var), x - d


def test_common_directions_are_the_last_gradients() -> None:
    f, x = Quartic(np.diag([1.0, 2, 3, 4, 5]), np.ones(5), 0.0), np.full(5, 2.0)
    module = tz.m.SubspaceNewton(sketch_size=2, seed=0)
    points = [x, *run(module, f, x, 2)]
    g = [f.grad(p) for p in points[:2]]
    S = np.linalg.qr(np.stack(g, 1))[0]
    np.testing.assert_allclose(points[1] - points[2], S @ np.linalg.solve(S.T @ f.A @ S, S.T @ g[1]), rtol=1e-8)


def test_conjugate_gradients_are_newtons_steps_in_common_directions() -> None:
    """On a quadratic with as many directions as parameters the minimum is reached in n steps."""
    f = Quartic(np.diag([1.0, 2, 3, 4, 5]), np.ones(5), 0.0)
    np.testing.assert_allclose(
        run(tz.m.SubspaceNewton(sketch_size=5, seed=0), f, np.full(5, 2.0), 5)[-1], 1 / np.arange(1.0, 6), rtol=1e-6
    )


@pytest.mark.parametrize("kind", ["orthonormal", "rademacher", "rows"])
def test_a_basis_of_everything_gives_newtons_step(kind: str) -> None:
    f, x = Quartic(np.diag([1.0, 2, 3, 4, 5]), np.ones(5), 1.0), np.full(5, 0.5)
    module = tz.m.SubspaceNewton(sketch_size=5, sketch_type=kind, seed=3)
    np.testing.assert_allclose(run(module, f, x, 1)[0], x - np.linalg.solve(f.hessian(x), f.grad(x)), rtol=1e-8)


def test_dependent_columns_are_left_out_and_later_ones_lose_nothing() -> None:
    a, b = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 1.0])
    Q = gram_schmidt(torch.stack([a, 2 * a, torch.zeros(3), a + b], 1))
    torch.testing.assert_close(Q, torch.stack([a, 0 * a, 0 * a, b / 2**0.5], 1))
