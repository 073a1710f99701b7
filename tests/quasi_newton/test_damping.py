"""Damping: the curvature that it promises, and the formulas of the papers."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from torchzero.linalg.operators import DenseInverse

seeds, parts = st.integers(0, 2**32 - 1), st.floats(0.05, 0.9)


def situation(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """s, y and a positive definite H."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(4, 4))
    return rng.normal(size=4), rng.normal(size=4), A @ A.T + 0.1 * np.eye(4)


def torched(*arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(x) for x in arrays]


@settings(max_examples=50)
@given(seed=seeds, u=parts)
def test_powell_damping_by_its_definition(seed: int, u: float) -> None:
    s, y, H = situation(seed)
    expected = s
    if s @ y < u * (y @ H @ y):
        phi = (1 - u) * (y @ H @ y) / (y @ H @ y - s @ y)
        expected = phi * s + (1 - phi) * H @ y
        np.testing.assert_allclose(expected @ y, u * (y @ H @ y))
    ts, ty, tH = torched(s, y, H)
    got = tz.m.powell_damping(ts, ty, ty, DenseInverse(tH), u)
    np.testing.assert_allclose(got[0].numpy(), expected, rtol=1e-9)
    assert got[1] is ty


@settings(max_examples=50)
@given(seed=seeds, u1=parts, u2=parts)
def test_double_damping_by_its_definition(seed: int, u1: float, u2: float) -> None:
    s, y, H = situation(seed)
    ts, ty, tH = torched(s, y, H)
    s = tz.m.powell_damping(ts, ty, ty, DenseInverse(tH), u1)[0].numpy()
    expected = y
    if s @ y < u2 * (s @ s):
        phi = (1 - u2) * (s @ s) / (s @ s - s @ y)
        expected = phi * y + (1 - phi) * s
        np.testing.assert_allclose(expected @ s, u2 * (s @ s))
    got = tz.m.double_damping(ts, ty, ty, DenseInverse(tH), u1, u2)
    np.testing.assert_allclose(got[0].numpy(), s, rtol=1e-9)
    np.testing.assert_allclose(got[1].numpy(), expected, rtol=1e-9)


@settings(max_examples=20)
@given(seed=seeds, damping=st.sampled_from(["powell", "double"]))
def test_a_damped_history_is_positive_definite_and_complete(seed: int, damping: str) -> None:
    rng = np.random.default_rng(seed)
    opt = tz.m.LBFGS(history_size=4, damping=damping)
    state = opt.init(torch.zeros(3, dtype=torch.float64))
    for _ in range(5):
        x, g = torched(rng.normal(size=3), rng.normal(size=3))
        state = opt.update(state, tz.Var(x, grad=g))
    assert state.kept == 4
    assert (state.sy > 0).all()
    B = opt.operator(state).to_dense()
    assert torch.linalg.eigvalsh((B + B.mT) / 2).min() > 0
