"""InverseFreeNewton: Newton and Schulz's iteration, one correction for each Hessian."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, quartics, run


@settings(max_examples=25)
@given(case=quartics(definite=False), freq=st.integers(1, 3), lr=st.floats(0.1, 1))
def test_agrees_with_the_formula(case: tuple[Quartic, Array], freq: int, lr: float) -> None:
    f, x = case
    out = run(tz.Chain(tz.m.InverseFreeNewton(freq), tz.m.LR(lr)), f, x, 5)
    Y = np.eye(5)
    for k, mine in enumerate(out):
        H = f.hessian(x)
        if k == 0:
            Y = H.T / (np.linalg.norm(H, 1) * np.linalg.norm(H, np.inf))
        elif k % freq == 0:
            Y = Y @ (2 * np.eye(5) - H @ Y)
        x = x - lr * Y @ f.grad(x)
        np.testing.assert_allclose(mine, x, rtol=1e-7, atol=1e-9)


def test_converges_to_the_inverse() -> None:
    f = Quartic(np.diag([1.0, 2, 3, 4, 5]), np.ones(5), 0.0)
    np.testing.assert_allclose(
        run(tz.m.InverseFreeNewton(), f, np.full(5, 2.0), 20)[-1], 1 / np.arange(1, 6), rtol=1e-9
    )
