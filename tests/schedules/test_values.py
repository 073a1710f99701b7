"""Schedules against optax, torch.optim.lr_scheduler, and arithmetic."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz

STEPS = 30
ends = st.floats(-2, 2)
amounts = st.floats(0.01, 2)
lengths = st.integers(1, 20)


def values(schedule: tz.schedules.Schedule, steps: int = STEPS) -> np.ndarray[Any, Any]:
    """The first values."""
    return np.array([float(schedule(torch.tensor(k))) for k in range(steps)])


def by_optax(make: Callable[[], Callable[[Any], Any]], steps: int = STEPS) -> np.ndarray[Any, Any]:
    """What an optax schedule says, in float64."""
    with jax.enable_x64(True):
        schedule = make()
        return np.array([float(schedule(jax.numpy.asarray(k))) for k in range(steps)])


def by_torch(make: Callable[[torch.optim.Optimizer], Any], lr: float, steps: int = STEPS) -> np.ndarray[Any, Any]:
    """The learning rates that a torch scheduler sets."""
    opt = torch.optim.SGD([torch.zeros(1)], lr=lr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler, out = make(opt), []
        for _ in range(steps):
            out.append(float(opt.param_groups[0]["lr"]))
            scheduler.step()
    return np.array(out)


def same(mine: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], rtol: float = 1e-9) -> None:
    """Fail unless they agree."""
    np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=1e-12)


@given(level=ends)
def test_constant(level: float) -> None:
    """One value."""
    same(values(tz.schedules.Constant(level)), np.full(STEPS, level))


@settings(max_examples=20)
@given(start=ends, end=ends, steps=lengths)
def test_linear_agrees_with_optax(start: float, end: float, steps: int) -> None:
    """linear_schedule."""
    same(values(tz.schedules.Linear(start, end, steps)), by_optax(lambda: optax.linear_schedule(start, end, steps)))


@settings(max_examples=20)
@given(start=amounts, ratio=st.floats(0, 1), steps=lengths)
def test_cosine_agrees_with_optax(start: float, ratio: float, steps: int) -> None:
    """cosine_decay_schedule."""
    theirs = by_optax(lambda: optax.cosine_decay_schedule(start, steps, ratio))
    same(values(tz.schedules.Cosine(start, ratio * start, steps)), theirs)


@settings(max_examples=20)
@given(start=amounts, end=amounts)
def test_cosine_agrees_with_torch(start: float, end: float) -> None:
    """CosineAnnealingLR, which turns back where ours stays."""
    theirs = by_torch(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, end), start)
    same(values(tz.schedules.Cosine(start, end, STEPS)), theirs)


@settings(max_examples=20)
@given(start=ends, end=ends, steps=lengths, power=st.floats(0.3, 4))
def test_polynomial_agrees_with_optax(start: float, end: float, steps: int, power: float) -> None:
    """polynomial_schedule."""
    theirs = by_optax(lambda: optax.polynomial_schedule(start, end, power, steps))
    same(values(tz.schedules.Polynomial(start, end, steps, power)), theirs)


@settings(max_examples=20)
@given(start=amounts, rate=st.floats(0.5, 1.2), steps=lengths, end=st.none() | amounts, staircase=st.booleans())
def test_exponential_agrees_with_optax(
    start: float, rate: float, steps: int, end: float | None, staircase: bool
) -> None:
    """exponential_decay."""
    theirs = by_optax(lambda: optax.exponential_decay(start, steps, rate, staircase=staircase, end_value=end))
    same(values(tz.schedules.Exponential(start, rate, steps, end, staircase)), theirs)


@settings(max_examples=20)
@given(start=amounts, rate=st.floats(0.1, 1), steps=lengths)
def test_exponential_agrees_with_torch(start: float, rate: float, steps: int) -> None:
    """ExponentialLR and StepLR."""
    scheduler = torch.optim.lr_scheduler
    same(values(tz.schedules.Exponential(start, rate)), by_torch(lambda o: scheduler.ExponentialLR(o, rate), start))
    stairs = tz.schedules.Exponential(start, rate, steps, staircase=True)
    same(values(stairs), by_torch(lambda o: scheduler.StepLR(o, steps, rate), start))


@settings(max_examples=20)
@given(start=ends, peak=amounts, end=amounts, warmup=st.integers(1, 10), decay=lengths)
def test_warmup_decay_agrees_with_optax(start: float, peak: float, end: float, warmup: int, decay: int) -> None:
    """warmup_cosine_decay_schedule."""
    theirs = by_optax(lambda: optax.warmup_cosine_decay_schedule(start, peak, warmup, warmup + decay, end))
    same(values(tz.schedules.WarmupDecay(peak, warmup, decay, start, end)), theirs)


@settings(max_examples=40)
@given(
    start=ends,
    peak=amounts,
    end=amounts,
    warmup=st.integers(0, 10),
    decay=lengths,
    hold=st.integers(0, 8),
    shape=st.sampled_from(["linear", "cosine", "exponential", "sqrt"]),
)
def test_warmup_decay_agrees_with_the_formula(
    start: float, peak: float, end: float, warmup: int, decay: int, hold: int, shape: str
) -> None:
    """Case by case."""

    def value(k: int) -> float:
        if k < warmup:
            return start + (peak - start) * k / warmup
        x = min(max(k - warmup - hold, 0) / decay, 1)
        left = {"linear": 1 - x, "cosine": math.cos(math.pi * x / 2) ** 2, "sqrt": 1 - math.sqrt(x)}
        return peak ** (1 - x) * end**x if shape == "exponential" else end + (peak - end) * left[shape]

    mine = values(tz.schedules.WarmupDecay(peak, warmup, decay, start, end, hold, shape))
    same(mine, np.array([value(k) for k in range(STEPS)]))


@settings(max_examples=40)
@given(
    peak=amounts,
    steps=st.integers(4, 40),
    pct=st.floats(0.0, 1.0),
    div=st.floats(1.5, 50),
    final=st.floats(1, 1e4),
    shape=st.sampled_from(["cosine", "linear"]),
    three_phase=st.booleans(),
)
def test_one_cycle_agrees_with_torch(
    peak: float, steps: int, pct: float, div: float, final: float, shape: str, three_phase: bool
) -> None:
    """OneCycleLR, as long as it allows."""
    if three_phase:
        pct = pct / 2

    def make(opt: torch.optim.Optimizer) -> Any:
        anneal = {"cosine": "cos", "linear": "linear"}[shape]
        return torch.optim.lr_scheduler.OneCycleLR(
            opt,
            peak,
            total_steps=steps,
            pct_start=pct,
            anneal_strategy=anneal,
            cycle_momentum=False,
            div_factor=div,
            final_div_factor=final,
            three_phase=three_phase,
        )

    try:
        theirs = by_torch(make, 1.0, steps)
    except ZeroDivisionError:
        return
    mine = tz.schedules.OneCycle(peak, steps, pct, div, final, shape, three_phase)
    same(values(mine, steps), theirs)
    assert float(mine(torch.tensor(3 * steps))) == pytest.approx(theirs[-1])


@settings(max_examples=20)
@given(data=st.data(), start=amounts, factor=st.floats(0.1, 1))
def test_piecewise_agrees_with_torch(data: Any, start: float, factor: float) -> None:
    """MultiStepLR, as numbers and boundaries."""
    milestones = sorted(data.draw(st.sets(st.integers(1, STEPS), min_size=1, max_size=4)))
    pieces = [start * factor**i for i in range(len(milestones) + 1)]
    theirs = by_torch(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones, factor), start)
    same(values(tz.schedules.Piecewise(pieces, milestones)), theirs)


@settings(max_examples=20)
@given(a=ends, b=ends, n=lengths, cut=st.integers(1, 20), rate=st.floats(0.5, 2.0))
def test_piecewise_agrees_with_optax(a: float, b: float, n: int, cut: int, rate: float) -> None:
    """join_schedules."""
    mine = tz.schedules.Piecewise(
        [tz.schedules.Linear(a, b, n), tz.schedules.Exponential(1.0, rate), b], [cut, cut + 5]
    )

    def theirs() -> Any:
        pieces = [optax.linear_schedule(a, b, n), optax.exponential_decay(1.0, 1, rate), optax.constant_schedule(b)]
        return optax.join_schedules(pieces, [cut, cut + 5])

    same(values(mine), by_optax(theirs))


def test_custom_is_the_function() -> None:
    """A tensor or a number."""
    same(values(tz.schedules.Custom(lambda k: 0.5**k)), 0.5 ** np.arange(STEPS), 1e-6)
    same(values(tz.schedules.Custom(lambda k: 0.25)), np.full(STEPS, 0.25))
