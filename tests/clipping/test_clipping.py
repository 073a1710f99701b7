"""What is peculiar to clipping: torch's own clip, tensors among others, inner modules, and errors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz


def direction(module: tz.Module, u: Any, steps: int = 1) -> Any:
    """What a module makes of the same update shown several times."""
    state = module.init(u)
    for _ in range(steps - 1):
        state = module.update(state, tz.Var(u, grad=u))
    return module.step(state, tz.Var(u, grad=u))[1].update


def draw(*shape: int, seed: int = 0) -> Tensor:
    """A normal tensor in double precision."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ord", [1.0, 2.0, 3.0, torch.inf])
def test_global_clipping_is_that_of_torch(ord: float) -> None:
    """torch adds 1e-6 to the norm, so it is a little shorter."""
    params = [torch.zeros(3, 4).requires_grad_(), torch.zeros(5).requires_grad_()]
    grads = [draw(3, 4).float(), draw(5, seed=1).float()]
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()
    torch.nn.utils.clip_grad_norm_(params, 0.5, ord)
    mine = direction(tz.m.ClipNorm(0.5, ord, dim="global"), grads)
    for p, x in zip(params, mine, strict=True):
        torch.testing.assert_close(x, p.grad, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "make",
    [lambda: tz.m.ClipNorm(0.5), lambda: tz.m.Normalize(), lambda: tz.m.Centralize()],
    ids=["clip", "unit", "mean"],
)
@pytest.mark.parametrize("first", [(), (3,), (2, 2, 2)])
def test_a_tensor_is_treated_as_if_it_were_alone(make: Callable[[], tz.Module], first: tuple[int, ...]) -> None:
    """Whatever the shape of the tensor before it."""
    matrix = draw(4, 5)
    among = direction(make(), [draw(*first, seed=1), matrix])[1]
    assert torch.equal(among, direction(make(), [matrix])[0])


def test_no_gradient_gives_no_direction() -> None:
    """And no NaN, whatever the norm."""
    zero = [torch.zeros(3), torch.zeros(2, 2)]
    for module in (tz.m.Normalize(), tz.m.Normalize(dim="global"), tz.m.Normalize(dim=0), tz.m.NormalizeByEMA()):
        for x in direction(module, zero, steps=2):
            assert torch.equal(x, torch.zeros_like(x))


def test_a_constant_tensor_has_no_standard_deviation_to_divide_by() -> None:
    """It is left alone."""
    u = torch.full((4,), 3.0)
    assert torch.equal(direction(tz.m.Normalize(ord="std"), u), u)


@pytest.mark.parametrize("cls", [tz.m.ClipNormByEMA, tz.m.NormalizeByEMA])
def test_the_factor_of_the_update_scales_the_inner_direction(cls: Any) -> None:
    """The norm is measured before the inner module."""
    u = draw(6)
    plain = direction(cls(0.5), u, steps=2)
    torch.testing.assert_close(direction(cls(0.5, inner=tz.m.StepSize(-3.0)), u, steps=2), -3 * plain)


def test_the_child_of_a_buffer_sees_the_bound() -> None:
    """exp_avg_tfm is applied to e whenever it is used, and does not stay in it."""
    u = draw(6)
    halved = tz.m.ClipValueByEMA(0.5, exp_avg_tfm=tz.m.StepSize(0.5))
    torch.testing.assert_close(direction(halved, u, 3), 0.5 * direction(tz.m.ClipValueByEMA(0.5), u, 3))


def test_a_unit_is_a_row_and_its_weights_bound_it() -> None:
    """Rows with large weights may move further; zero weights may move by eps."""
    p = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    u = torch.tensor([[30.0, 40.0], [30.0, 40.0]])
    out = tz.m.AdaptiveClipNorm(0.1, eps=1e-2).apply((), tz.Var(p, grad=u)).update
    torch.testing.assert_close(torch.linalg.vector_norm(out, dim=1), torch.tensor([1e-3, 0.2]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tz.m.ClipNorm(0), r"ClipNorm\(max_norm=0\): must lie in \(0, inf\)"),
        (lambda: tz.m.ClipValue(-1.0), r"ClipValue\(value=-1.0\): must lie in \(0, inf\)"),
        (lambda: tz.m.ClipNorm(1, ord="l5"), r"ClipNorm\(ord='l5'\): must be a number in \[0, inf\] or one of mad"),
        (lambda: tz.m.Normalize(ord=-1), r"Normalize\(ord=-1\): must be a number in"),
        (lambda: tz.m.Normalize(dim="channel"), r"Normalize\(dim='channel'\): must be None .* \"global\""),
        (lambda: tz.m.Centralize(dim=[0, 1.5]), r"Centralize\(dim=\(0, 1.5\)\): must be None"),
        (lambda: tz.m.AdaptiveClipNorm(dim="global"), r"AdaptiveClipNorm\(dim='global'\)"),
        (lambda: tz.m.ClipNormByEMA(1.0), r"ClipNormByEMA\(beta=1.0\): must lie in \[0, 1\)"),
        (lambda: tz.m.ClipNormGrowth(max_decay=1), r"ClipNormGrowth\(max_decay=1\): must lie in \(1, inf\)"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], tz.Module], message: str) -> None:
    """With module, argument, value and range."""
    with pytest.raises(ValueError, match=message):
        make()
