"""Estimated gradients against loops, the gradient itself, and through closures."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from torchzero.core import random
from torchzero.grad_approximation import base
from torchzero.testing import LAWS, applies, check_law

F64 = torch.float64
Array = np.ndarray[Any, Any]

# The derivative as a textbook writes it: f is the value at so many steps from the point.
FORMULAS: dict[str, Callable[[Callable[[int], float], float], float]] = {
    "forward": lambda f, h: (f(1) - f(0)) / h,
    "forward2": lambda f, h: (f(1) - f(0)) / h,
    "backward": lambda f, h: (f(0) - f(-1)) / h,
    "backward2": lambda f, h: (f(0) - f(-1)) / h,
    "central": lambda f, h: (f(1) - f(-1)) / (2 * h),
    "central2": lambda f, h: (f(1) - f(-1)) / (2 * h),
    "forward3": lambda f, h: (-3 * f(0) + 4 * f(1) - f(2)) / (2 * h),
    "backward3": lambda f, h: (f(-2) - 4 * f(-1) + 3 * f(0)) / (2 * h),
    "central4": lambda f, h: (f(-2) - 8 * f(-1) + 8 * f(1) - f(2)) / (12 * h),
    "forward4": lambda f, h: (-11 * f(0) + 18 * f(1) - 9 * f(2) + 2 * f(3)) / (6 * h),
    "forward5": lambda f, h: (-25 * f(0) + 48 * f(1) - 36 * f(2) + 16 * f(3) - 3 * f(4)) / (12 * h),
}
ORDERS = {"2": 1, "3": 2, "4": 3, "5": 4, "central2": 2, "central4": 4, "central": 2}

formulas = st.sampled_from(sorted(FORMULAS))
widths = st.floats(0.05, 1.0)
seeds = st.integers(0, 2**31)


def _point(seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s) for s in ((3,), (), (2, 2))]


def _f(params: Any) -> Any:
    """Works in NumPy and in torch."""
    a, b, c = params
    return (a**4).sum() + 2 * b**3 + (a * b).sum() + (c**2).sum() * (1 + b**2) + a[0] * c[0, 1]


def _gradient(module: tz.Module, params: list[Array], steps: int = 1) -> list[Array]:
    p = [torch.from_numpy(np.asarray(x)) for x in params]
    state, var = module.init(p), tz.Var(p)
    for _ in range(steps):
        state, var = module.step(state, tz.Var(p, objective=_f))
    return [u.numpy() for u in var.update]


def _close(mine: list[Array], theirs: list[Array], rtol: float = 1e-8) -> None:
    for x, y in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


def _along(params: list[Array], z: list[Array], h: float, formula: str) -> float:
    return FORMULAS[formula](lambda k: float(_f([p + k * h * d for p, d in zip(params, z, strict=True)])), h)


@settings(max_examples=40)
@given(seed=seeds, h=widths, formula=formulas, target=st.sampled_from(["closure", "grad", "update"]))
def test_differences_along_coordinates_are_those_of_a_loop(seed: int, h: float, formula: str, target: str) -> None:
    params = _point(seed)
    wanted = []
    for i, p in enumerate(params):
        g = np.zeros_like(p)
        for j in np.ndindex(p.shape):
            z = [np.zeros_like(x) for x in params]
            z[i] = np.asarray(z[i])
            z[i][j] = 1.0
            g[j] = _along(params, z, h, formula)
        wanted.append(g)
    _close(_gradient(tz.m.FDM(h, formula, target), params), wanted)


def _directions(seed: int, params: list[Array], m: int, distribution: str, step: int) -> list[list[Array]]:
    """The random directions themselves, scaled to variance one; the draws are the core's business."""
    like = [torch.from_numpy(np.asarray(x)) for x in params]
    key = random.fold_in(random.key(seed), step)
    n = sum(x.size for x in params)
    scale = {"uniform": math.sqrt(3), "sphere": math.sqrt(n)}.get(distribution, 1.0)
    draws = [random.sample_tree(random.fold_in(key, s), like, distribution) for s in range(m)]
    return [[np.asarray(scale * x.numpy()) for x in z] for z in draws]


def _mean(slopes: list[float], z: list[list[Array]]) -> list[Array]:
    return [np.mean([d * x[i] for d, x in zip(slopes, z, strict=True)], axis=0) for i in range(len(z[0]))]


MAKERS: dict[str, Callable[..., tz.Module]] = {
    "RandomizedFDM": lambda h, m, f, d, s: tz.m.RandomizedFDM(h, m, f, d, seed=s),
    "SPSA": lambda h, m, f, d, s: tz.m.SPSA(h, m, f, d, seed=s),
    "RDSA": lambda h, m, f, d, s: tz.m.RDSA(h, m, f, d, seed=s),
    "GaussianSmoothing": lambda h, m, f, d, s: tz.m.GaussianSmoothing(h, m, f, d, seed=s),
    "MeZO": lambda h, m, f, d, s: tz.m.MeZO(h, m, f, d, seed=s),
}


@pytest.mark.parametrize("name", sorted([*MAKERS, "SPSA1"]))
@settings(max_examples=15)
@given(
    seed=seeds,
    h=widths,
    m=st.integers(1, 4),
    formula=formulas,
    distribution=st.sampled_from(random.DISTRIBUTIONS),
    step=st.integers(1, 2),
    eps=st.floats(-1, 1),
)
def test_differences_along_random_directions_are_those_of_a_loop(
    name: str, seed: int, h: float, m: int, formula: str, distribution: str, step: int, eps: float
) -> None:
    params = _point(seed)
    if name == "SPSA1":
        z = _directions(seed, params, m, "rademacher", step)
        slopes = [(float(_f([p + h * x for p, x in zip(params, d, strict=True)])) + eps) / h for d in z]
        module: tz.Module = tz.m.SPSA1(h, m, eps, pre_generate=True, seed=seed)
    else:
        z = _directions(seed, params, m, distribution, step)
        slopes = [_along(params, d, h, formula) for d in z]
        module = MAKERS[name](h, m, formula, distribution, seed)
    _close(_gradient(module, params, step), _mean(slopes, z))


@settings(max_examples=20)
@given(seed=seeds, m=st.integers(1, 4), distribution=st.sampled_from(random.DISTRIBUTIONS))
def test_derivatives_along_random_directions_are_those_of_the_gradient(seed: int, m: int, distribution: str) -> None:
    params = _point(seed)
    leaves = [torch.tensor(x, requires_grad=True) for x in params]
    g = [x.numpy() for x in torch.autograd.grad(_f(leaves), leaves)]
    z = _directions(seed, params, m, distribution, 1)
    slopes = [sum(float((x * y).sum()) for x, y in zip(d, g, strict=True)) for d in z]
    _close(_gradient(tz.m.ForwardGradient(m, distribution, seed=seed), params), _mean(slopes, z))
    for method in ("forward", "central"):
        wanted = _mean([_along(params, d, 0.3, method) for d in z], z)
        _close(_gradient(tz.m.ForwardGradient(m, distribution, jvp_method=method, h=0.3, seed=seed), params), wanted)


@pytest.mark.parametrize("formula", sorted(FORMULAS))
def test_a_formula_is_exact_for_polynomials_up_to_its_order(formula: str) -> None:
    order = ORDERS.get(formula) or ORDERS.get(formula[-1], 1)
    x = torch.tensor([0.7], dtype=F64)
    for degree in range(order + 2):
        module = tz.m.FDM(0.5, formula)
        found = module.step(module.init(x), tz.Var(x, objective=lambda x, d=degree: (x**d).sum()))[1].update
        error = abs(found.item() - degree * 0.7 ** max(degree - 1, 0))
        assert (error < 1e-12) == (degree <= order), degree


@pytest.mark.parametrize("distribution", random.DISTRIBUTIONS)
def test_estimates_are_right_on_average(distribution: str) -> None:
    p = [torch.tensor([1.0, -2.0, 0.5], dtype=F64), torch.tensor([[0.3, 1.0]], dtype=F64)]

    def f(p: list[Tensor]) -> Tensor:
        return (p[0] ** 2).sum() + (p[1] * p[0][:2]).sum()

    g = torch.func.grad(f)(p)
    for module in (
        tz.m.RandomizedFDM(1e-4, 3000, distribution=distribution, seed=3),
        tz.m.ForwardGradient(3000, distribution, seed=3),
    ):
        found = module.step(module.init(p), tz.Var(p, objective=f))[1].update
        for x, y in zip(found, g, strict=True):
            np.testing.assert_allclose(x, y, atol=0.4)


def test_steps_of_each_parameter_leave_the_expectation_alone() -> None:
    p = {"a": torch.tensor([1.0, 2.0], dtype=F64), "b": torch.tensor([3.0], dtype=F64)}
    module = tz.m.RandomizedFDM({"a": 1e-3, "b": 1e-2}, 3000, seed=0)
    found = module.step(module.init(p), tz.Var(p, objective=lambda p: (p["a"] ** 2).sum() + (p["b"] ** 2).sum()))
    assert abs(found[1].update["b"].item() - 6) < 0.6
    assert (found[1].update["a"] - 2 * p["a"]).abs().max() < 0.5 * 10  # E stays; the spread is that of 10·b's slope
    exact = tz.m.FDM({"a": 1e-3, "b": 1e-2})
    found = exact.step(exact.init(p), tz.Var(p, objective=lambda p: (p["a"] ** 2).sum() + (p["b"] ** 2).sum()))
    np.testing.assert_allclose(found[1].update["b"], 6.0, rtol=1e-9)


ALL: dict[str, Callable[[], tz.Module]] = {
    "FDM": lambda: tz.m.FDM(1e-2, "forward"),
    "FDM central": lambda: tz.m.FDM(1e-2),
    "FDM grad": lambda: tz.m.FDM(1e-2, target="grad"),
    "FDM update": lambda: tz.m.FDM(1e-2, target="update"),
    "RandomizedFDM": lambda: tz.m.RandomizedFDM(1e-2, 3, seed=1),
    "not pre-generated": lambda: tz.m.RandomizedFDM(1e-2, 3, pre_generate=False, seed=1),
    "GaussianSmoothing": lambda: tz.m.GaussianSmoothing(0.1, 5, return_approx_loss=True, seed=1),
    "MeZO": lambda: tz.m.MeZO(1e-2, 2, seed=1),
    "SPSA1": lambda: tz.m.SPSA1(0.1, seed=1),
    "ForwardGradient": lambda: tz.m.ForwardGradient(2, seed=1),
    "ForwardGradient central": lambda: tz.m.ForwardGradient(2, jvp_method="central", seed=1),
}


class Calls:
    """A closure that counts, and refuses to differentiate unless told otherwise."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y, self.backwards, self.values = x, y, 0, 0

    def __call__(self, backward: bool = True) -> Tensor:
        self.backwards += backward
        self.values += not backward
        return (self.x**2).sum() * (1 + self.y**2).sum() + (self.x.sum() + self.y.sum()) ** 3


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_closure_is_called_with_false_alone_and_gives_what_a_function_gives(name: str) -> None:
    x, y = torch.tensor([1.0, -0.5], dtype=F64), torch.tensor([[0.3]], dtype=F64)
    live = [x.clone().requires_grad_(), y.clone().requires_grad_()]
    closure = Calls(*live)
    opt = tz.Modular(live, ALL[name](), tz.m.Adam(), tz.m.LR(0.05))
    chain = tz.Chain(ALL[name](), tz.m.Adam(), tz.m.LR(0.05))
    params = [x, y]
    state = chain.init(params)
    for _ in range(3):
        before = [p.detach().clone() for p in live]
        loss = opt.step(closure)
        params, state = chain(params, state, lambda p: Calls(*p)(False))
        for mine, theirs in zip(live, params, strict=True):
            np.testing.assert_allclose(mine.detach(), theirs, rtol=1e-7)
        if name != "GaussianSmoothing" and "grad" not in name and "update" not in name:  # what these never evaluate
            assert torch.equal(torch.as_tensor(loss).detach(), Calls(*before)(False))
    assert closure.backwards == 0
    assert opt.num_evaluations == closure.values


@pytest.mark.parametrize(
    ("make", "calls"),
    [
        (lambda: tz.m.FDM(formula="forward"), 4),
        (lambda: tz.m.FDM(), 7),
        (lambda: tz.m.FDM(formula="central4"), 13),
        (lambda: tz.m.FDM(formula="forward5"), 13),
        (lambda: tz.m.SPSA(seed=0), 3),
        (lambda: tz.m.SPSA(return_approx_loss=True, seed=0), 2),
        (lambda: tz.m.GaussianSmoothing(n_samples=7, seed=0), 8),
        (lambda: tz.m.SPSA1(seed=0), 2),
        (lambda: tz.m.ForwardGradient(5, seed=0), 2),
    ],
)
def test_evaluations_are_as_few_as_the_formula_needs(make: Callable[[], tz.Module], calls: int) -> None:
    live = [torch.ones(2, requires_grad=True), torch.ones(1, requires_grad=True)]
    closure = Calls(*live)
    opt = tz.Modular(live, make(), tz.m.LR(0.01))
    opt.step(closure)
    assert closure.values == calls
    module = make()
    state = module.update(module.init(live), tz.Var(live, objective=lambda p: Calls(*p)(False)))
    assert int(module.evaluations(state)) in (calls, calls - 1, 0)


def test_parameters_come_back_bit_for_bit_also_when_the_closure_raises() -> None:
    x = torch.tensor([0.1, 0.2, 0.3]).requires_grad_()
    before, count = x.detach().clone(), 0

    def closure(backward: bool = True) -> Tensor:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyError("no more")
        return (x**2).sum()

    opt = tz.Modular([x], tz.m.FDM(), tz.m.LR(0.1))
    with pytest.raises(KeyError):
        opt.step(closure)
    assert torch.equal(x.detach(), before)


def test_a_function_that_cannot_be_batched_is_evaluated_point_by_point() -> None:
    def f(p: Tensor) -> Tensor:
        return torch.tensor(float((p.numpy() ** 2).sum()), dtype=F64)

    p = torch.tensor([1.0, -2.0], dtype=F64)
    opt = tz.Chain(tz.m.FDM(), tz.m.LR(0.5))
    np.testing.assert_allclose(opt(p, opt.init(p), f)[0], 0.0, atol=1e-9)


def test_many_points_are_evaluated_in_batches_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    params = _point(5)
    whole = [_gradient(m(), params) for m in (lambda: tz.m.FDM(0.1), lambda: tz.m.RDSA(0.1, 7, seed=2))]
    monkeypatch.setattr(base, "BATCH", 24)  # three points of eight elements
    parts = [_gradient(m(), params) for m in (lambda: tz.m.FDM(0.1), lambda: tz.m.RDSA(0.1, 7, seed=2))]
    for a, b in zip(whole, parts, strict=True):
        _close(a, b)


def test_directions_stay_within_a_step_and_change_from_step_to_step() -> None:
    p = torch.tensor([1.0, 2.0, 3.0], dtype=F64)
    for fixed, again in ((True, True), (False, False)):
        module = tz.m.RandomizedFDM(seed=4, pre_generate=fixed)
        state, var = module.step(module.init(p), tz.Var(p, objective=lambda p: p.sum()))
        objective = var.objective
        assert objective is not None
        here, there = objective.value_and_grad(p)[1], objective.value_and_grad(p + 1)[1]
        assert torch.equal(here, objective.value_and_grad(p.clone())[1])
        assert torch.allclose(here, there, atol=1e-6) == again or torch.allclose(here.abs(), there.abs())
    seen = set()
    for _ in range(8):
        state, var = module.step(state, tz.Var(p, objective=lambda p: (p * torch.tensor([1.0, 2.0, 4.0])).sum()))
        seen.add(tuple(var.update.round(decimals=6).tolist()))
    assert len(seen) > 2


def test_new_directions_at_every_point_differ_from_point_to_point() -> None:
    module = tz.m.RandomizedFDM(seed=4, pre_generate=False, distribution="gaussian")
    p = torch.tensor([1.0, 2.0, 3.0], dtype=F64)
    objective = module.step(module.init(p), tz.Var(p, objective=lambda p: p.sum()))[1].objective
    assert objective is not None
    points = [p, p + 1, p + 1e-15, torch.tensor([2.0, 1.0, 3.0], dtype=F64)]
    found = {tuple(objective.value_and_grad(x)[1].tolist()) for x in points}
    assert len(found) == 4


@pytest.mark.parametrize("law", sorted(LAWS.keys() - {"grad", "shell", "compile"}))
def test_new_directions_at_every_point_obey_the_laws(law: str) -> None:
    module = tz.m.SPSA1(0.1, 2, pre_generate=False, seed=1)  # no law of derivatives: a draw has none
    if not applies(module, law):
        check_law(module, law, max_examples=2)


def test_later_modules_search_along_estimated_gradients() -> None:
    x, y = torch.tensor(-1.1, dtype=F64), torch.tensor(2.5, dtype=F64)

    def f(p: list[Tensor]) -> Tensor:
        return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2

    exact, estimated = tz.Chain(tz.m.SGD(), tz.m.LR(1e-4)), tz.Chain(tz.m.FDM(1e-4), tz.m.SGD(), tz.m.LR(1e-4))
    a, b = [x, y], [x, y]
    s, t = exact.init(a), estimated.init(b)
    for _ in range(5):
        a, s = exact(a, s, f)
        b, t = estimated(b, t, f)
    np.testing.assert_allclose(torch.stack(b), torch.stack(a), rtol=1e-5)


def test_without_something_to_evaluate_the_error_names_the_module() -> None:
    p = torch.zeros(1)
    with pytest.raises(RuntimeError, match=r"SPSA: must evaluate the objective"):
        tz.m.SPSA(seed=0).step(tz.m.SPSA(seed=0).init(p), tz.Var(p, grad=p))
    x = torch.zeros(1, requires_grad=True)
    x.grad = torch.ones(1)
    with pytest.raises(RuntimeError, match="FDM"):
        tz.Modular([x], tz.m.FDM(), tz.m.LR(0.1)).step()


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"FDM\(h=0\)"):
        tz.m.FDM(0)
    with pytest.raises(ValueError, match=r"FDM\(formula='sideways'\)"):
        tz.m.FDM(formula="sideways")
    with pytest.raises(ValueError, match=r"target='loss'"):
        tz.m.SPSA(target="loss")
    with pytest.raises(ValueError, match=r"n_samples=0"):
        tz.m.MeZO(n_samples=0)
    with pytest.raises(ValueError, match=r"jvp_method='reverse'"):
        tz.m.ForwardGradient(jvp_method="reverse")


def test_no_parameters_and_empty_ones_are_left_alone() -> None:
    for p in ([], [torch.zeros(0)]):
        for make in (lambda: tz.m.FDM(), lambda: tz.m.SPSA(seed=0), lambda: tz.m.ForwardGradient(seed=0)):
            module = make()
            update = module.step(module.init(p), tz.Var(p, objective=lambda p: torch.zeros(())))[1].update
            assert [u.shape for u in update] == [x.shape for x in p]
