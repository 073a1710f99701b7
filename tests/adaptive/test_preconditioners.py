"""Shampoo, FullMatrixAdagrad and RMSprop: what their oracles do not see."""

from typing import Any

import pytest
import torch

import torchzero as tz
from torchzero.adaptive.base import gram, mode_product, plan


def _run(opt: tz.Module, x: Any, grads: list[Any]) -> list[Any]:
    state, out = opt.init(x), []
    for g in grads:
        state, var = opt.step(state, tz.Var(x, grad=g))
        out.append(var.update)
    return out


def _draw(*shape: int, n: int = 4) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(n)]


@pytest.mark.parametrize(
    ("shape", "max_dim", "seen", "dims"),
    [
        ((100, 99), 10_000, (9900,), (0,)),
        ((64, 32, 3, 3), 10_000, (288, 64), (0, 1)),
        ((3, 8), 8, (3, 8), (0, 1)),
        ((3, 9), 8, (3, 9), (0,)),
        ((2, 4, 9), 8, (8, 9), (0,)),
        ((1,), 8, (1,), ()),
        ((), 8, (), ()),
    ],
)
def test_dimensions_are_merged_and_given_factors(
    shape: tuple[int, ...], max_dim: int, seen: tuple[int, ...], dims: tuple[int, ...]
) -> None:
    view = plan(shape, True, max_dim, True)
    assert (view.shape, view.dims) == (seen, dims)
    x = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    assert torch.equal(view.unview(view.view(x), shape), x)


def test_shampoo_of_a_vector_is_full_matrix_adagrad() -> None:
    us, x = _draw(5), torch.zeros(5, dtype=torch.float64)
    a = _run(tz.m.Shampoo(precond_freq=1, reg=1e-6), x, us)
    b = _run(tz.m.FullMatrixAdagrad(reg=1e-6), x, us)
    torch.testing.assert_close(torch.stack(a), torch.stack(b))


def test_shampoo_does_not_lose_a_tensor_whose_dimensions_are_all_long() -> None:
    us, x = _draw(3, 4), torch.zeros(3, 4, dtype=torch.float64)
    a = _run(tz.m.Shampoo(max_dim=2, adagrad_eps=1e-6), x, us)
    b = _run(tz.m.Adagrad(eps=1e-6), x, us)
    torch.testing.assert_close(torch.stack(a), torch.stack(b))


def test_roots_are_only_made_when_they_are_due(monkeypatch: Any) -> None:
    import torchzero.adaptive.shampoo as module

    calls: list[int] = []
    power = module.matrix_power
    monkeypatch.setattr(module, "matrix_power", lambda *args: (calls.append(1), power(*args))[1])
    _run(tz.m.Shampoo(precond_freq=3, merge_small=False), torch.zeros(2, 3, dtype=torch.float64), _draw(2, 3, n=7))
    assert len(calls) == 2 * 3


def test_a_matrix_that_is_not_finite_is_a_value_and_no_error() -> None:
    x, bad = torch.zeros(2, 2), torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    for opt in (tz.m.Shampoo(), tz.m.FullMatrixAdagrad(), tz.m.Orthogonalize(method="svd")):
        assert bool(torch.isnan(_run(opt, x, [bad])[0]).any())
    assert bool(torch.isnan(_run(tz.m.SOAP(), x, [torch.ones(2, 2), bad])[1]).any())


def test_one_matrix_over_all_parameters_takes_one_value() -> None:
    x = {"a": torch.zeros(2), "b": torch.zeros(1)}
    grad = {"a": torch.ones(2), "b": torch.ones(1)}
    same, other = {"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.25}
    alone = _run(tz.m.FullMatrixAdagrad(reg=0.5), x, [grad])[0]
    assert torch.equal(_run(tz.m.FullMatrixAdagrad(reg=same), x, [grad])[0]["a"], alone["a"])
    with pytest.raises(ValueError, match=r"FullMatrixAdagrad\(reg=.*one matrix over all parameters has one reg"):
        _run(tz.m.FullMatrixAdagrad(reg=other), x, [grad])
    _run(tz.m.FullMatrixAdagrad(reg=other, concat_params=False), x, [grad])


def test_rmsprop_centred_and_debiased_is_finite_in_its_first_step() -> None:
    u = torch.tensor([0.1, -0.3, 1e-3, 0.0, 7.7])
    assert bool(torch.isfinite(_run(tz.m.RMSprop(centered=True, debias=True), torch.zeros(5), [u])[0]).all())


def test_rmsprop_hands_its_child_the_debiased_maximum() -> None:
    us, x = _draw(3), torch.zeros(3, dtype=torch.float64)
    for amsgrad in (False, True):
        plain = _run(tz.m.RMSprop(0.8, debias=True, amsgrad=amsgrad), x, us)
        child = _run(tz.m.RMSprop(0.8, debias=True, amsgrad=amsgrad, exp_avg_sq_tfm=tz.m.EMA(0.0)), x, us)
        torch.testing.assert_close(torch.stack(plain), torch.stack(child))


def test_inner_is_divided_by_the_size_of_the_raw_update() -> None:
    us, x = _draw(3, 3), torch.zeros(3, 3, dtype=torch.float64)
    for make in (tz.m.Adagrad, tz.m.RMSprop, tz.m.AdagradNorm, tz.m.Shampoo, tz.m.FullMatrixAdagrad):
        doubled = _run(make(inner=tz.m.LR(2.0)), x, us)
        torch.testing.assert_close(torch.stack(doubled), 2 * torch.stack(_run(make(), x, us)))


def test_soap_averages_what_inner_makes() -> None:
    us, x = _draw(3, 3), torch.zeros(3, 3, dtype=torch.float64)
    doubled = _run(tz.m.SOAP(inner=tz.m.LR(2.0), merge_small=False), x, us)[1:]
    torch.testing.assert_close(torch.stack(doubled), 2 * torch.stack(_run(tz.m.SOAP(merge_small=False), x, us)[1:]))


def test_second_names() -> None:
    assert tz.m.RMSProp is tz.m.RMSprop
    assert tz.m.ZeropowerViaNewtonSchulz is tz.m.Orthogonalize


def test_rmsprop_centred_and_debiased_after_its_first_step() -> None:
    us, x = _draw(5), torch.zeros(5, dtype=torch.float64)
    seen = torch.stack(us)
    for t, out in enumerate(_run(tz.m.RMSprop(0.8, eps=1e-3, centered=True, debias=True), x, us), 1):
        weights = 0.8 ** torch.arange(t - 1, -1, -1, dtype=torch.float64)
        weights = weights / weights.sum()
        mean = weights @ seen[:t]
        variance = weights @ (seen[:t] - mean) ** 2
        if t > 1:
            torch.testing.assert_close(out, us[t - 1] / (variance.sqrt() + 1e-3))


@pytest.mark.parametrize("channel_first", [True, False])
def test_a_stack_of_matrices_is_treated_one_by_one(channel_first: bool) -> None:
    u = _draw(3, 2, 4)[0] if channel_first else _draw(4, 3, 2)[0]
    made = [tz.m.Orthogonalize(method="svd", dual_norm_correction=True), tz.m.DualNormCorrection()]
    stacked = [tz.m.Orthogonalize(False, True, "svd", channel_first), tz.m.DualNormCorrection(channel_first)]
    for one, whole in zip(made, stacked, strict=True):
        out = _run(whole, torch.zeros_like(u), [u])[0]
        for i in range(4):
            a, b = (u[..., i], out[..., i]) if channel_first else (u[i], out[i])
            torch.testing.assert_close(_run(one, torch.zeros_like(a), [a])[0], b)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_qr_is_of_the_matrix_from_inputs_to_outputs(shape: tuple[int, int]) -> None:
    """Which favours some columns: the transpose of a square matrix has another factor."""
    u, x = _draw(*shape, n=1)[0], torch.zeros(shape, dtype=torch.float64)
    first, last = (_run(tz.m.Orthogonalize(method="qr", channel_first=c), x, [u])[0] for c in (True, False))
    torch.testing.assert_close(first, tz.linalg.orthogonalize(u.mT, "qr").mT)
    torch.testing.assert_close(last, tz.linalg.orthogonalize(u, "qr"))
    assert torch.allclose(first, last) == (shape != (3, 3))


def test_a_product_along_each_dimension_of_a_tensor() -> None:
    x = _draw(2, 3, 4)[0]
    A, B, C = _draw(2, 2)[0], _draw(3, 3)[0], _draw(4, 4)[0]
    torch.testing.assert_close(mode_product(x, [A, B, C], [0, 1, 2]), torch.einsum("ijk,ia,jb,kc->abc", x, A, B, C))
    torch.testing.assert_close(mode_product(x, [C, B], [2, 1]), torch.einsum("ijk,jb,kc->ibc", x, B, C))
    torch.testing.assert_close(mode_product(x[0, 0], [C], [0]), x[0, 0] @ C)
    for i, kept in enumerate(("iab,jab->ij", "aib,ajb->ij", "abi,abj->ij")):
        torch.testing.assert_close(gram(x, i), torch.einsum(kept, x, x))
    torch.testing.assert_close(gram(x[0, 0], 0), torch.outer(x[0, 0], x[0, 0]))
    empty = torch.zeros(2, 0, 4, dtype=torch.float64)
    assert mode_product(empty, [A, C], [0, 2]).shape == empty.shape
    assert gram(empty, 0).equal(torch.zeros(2, 2, dtype=torch.float64))
    assert mode_product(torch.zeros(0, 3, 4, dtype=torch.float64), [B], [1]).shape == (0, 3, 4)
