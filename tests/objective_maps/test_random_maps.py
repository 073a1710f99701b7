"""WeightDropout and PerturbWeights: what the objective saw, and what came back."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz

SHAPES = ((30,), (4, 5), ())


def start(seed: int) -> list[Tensor]:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(s, dtype=torch.float64, generator=g) for s in SHAPES]


def f(params: list[Tensor]) -> Tensor:
    return sum(((p**3) / 3 + p**2 / 2).sum() for p in params) + torch.cat([p.reshape(-1) for p in params]).sum() ** 2


def slopes(params: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    total = sum(p.sum() for p in params)
    return [p**2 + p + 2 * total for p in params]


class Watched(tz.FunctionObjective):
    """Notes where it is asked."""

    def __init__(self) -> None:
        super().__init__(f)
        self.points: list[list[Tensor]] = []

    def value_and_grad(self, params: Any) -> tuple[Tensor, Any]:
        self.points.append(params)
        return super().value_and_grad(params)


@settings(max_examples=15)
@given(seed=st.integers(0, 999), p=st.floats(0, 1))
def test_dropped_weights_are_those_of_the_formula(seed: int, p: float) -> None:
    x, objective = start(seed), Watched()
    module = tz.m.WeightDropout(p, seed=seed)
    state, var = module.step(module.init(x), tz.Var(x, objective=objective))
    update = var.update
    (point,) = objective.points
    masks = [(a != 0).numpy() for a in point]
    for a, b, m in zip(point, x, masks, strict=True):
        np.testing.assert_array_equal(a, b.numpy() * m)
    for u, g, m in zip(update, slopes([a.numpy() for a in point]), masks, strict=True):
        np.testing.assert_allclose(u, g * m, rtol=1e-10)
    seen = var.need_objective(None)
    torch.testing.assert_close(seen.value(x), var.loss)
    v = start(seed + 1)
    plain = tz.FunctionObjective(
        lambda y: f([a * torch.from_numpy(np.asarray(m)) for a, m in zip(y, masks, strict=True)])
    )
    torch.testing.assert_close(seen.hvp(x, v), plain.hvp(x, v))
    torch.testing.assert_close(seen.hessian(x), plain.hessian(x))
    torch.testing.assert_close(seen.jacobian(x), plain.jacobian(x))
    if 0.2 < p < 0.8:
        again = module.step(state, tz.Var(x, objective=objective))[1].loss
        assert again != var.loss


def test_dropout_is_as_frequent_as_asked() -> None:
    x = torch.ones(20000)
    module = tz.m.WeightDropout(0.3, seed=1)
    update = module.step(module.init(x), tz.Var(x, objective=lambda y: y.sum()))[1].update
    assert (update == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    per_leaf = tz.m.WeightDropout({"a": 0.0, "b": 1.0}, seed=0)
    y = {"a": torch.ones(50), "b": torch.ones(50)}
    var = per_leaf.step(per_leaf.init(y), tz.Var(y, objective=lambda q: q["a"].sum() + q["b"].sum()))[1]
    assert var.update["a"].min() == 1
    assert var.update["b"].max() == 0


SIZES: dict[Any, Any] = {"mad": lambda x: np.abs(x).mean(), "l2": np.linalg.norm, "std": lambda x: x.std(ddof=1)}


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    alpha=st.floats(0.01, 2),
    relative=st.booleans(),
    metric=st.sampled_from(["mad", "l2", "std"]),
    distribution=st.sampled_from(["normal", "uniform", "rademacher", "sphere"]),
)
def test_perturbed_weights_are_those_of_the_formula(
    seed: int, alpha: float, relative: bool, metric: str, distribution: str
) -> None:
    x, objective = start(seed)[:2], Watched()
    module = tz.m.PerturbWeights(alpha, relative, distribution, metric, seed=seed)
    _, var = module.step(module.init(x), tz.Var(x, objective=objective))
    update = var.update
    (point,) = objective.points
    for u, g in zip(update, slopes([a.numpy() for a in point]), strict=True):
        np.testing.assert_allclose(u, g, rtol=1e-9)
    for a, b in zip(point, x, strict=True):
        size = SIZES[metric](b.numpy().ravel()) if relative else 1.0
        xi = (a - b).numpy() / (alpha * size)
        if distribution == "rademacher":
            np.testing.assert_allclose(np.abs(xi), 1, rtol=1e-8)
        elif distribution == "uniform":
            assert np.abs(xi).max() <= 1 + 1e-9
            assert np.abs(xi).max() > 0.6
        elif distribution == "sphere":
            np.testing.assert_allclose(np.linalg.norm(xi), 1, rtol=1e-8)
        else:
            assert 0.4 < xi.std() < 1.8
    var.need_objective(None).value_and_grad([a + 1 for a in x])
    for a, b in zip(objective.points[1], point, strict=True):
        torch.testing.assert_close(a, b + 1)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"WeightDropout\(p=1.5\): must lie in \[0, 1\]"):
        tz.m.WeightDropout(1.5)
    with pytest.raises(ValueError, match=r"PerturbWeights\(metric='size'\)"):
        tz.m.PerturbWeights(metric="size")
    with pytest.raises(ValueError, match=r"PerturbWeights\(distribution='cauchy'\)"):
        tz.m.PerturbWeights(distribution="cauchy")


def test_seeds_that_are_not_given_are_drawn_once() -> None:
    a, b = tz.m.WeightDropout(), tz.m.WeightDropout()
    assert a.seed != b.seed
    x = torch.ones(20)
    first, second = (a.step(a.init(x), tz.Var(x, objective=lambda y: y.sum()))[1].update for _ in range(2))
    assert torch.equal(first, second)
