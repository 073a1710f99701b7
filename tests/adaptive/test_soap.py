"""SOAP: Adam in a basis that is followed, in NumPy, with eigenvectors of no particular sign."""

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
import torchzero.testing
from tests.oracle import Array

SHAPES = ((3, 4), (3, 3), (2, 2, 3))


def _unfold(x: Array, i: int) -> Array:
    return np.moveaxis(x, i, 0).reshape(x.shape[i], -1)


def _along(x: Array, M: Array, i: int) -> Array:
    return np.moveaxis(np.tensordot(x, M, axes=(i, 0)), -1, i)


def _soap(us: list[Array], beta1, beta2, shampoo_beta, precond_freq, eps, debias, alpha) -> list[Array]:
    m = np.zeros_like(us[0])  # in the coordinates of the parameters
    v = np.zeros_like(us[0])  # in the basis
    dims, G, Q, out = range(us[0].ndim), {}, {}, []

    def into(x: Array) -> Array:
        for i in dims:
            x = _along(x, Q[i], i)
        return x

    def back(x: Array) -> Array:
        for i in dims:
            x = _along(x, Q[i].T, i)
        return x

    for call, u in enumerate(us):
        grams = {i: _unfold(u, i) @ _unfold(u, i).T for i in dims}
        if call == 0:
            G = {i: x if shampoo_beta is None else (1 - shampoo_beta) * x for i, x in grams.items()}
            Q = {i: np.linalg.eigh(x)[1][:, ::-1] for i, x in G.items()}
            out.append(np.clip(u, -0.1, 0.1))
            continue
        m = beta1 * m + (1 - beta1) * u
        v = beta2 * v + (1 - beta2) * into(u) ** 2
        scale = alpha * (np.sqrt(1 - beta2**call) / (1 - beta1**call) if debias else 1.0)
        out.append(scale * back(into(m) / (np.sqrt(v) + eps)))
        G = {
            i: G[i] + x if shampoo_beta is None else shampoo_beta * G[i] + (1 - shampoo_beta) * x
            for i, x in grams.items()
        }
        if (call - 1) % precond_freq == 0:
            for i in dims:
                order = np.argsort(-np.diag(Q[i].T @ G[i] @ Q[i]), kind="stable")
                v = np.take(v, order, axis=i)
                Q[i] = np.linalg.qr(G[i] @ Q[i][:, order])[0]
    return out


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from(SHAPES),
    proj_exp_avg=st.booleans(),
    hypers=st.fixed_dictionaries(
        {
            "beta1": st.floats(0.1, 0.98),
            "beta2": st.floats(0.1, 0.98),
            "shampoo_beta": st.none() | st.floats(0.1, 0.98),
            "precond_freq": st.integers(1, 4),
            "eps": st.floats(1e-6, 1e-2),
            "debias": st.booleans(),
            "alpha": st.floats(0.1, 2.0),
        }
    ),
)
def test_agrees_with_the_algorithm_in_numpy(
    seed: int, shape: tuple[int, ...], proj_exp_avg: bool, hypers: dict[str, Any]
) -> None:
    rng = np.random.default_rng(seed)
    us = [rng.normal(size=shape) for _ in range(7)]
    opt = tz.m.SOAP(merge_small=False, proj_exp_avg=proj_exp_avg, **hypers)
    x = torch.zeros(shape, dtype=torch.float64)
    state = opt.init(x)
    for mine_in, theirs in zip(us, _soap(us, **hypers), strict=True):
        state, var = opt.step(state, tz.Var(x, grad=torch.from_numpy(mine_in)))
        np.testing.assert_allclose(var.update.numpy(), theirs, rtol=1e-5, atol=1e-6)


def test_without_a_basis_it_is_adam_one_step_late() -> None:
    generator = torch.Generator().manual_seed(0)
    us = [torch.randn(3, generator=generator, dtype=torch.float64) for _ in range(5)]
    soap, adam = tz.m.SOAP(0.9, 0.99, precondition_1d=False, eps=1e-30), tz.m.Adam(0.9, 0.99, eps=1e-30)
    x = torch.zeros(3, dtype=torch.float64)
    state, adam_state = soap.init(x), adam.init(x)
    for k, u in enumerate(us):
        state, var = soap.step(state, tz.Var(x, grad=u))
        if k == 0:
            torch.testing.assert_close(var.update, u.clamp(-0.1, 0.1))
            continue
        adam_state, expected = adam.step(adam_state, tz.Var(x, grad=u))
        torch.testing.assert_close(var.update, expected.update)


def test_a_turned_problem_gives_turned_steps() -> None:
    """After the first step, rotating rows and columns of the gradients rotates the directions."""
    rng = np.random.default_rng(0)
    R, C = (torch.from_numpy(np.linalg.qr(rng.normal(size=(n, n)))[0]) for n in (3, 4))
    us = [torch.from_numpy(rng.normal(size=(3, 4))) for _ in range(5)]
    opt, x = tz.m.SOAP(merge_small=False, precond_freq=2), torch.zeros(3, 4, dtype=torch.float64)
    plain, turned = opt.init(x), opt.init(x)
    for k, u in enumerate(us):
        plain, a = opt.step(plain, tz.Var(x, grad=u))
        turned, b = opt.step(turned, tz.Var(x, grad=R @ u @ C))
        if k:
            torch.testing.assert_close(R @ a.update @ C, b.update, rtol=1e-6, atol=1e-8)


def test_the_basis_is_only_made_when_it_is_due(monkeypatch: Any) -> None:
    import torchzero.adaptive.soap as module

    calls: list[str] = []
    qr = module.safe_qr
    monkeypatch.setattr(module, "safe_qr", lambda A: (calls.append("qr"), qr(A))[1])
    opt, x = tz.m.SOAP(merge_small=False, precond_freq=3), torch.zeros(2, 2)
    state, counts = opt.init(x), []
    for k in range(8):
        state, _ = opt.step(state, tz.Var(x, grad=torch.tensor([[1.0, k], [0.5, -k]])))
        counts.append(len(calls) // 2)
    assert counts == [0, 0, 1, 1, 1, 2, 2, 2]


def test_half_precision_parameters_have_bases_in_single_precision() -> None:
    opt, x = tz.m.SOAP(), torch.zeros(2, 3, dtype=torch.bfloat16)
    state = opt.init(x)
    for _ in range(4):
        state, var = opt.step(state, tz.Var(x, grad=torch.full_like(x, 0.5)))
    assert var.update.dtype == torch.bfloat16
    assert {G.dtype for G in state.G} == {torch.float32}
    assert state.m.dtype == torch.bfloat16


def test_the_basis_of_a_vector_does_not_hang_on_rounding() -> None:
    """Its first gram matrix has rank one, so all but one of the eigenvectors would be whatever the solver likes."""
    tz.testing.check_module(tz.m.SOAP(), laws=["vmap", "tree"])
