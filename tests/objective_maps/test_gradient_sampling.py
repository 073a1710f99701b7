"""GradientSampling: the gathered loss and gradient, recomputed from the points that the objective saw."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from torchzero.objective_maps.gradient_sampling import AGGREGATES
from torchzero.objective_maps.gradient_sampling import Sampled as _Sampled


class Watched(tz.Objective):
    """A quartic that notes where it is asked; `bad` samples are infinite."""

    def __init__(self, bad: Any = lambda i: False) -> None:
        self.points: list[np.ndarray[Any, Any]] = []
        self.bad = bad

    def value(self, params: Any) -> Tensor:
        self.points.append(np.concatenate([p.numpy().ravel() for p in params]))
        f = sum((p**4).sum() + p.sum() for p in params)
        return torch.full_like(f, torch.inf) if self.bad(len(self.points) - 1) else f

    def value_and_grad(self, params: Any) -> tuple[Tensor, Any]:
        return self.value(params), [4 * p**3 + 1 for p in params]


def start() -> list[Tensor]:
    g = torch.Generator().manual_seed(3)
    return [torch.randn(s, dtype=torch.float64, generator=g) for s in ((3,), (), (2, 2))]


def flat(params: Any) -> np.ndarray[Any, Any]:
    return np.concatenate([p.numpy().ravel() for p in params])


@pytest.mark.parametrize("how", AGGREGATES)
@settings(max_examples=8)
@given(
    n=st.integers(1, 6),
    here=st.booleans(),
    seed=st.integers(0, 99),
    fails=st.sets(st.integers(0, 5)),
    hold=st.booleans(),
)
def test_gathers_what_the_samples_say(how: str, n: int, here: bool, seed: int, fails: set[int], hold: bool) -> None:
    objective, x = Watched(lambda i: i in fails), start()
    module = tz.m.GradientSampling(sigma=0.5, n=n, aggregate=how, include_x0=here, pre_generate=hold, seed=seed)
    var = module.step(module.init(x), tz.Var(x, objective=objective))[1]
    update = flat(var.update)
    points = list(objective.points)
    assert len(points) == n
    if here:
        np.testing.assert_array_equal(points[0], flat(x))
    good = [p for i, p in enumerate(points) if i not in fails]
    if not good:
        assert var.loss == torch.inf
        assert np.isinf(update).all()
        return
    values = [(p**4).sum() + p.sum() for p in good]
    grads = np.stack([4 * p**3 + 1 for p in good])
    if how == "mean":
        loss, grad = np.mean(values), grads.mean(0)
    elif how in ("max", "min"):
        loss = max(values) if how == "max" else min(values)
        pick = getattr(np, f"arg{how}")(np.abs(grads), 0)
        grad = np.take_along_axis(grads, pick[None], 0)[0]
    else:
        i = int(np.argmin(values)) if how == "min-value" else int(np.argmin(np.linalg.norm(grads, axis=1)))
        loss, grad = values[i], grads[i]
    np.testing.assert_allclose(var.loss.item(), loss, rtol=1e-12)
    np.testing.assert_allclose(update, grad, rtol=1e-12)
    objective.points.clear()
    torch.testing.assert_close(var.need_objective(None).value(x), var.loss)


def test_the_points_are_the_same_at_every_evaluation_and_follow_the_parameters() -> None:
    for hold in (True, False):
        objective, x = Watched(), start()
        module = tz.m.GradientSampling(sigma=0.5, n=4, include_x0=False, pre_generate=hold, fixed=False, seed=0)
        state, var = module.step(module.init(x), tz.Var(x, objective=objective))
        seen = var.need_objective(None)
        seen.value(x)
        seen.value([p + 1 for p in x])
        a, b = np.stack(objective.points[:4]), np.stack(objective.points[4:])
        np.testing.assert_allclose(b, a + 1)
        module.step(state, tz.Var(x, objective=objective))[1].need_objective(None).value(x)
        assert not np.allclose(objective.points[-1], a[-1])


def test_fixed_points_are_the_same_at_every_step() -> None:
    objective, x = Watched(), start()
    module = tz.m.GradientSampling(sigma=0.5, n=2, include_x0=False, seed=0)
    state = module.init(x)
    for _ in range(3):
        state, var = module.step(state, tz.Var(x, objective=objective))
        var.need_objective(None).value(x)
    a = np.stack(objective.points).reshape(3, 2, -1)
    np.testing.assert_array_equal(a[0], a[1])
    np.testing.assert_array_equal(a[0], a[2])


@pytest.mark.parametrize(
    ("distribution", "check"),
    [
        ("gaussian", lambda z: abs(z.std() - 0.5) < 0.02 and abs(z.mean()) < 0.02),
        ("uniform", lambda z: abs(z).max() < 0.5 and abs(z.std() - 0.5 / np.sqrt(3)) < 0.02),
        ("rademacher", lambda z: set(np.round(z.ravel(), 12)) == {-0.5, 0.5}),
        ("sphere", lambda z: np.allclose(np.linalg.norm(z, axis=1), 0.5)),
    ],
)
def test_draws(distribution: str, check: Any) -> None:
    for hold in (True, False):
        objective, x = Watched(), [torch.zeros(20, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)]
        module = tz.m.GradientSampling(
            sigma=0.5, n=150, include_x0=False, distribution=distribution, pre_generate=hold, seed=5
        )
        module.step(module.init(x), tz.Var(x, objective=objective))[1].need_objective(None).value(x)
        assert check(np.stack(objective.points))


@pytest.mark.parametrize(("strategy", "here"), [("value", True), ("value", False), ("grad-norm", True)])
def test_sigma_grows_while_enough_points_are_better_and_shrinks_otherwise(strategy: str, here: bool) -> None:
    x = [torch.tensor([3.0], dtype=torch.float64)]

    def f(params: list[Tensor]) -> Tensor:
        return (params[0] ** 4).sum()

    for target, factor in ((0.2, 1.5), (1.0, 0.25)):
        module = tz.m.GradientSampling(
            sigma=0.1, n=30, include_x0=here, sigma_strategy=strategy, sigma_target=target, sigma_nplus=1.5,
            sigma_nminus=0.25, seed=0,
        )  # fmt: skip
        state = module.init(x)
        for k in range(3):
            state, var = module.step(state, tz.Var(x, objective=f))
            assert state.scale.item() == pytest.approx(factor**k)
            assert isinstance(var.objective, _Sampled)
            torch.testing.assert_close(var.loss, var.objective.value(x))
        assert module.evaluations(state) == 30 - here


class Every(tz.Module):
    """Wishes to end at every second step."""

    def init(self, params: Any) -> Tensor:
        return torch.zeros((), dtype=torch.int64)

    def update(self, state: Tensor, var: tz.Var) -> Tensor:
        return state + 1

    def apply(self, state: Tensor, var: tz.Var) -> tz.Var:
        return var.replace(should_terminate=state % 2 == 0)


def test_termination_shrinks_draws_anew_and_resets_the_inner_optimizer() -> None:
    objective, x = Watched(), start()
    for reset, count in ((True, [1, 2, 1, 2, 1]), (False, [1, 2, 3, 4, 5])):
        module = tz.m.GradientSampling(
            [tz.m.Adam(), tz.m.LR(0.1)], 0.5, 2, termination=Every(), decay=0.5, reset_on_termination=reset, seed=0
        )
        state = module.init(x)
        keys, scales, steps = [], [], []
        for _ in range(5):
            state, var = module.step(state, tz.Var(x, objective=objective))
            assert var.should_terminate is False
            keys.append(state.key.tolist())
            scales.append(state.scale.item())
            steps.append(tz.tree.leaves(state.children["modules"]["0.Adam"].t)[0].item())
        assert scales == [1, 1, 0.5, 0.5, 0.25]
        assert keys[0] == keys[1] != keys[2] == keys[3] != keys[4]
        assert steps == count


def test_termination_restarts_the_other_links_of_the_chain() -> None:
    objective, x = Watched(), start()
    for reset, count in ((True, [1, 2, 1, 2, 1]), (False, [1, 2, 3, 4, 5])):
        sampling = tz.m.GradientSampling(sigma=0.5, n=2, termination=Every(), reset_on_termination=reset, seed=0)
        opt = tz.Chain(sampling, tz.m.Adam(), tz.m.LR(0.1))
        state, steps = opt.init(x), []
        for _ in range(5):
            state, _ = opt.step(state, tz.Var(x, objective=objective))
            steps.append(tz.tree.leaves(state["1.Adam"].t)[0].item())
        assert steps == count


def test_inner_modules_keep_the_objective_to_themselves() -> None:
    x = torch.tensor([2.0])
    chain = tz.Chain(tz.m.GradientSampling(tz.m.LR(1.0), sigma=1.0, n=3, seed=0))
    _, var = chain.step(chain.init(x), tz.Var(x, objective=lambda y: (y**2).sum()))
    assert var.loss == 4.0
    assert var.update != 4.0


def test_gaussian_homotopy_is_the_older_name() -> None:
    assert tz.m.GaussianHomotopy is tz.m.GradientSampling


def test_only_values_are_asked_of_a_closure_by_a_module_that_wants_values() -> None:
    """Gradient-free methods behind it call closure(False) only, also when sigma adapts by values."""
    p = torch.tensor([1.0, 2.0], requires_grad=True)
    asked = []

    class Values(tz.Module):
        needs = frozenset({"objective"})
        makes_update = True

        def apply(self, state: tuple[()], var: tz.Var) -> tz.Var:
            value = var.need_objective(self).value(var.params)
            return var.replace(update=tz.tree.map(lambda q: 0 * q + value, var.params))

    def closure(backward: bool = True) -> Tensor:
        asked.append(backward)
        return (p**2).sum()

    opt = tz.Modular([p], tz.m.GradientSampling(sigma=0.1, n=3, sigma_strategy="value", seed=0), Values())
    opt.step(closure)
    assert asked
    assert not any(asked)


def test_hessians_of_the_mean_are_means_of_hessians() -> None:
    x = torch.tensor([1.0, -2.0], dtype=torch.float64)
    module = tz.m.GradientSampling(sigma=0.3, n=4, seed=0)
    seen = module.step(module.init(x), tz.Var(x, objective=lambda y: (y**4).sum()))[1].need_objective(None)
    torch.testing.assert_close(seen.hessian(x), torch.func.jacrev(lambda y: seen.value_and_grad(y)[1])(x))
    other = tz.m.GradientSampling(sigma=0.3, n=4, aggregate="max", seed=0)
    seen = other.step(other.init(x), tz.Var(x, objective=lambda y: (y**4).sum()))[1].need_objective(None)
    with pytest.raises(TypeError, match="Hessian-vector products"):
        seen.hvp(x, x)
