"""What is peculiar to step sizes: negative curvature, unknown optima, and settings that must be one number."""

import pytest
import torch

import torchzero as tz


@pytest.mark.parametrize("kind", ["long", "short", "geom", "geom-fallback"])
def test_barzilai_borwein_finds_the_curvature_of_a_parabola(kind: str) -> None:
    """In one dimension all types are the inverse of the second derivative."""
    bb, p = tz.m.BarzilaiBorwein(kind, alpha_0=0.1), torch.tensor([4.0], dtype=torch.float64)
    state = bb.init(p)
    for _ in range(2):
        p, state = bb(p, state, lambda x: 1.5 * (x**2).sum())
    assert p.abs().item() < 1e-12


@pytest.mark.parametrize("kind", ["long", "short", "geom", "geom-fallback"])
def test_barzilai_borwein_takes_the_small_step_where_the_curvature_is_negative(kind: str) -> None:
    """Also the geometric mean, which would be real: the product of two negative numbers."""
    bb, p = tz.m.BarzilaiBorwein(kind, alpha_0=0.01), torch.tensor([4.0], dtype=torch.float64)
    state = bb.init(p)
    for _ in range(2):
        before = p
        p, state = bb(p, state, lambda x: -(x**2).sum())
    assert (p - before).abs().item() == pytest.approx(0.01 * 2 * before.abs().item())


def test_barzilai_borwein_forgets_the_last_point_when_reset_for_online() -> None:
    """The next step is the small one again."""
    bb, p = tz.m.BarzilaiBorwein(alpha_0=1e-3), torch.tensor([0.5], dtype=torch.float64)
    f = lambda x: (x**2).sum()  # noqa: E731
    p, state = bb(p, bb.init(p), f)
    p, state = bb(p, bb.reset_for_online(state), f)
    assert state.a.item() == pytest.approx(1e-3 / (2 * (0.5 - 1e-3)))


def test_barzilai_borwein_measures_the_direction_that_came_in_and_scales_the_inner_one() -> None:
    """With inner=StepSize(c) every step is c times as long."""
    p, g = torch.tensor([1.0, 2.0]), torch.tensor([0.3, -0.1])
    plain, inner = (tz.m.BarzilaiBorwein(alpha_0=0.01, inner=i) for i in (None, tz.m.StepSize(0.5)))
    for opt, factor in ((plain, 1.0), (inner, 0.5)):
        out = opt.step(opt.init(p), tz.Var(p, grad=g))[1].update
        torch.testing.assert_close(out, factor * 0.01 / 0.3 * g)


def test_polyak_below_the_optimum_takes_a_small_step() -> None:
    """f ≤ f* would give a step uphill."""
    polyak, p = tz.m.PolyakStepSize(f_star=10.0), torch.tensor([2.0])
    new, _ = polyak(p, polyak.init(p), lambda x: (x**2).sum())
    assert 0 < (p - new).abs().item() < 1e-6


def test_polyak_reaches_the_optimum_of_the_absolute_value_in_one_step() -> None:
    """A linear model is exact there."""
    polyak, p = tz.m.PolyakStepSize(), torch.tensor([5.0], dtype=torch.float64)
    assert polyak(p, polyak.init(p), lambda x: 3 * x.abs().sum())[0].abs().item() < 1e-12


def test_several_values_of_a_setting_that_all_parameters_share() -> None:
    """A tree that repeats one value is that value; different ones are an error that says what to do."""
    p = [torch.ones(1), torch.ones(1)]
    same = tz.m.PolyakStepSize(f_star=[0.5, 0.5])
    same.step(same.init(p), tz.Var(p, grad=p, loss=torch.tensor(1.0)))
    bad = tz.m.PolyakStepSize(f_star=[0.5, 0.25])
    with pytest.raises(ValueError, match=r"PolyakStepSize\(f_star=\[0.5, 0.25\]\): must be one number.*Split"):
        bad.step(bad.init(p), tz.Var(p, grad=p, loss=torch.tensor(1.0)))
