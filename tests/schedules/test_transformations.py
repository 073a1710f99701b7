"""Schedules can be vmapped, differentiated and compiled, and numbers that make no sense are named."""

import functools
from collections.abc import Callable
from typing import Any

import optree
import pytest
import torch
from torch import Tensor

import torchzero as tz

MAKERS: dict[str, Callable[[], tz.schedules.Schedule]] = {
    "Constant": lambda: tz.schedules.Constant(0.5),
    "Linear": lambda: tz.schedules.Linear(0.9, 0.1, 5),
    "Cosine": lambda: tz.schedules.Cosine(0.9, 0.1, 5),
    "Polynomial": lambda: tz.schedules.Polynomial(0.9, 0.1, 5, 2.0),
    "Exponential": lambda: tz.schedules.Exponential(0.9, 0.5, 3, 0.05),
    "staircase": lambda: tz.schedules.Exponential(0.9, 0.5, 3, staircase=True),
    "WarmupDecay": lambda: tz.schedules.WarmupDecay(0.9, 3, 4, 0.1, 0.05, 1),
    "exponential WarmupDecay": lambda: tz.schedules.WarmupDecay(0.9, 3, 4, 0.1, 0.05, shape="exponential"),
    "OneCycle": lambda: tz.schedules.OneCycle(0.9, 10, 0.33),
    "three phases": lambda: tz.schedules.OneCycle(0.9, 10, 0.33, three_phase=True),
    "Piecewise": lambda: tz.schedules.Piecewise([0.3, tz.schedules.Linear(0.9, 0.1, 5), 0.2], [2, 5]),
    "Custom": lambda: tz.schedules.Custom(lambda k: 0.5**k),
}
K = 9


def names() -> set[str]:
    """The public schedules."""
    return {k for k, v in vars(tz.schedules).items() if isinstance(v, type) and v is not tz.schedules.Schedule}


def test_every_schedule_is_here() -> None:
    """No schedule escapes these tests."""
    assert {type(make()).__name__ for make in MAKERS.values()} == names()


@pytest.fixture(params=sorted(MAKERS))
def schedule(request: Any) -> tz.schedules.Schedule:
    """Each schedule."""
    return MAKERS[request.param]()


def along(schedule: tz.schedules.Schedule) -> Tensor:
    """The first values: (K,)."""
    return torch.stack([schedule(torch.tensor(k)) for k in range(K)])


def test_values_are_0_d(schedule: tz.schedules.Schedule) -> None:
    """And follow the dtype of what they multiply."""
    value = schedule(torch.tensor(3))
    assert value.shape == ()
    assert (value * torch.ones(2)).dtype == torch.float32


def test_vmap_over_steps(schedule: tz.schedules.Schedule) -> None:
    """A table of values at once."""
    torch.testing.assert_close(torch.vmap(schedule)(torch.arange(K)), along(schedule))


def test_vmap_over_numbers(schedule: tz.schedules.Schedule) -> None:
    """All numbers as 0-d tensors of a batch."""
    leaves, spec = optree.tree_flatten(schedule)
    if not leaves:
        return
    batch = [torch.tensor([x, 2 * x], dtype=torch.float64 if isinstance(x, float) else torch.int64) for x in leaves]
    got = torch.vmap(lambda *xs: along(optree.tree_unflatten(spec, xs)))(*batch)
    for i, factor in enumerate((1, 2)):
        torch.testing.assert_close(got[i], along(optree.tree_unflatten(spec, [x * factor for x in leaves])))


def test_derivatives_are_those_of_differences(schedule: tz.schedules.Schedule) -> None:
    """With respect to values (lengths, rates and boundaries included where the value moves smoothly with them)."""
    leaves, spec = optree.tree_flatten(schedule)
    floats = [torch.tensor(float(x), dtype=torch.float64) for x in leaves]

    def f(*xs: Tensor) -> Tensor:
        return along(optree.tree_unflatten(spec, xs)) @ torch.linspace(0.5, 1.5, K, dtype=torch.float64)

    slopes = torch.func.grad(f, tuple(range(len(floats))))(*floats) if floats else ()
    for i, (x, slope) in enumerate(zip(floats, slopes, strict=True)):
        assert torch.isfinite(slope)
        if isinstance(leaves[i], int):
            continue
        moved = [f(*floats[:i], x + h, *floats[i + 1 :]) for h in (1e-6, -1e-6)]
        torch.testing.assert_close(slope, (moved[0] - moved[1]) / 2e-6, rtol=1e-6, atol=1e-8)


def test_compiles_once(schedule: tz.schedules.Schedule) -> None:
    """One graph for all steps."""
    torch._dynamo.reset()
    graphs = []

    def backend(gm: Any, _: Any) -> Any:
        graphs.append(gm)
        return gm.forward

    compiled = torch.compile(schedule.value, fullgraph=True, backend=backend)
    for k in range(K):
        torch.testing.assert_close(compiled(torch.tensor(k)), schedule(torch.tensor(k)))
    assert len(graphs) <= 1


def test_numbers_are_checked() -> None:
    """The error names schedule, field, value and range."""
    with pytest.raises(ValueError, match=r"Linear\(steps=0\): must be an integer in \[1, inf\)"):
        tz.schedules.Linear(1.0, 0.0, steps=0)
    with pytest.raises(ValueError, match=r"Exponential\(rate=-1\)"):
        tz.schedules.Exponential(1.0, -1)
    with pytest.raises(ValueError, match=r"WarmupDecay\(end=0.0\): must be positive for an exponential decay"):
        tz.schedules.WarmupDecay(1.0, 1, 1, shape="exponential")
    with pytest.raises(ValueError, match=r"OneCycle\(shape='cos'\): must be one of 'cosine', 'linear'"):
        tz.schedules.OneCycle(1.0, 10, shape="cos")
    with pytest.raises(TypeError, match=r"Linear\(start=.*joined with Piecewise"):
        tz.schedules.Linear(tz.schedules.Constant(1.0), 0.0, 3)
    with pytest.raises(TypeError, match=r"Custom\(fn=3\): must be a function"):
        tz.schedules.Custom(3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("boundaries", [[], [1], [2, 2], [3, 2], [0, 1], [1, 2, 3]])
def test_boundaries_are_checked(boundaries: list[int]) -> None:
    """They ascend, and there is one fewer than pieces."""
    with pytest.raises(ValueError, match=r"Piecewise\(boundaries="):
        tz.schedules.Piecewise([1.0, 2.0, 3.0], boundaries)


def test_pieces_are_checked() -> None:
    """Numbers or schedules."""
    with pytest.raises(TypeError, match=r"Piecewise\(pieces\[1\]='x'\)"):
        tz.schedules.Piecewise([1.0, "x"], [1])


def test_a_static_setting_cannot_be_scheduled() -> None:
    """It changes the structure of the state."""
    with pytest.raises(TypeError, match=r"Averaging\(history_size=.*static"):
        tz.m.Averaging(tz.schedules.Constant(3))


def test_a_schedule_is_written_as_it_is_made() -> None:
    """Its repr says its fields."""
    assert repr(tz.schedules.Linear(1.0, 0.5, 3)) == "Linear(start=1.0, end=0.5, steps=3)"


def test_partial_lengths_as_tensors() -> None:
    """A length that is a tensor may be any number, also under grad."""
    slope = torch.func.grad(lambda n: tz.schedules.Linear(1.0, 0.0, n)(torch.tensor(3)))
    n = torch.tensor(4.0, dtype=torch.float64)
    assert slope(n).item() == pytest.approx(3 / 16)
    assert functools.reduce(lambda k, s: s(torch.tensor(3)), [tz.schedules.Linear(1.0, 0.0, n)], None) == 0.25
