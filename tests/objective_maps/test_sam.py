"""SAM and ASAM: the papers' formulas in NumPy, one norm over all parameters, and what the shell returns."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz
from tests.oracle import Array

SCALES = (np.array([1.0, 4.0, 0.5]), np.array(2.0))


def f(params: list[Tensor]) -> Tensor:
    return sum(((torch.from_numpy(np.asarray(a)) * p**2).sum() for p, a in zip(params, SCALES, strict=True)), 0) * 0.5


def slopes(params: list[Array]) -> list[Array]:
    return [a * p for a, p in zip(SCALES, params, strict=True)]


def perturbed(params: list[Array], rho: float, p: float, eps: float, adaptive: bool) -> list[Array]:
    """Foret et al., equation 2, and Kwon et al., section 3, element by element."""
    q = 1.0 if math.isinf(p) else p / (p - 1)
    t = [np.abs(x) if adaptive else np.ones_like(x) for x in params]
    h = [s * g for s, g in zip(t, slopes(params), strict=True)]
    top = sum(float((np.abs(x) ** q).sum()) for x in h)
    bottom = max(top ** (0.0 if math.isinf(p) else 1 / p), eps)
    return [x + rho * s * np.sign(y) * np.abs(y) ** (q - 1) / bottom for x, s, y in zip(params, t, h, strict=True)]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    rho=st.floats(0.0, 2.0),
    p=st.one_of(st.just(2), st.floats(1.2, 8.0), st.just(math.inf)),
    adaptive=st.booleans(),
    tensor=st.booleans(),
)
def test_agrees_with_the_paper(seed: int, rho: float, p: float, adaptive: bool, tensor: bool) -> None:
    rng = np.random.default_rng(seed)
    start = [rng.normal(size=3), rng.normal(size=())]
    settings_ = {"rho": rho, "p": p, "eps": 1e-10}
    given_ = {k: torch.tensor(v, dtype=torch.float64) for k, v in settings_.items()} if tensor else settings_
    made = [tz.m.ASAM(**given_), tz.m.SAM(**given_, asam=True)] if adaptive else [tz.m.SAM(**given_)]
    point = perturbed(start, rho, p, 1e-10, adaptive)
    for module in made:
        x = [torch.from_numpy(np.asarray(s)) for s in start]
        _, var = module.step((), tz.Var(x, objective=f))
        for mine, theirs in zip(var.update, slopes(point), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
        value = sum(0.5 * float((a * y**2).sum()) for a, y in zip(SCALES, point, strict=True))
        assert var.loss.item() == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("p", [1.5, 2, 4, math.inf])
def test_the_perturbation_has_norm_rho_over_all_parameters(p: float) -> None:
    x = [torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64)]
    seen = []

    def watched(params: list[Tensor]) -> Tensor:
        seen.append([q.detach() for q in params])
        return f(params)

    _, var = tz.m.SAM(rho=0.25, p=p).step((), tz.Var(x, objective=watched))
    assert var.loss.isfinite()
    last = [torch.func.debug_unwrap(q, recurse=True) for q in seen[-1]]
    move = torch.cat([(a - b).reshape(-1) for a, b in zip(last, x, strict=True)])
    assert torch.linalg.vector_norm(move, p).item() == pytest.approx(0.25)


def test_a_zero_gradient_is_no_perturbation_and_no_nan() -> None:
    for module in (tz.m.SAM(), tz.m.ASAM(), tz.m.SAM(p=3)):
        x = torch.zeros(3)
        update = module.step((), tz.Var(x, objective=lambda y: (y**2).sum()))[1].update
        assert torch.equal(update, x)


def test_asam_does_not_see_a_rescaling_of_layers() -> None:
    """Rescaling w to w/c, and the function with it, leaves loss and (rescaled) gradients as they are."""
    x = [torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)]

    def g(params: list[Tensor]) -> Tensor:
        return (params[0] * params[1]).square().sum() + params[0].sum()

    c = 7.0
    y = [x[0] / c, x[1] * c]
    one = tz.m.ASAM(0.3).step((), tz.Var(x, objective=g))[1]
    two = tz.m.ASAM(0.3).step((), tz.Var(y, objective=lambda q: g([q[0] * c, q[1] / c])))[1]
    torch.testing.assert_close(one.loss, two.loss)
    torch.testing.assert_close([two.update[0] / c, two.update[1] * c], one.update)


def test_modular_returns_the_loss_at_the_parameters_and_leaves_them_alone() -> None:
    p = torch.tensor([3.0, 4.0], requires_grad=True)
    opt = tz.Modular([p], tz.m.SAM(rho=1.0), tz.m.LR(0.0))
    calls = []

    def closure(backward: bool = True) -> Tensor:
        loss = (p**2).sum()
        calls.append(p.detach().clone())
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    assert opt.step(closure).item() == 25.0
    assert len(calls) == 2
    torch.testing.assert_close(calls[1], torch.tensor([3.6, 4.8]))
    assert torch.equal(p.detach(), torch.tensor([3.0, 4.0]))


def test_second_order_information_is_that_of_the_perturbed_point() -> None:
    x = torch.tensor([1.0, 2.0], dtype=torch.float64)
    var = tz.m.SAM(rho=0.5).step((), tz.Var(x, objective=lambda y: (y**4).sum()))[1]
    objective = var.need_objective(None)
    grad = 4 * x**3
    there = x + 0.5 * grad / grad.norm()
    v = torch.tensor([1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(objective.hvp(x, v), 12 * there**2 * v)
    torch.testing.assert_close(objective.hessian(x), torch.diag(12 * there**2))
    torch.testing.assert_close(objective.linearize(x)[0], 4 * there**3)


@pytest.mark.parametrize("settings_", [{"rho": -1}, {"p": 1}, {"p": 0.5}, {"eps": 0}])
def test_bad_numbers_are_named(settings_: dict[str, float]) -> None:
    (name,) = settings_
    for cls in (tz.m.SAM, tz.m.ASAM):
        with pytest.raises(ValueError, match=rf"{cls.__name__}\({name}="):
            cls(**settings_)


def test_two_radii_are_two_lengths() -> None:
    x = {"a": torch.tensor([3.0]), "b": torch.tensor([4.0])}
    module = tz.m.SAM(rho={"a": 0.0, "b": 1.0})
    update = module.step((), tz.Var(x, objective=lambda q: (q["a"] ** 2 + q["b"] ** 2).sum()))[1].update
    torch.testing.assert_close(update, {"a": torch.tensor([6.0]), "b": torch.tensor([8.0 + 2 * 0.8])})
    with pytest.raises(ValueError, match=r"SAM\(p=.*must be one number"):
        tz.m.SAM(p={"a": 2, "b": 3}).step((), tz.Var(x, objective=lambda q: q["a"].sum()))


def test_without_an_objective_it_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match=r"SAM: must evaluate the objective.*closure"):
        tz.m.SAM()(torch.ones(1), (), grad=torch.ones(1))
