"""ImprovedNewton: the Hessian with its correction, solved without symmetrising."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.second_order.problems import Array, Quartic, quartics, run


@settings(max_examples=25)
@given(case=quartics(), damping=st.floats(0, 1), lr=st.floats(0.1, 0.5))
def test_agrees_with_the_formula(case: tuple[Quartic, Array], damping: float, lr: float) -> None:
    f, x = case
    out, before = run(tz.Chain(tz.m.ImprovedNewton(damping), tz.m.LR(lr)), f, x, 4), None
    for mine in out:
        g, P = f.grad(x), f.hessian(x)
        if before is not None:
            s, y = x - before[0], g - before[1]
            P = P + (y @ (y - P @ s)) / ((y @ y) * (s @ s)) * np.outer(g, s)
        before = x, g
        x = x - lr * np.linalg.solve(P + damping * np.eye(5), g)
        np.testing.assert_allclose(mine, x, rtol=1e-6, atol=1e-8)
