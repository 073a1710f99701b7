"""TrustCG against the algorithm of the book, with models of every kind."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, quartics
from tests.second_order.test_newton_cg_steihaug import steihaug
from torchzero.linalg.operators import Dense, DenseInverse, ScaledIdentity


@settings(max_examples=40)
@given(case=quartics(definite=False), radius=st.floats(0.05, 5), most=st.integers(1, 5), inverse=st.booleans())
def test_the_step_is_the_truncated_solution(
    case: tuple[Quartic, Array], radius: float, most: int, inverse: bool
) -> None:
    f, x = case
    H, g = f.hessian(x), f.grad(x)
    B = DenseInverse(torch.linalg.inv(torch.from_numpy(H))) if inverse else Dense(torch.from_numpy(H))
    d = tz.m.TrustCG(tz.m.Newton(), maxiter=most).subproblem(
        B, torch.from_numpy(g), torch.tensor(radius, dtype=torch.float64), ()
    )
    np.testing.assert_allclose(d.numpy(), steihaug(H, g, radius, most), rtol=1e-5, atol=1e-6)
    assert d.norm() <= radius * (1 + 1e-9)


@settings(max_examples=20)
@given(scale=st.floats(-2, 5), radius=st.floats(0.1, 5), seed=st.integers(0, 1000))
def test_a_multiple_of_the_identity_is_solved_exactly(scale: float, radius: float, seed: int) -> None:
    g = np.random.default_rng(seed).normal(size=4)
    B = ScaledIdentity(torch.tensor(scale, dtype=torch.float64), 4)
    d = tz.m.TrustCG(tz.m.Newton()).subproblem(B, torch.from_numpy(g), torch.tensor(radius, dtype=torch.float64), ())
    size = np.linalg.norm(g)
    length = radius if scale * radius <= size else size / scale
    np.testing.assert_allclose(d.numpy(), g / size * length, rtol=1e-6)
