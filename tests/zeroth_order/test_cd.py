"""CD: the rule in NumPy, the orders, and what is evaluated."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz

CENTRE = np.array([0.5, -0.2, 1.0, 0.3])
CURVES = np.array([1.0, 5.0, 0.1, 2.0])


def f(x: Any) -> float:
    d = np.asarray(x) - CENTRE
    return float((CURVES * d**2).sum() + 0.1 * (d**4).sum())


class ByNumbers(tz.Objective):
    def __init__(self) -> None:
        self.points: list[np.ndarray[Any, Any]] = []

    def value(self, params: Any) -> Tensor:
        x = torch.cat([p.reshape(-1) for p in params]).numpy()
        self.points.append(x)
        return torch.tensor(f(x), dtype=torch.float64)


def cyclic(k: int, n: int, index: str) -> int:
    order = [*range(n)] if index == "cyclic" else [*range(n), *reversed(range(n))]
    return order[k % len(order)]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    h=st.floats(1e-3, 1.0),
    grad=st.booleans(),
    adaptive=st.booleans(),
    index=st.sampled_from(["cyclic", "cyclic2"]),
    threepoint=st.booleans(),
    lr=st.floats(0.01, 0.3),
)
def test_agrees_with_the_rule(
    seed: int, h: float, grad: bool, adaptive: bool, index: str, threepoint: bool, lr: float
) -> None:
    x = np.random.default_rng(seed).normal(size=4)
    opt = tz.Chain(tz.m.CD(h, grad, adaptive, index, threepoint), tz.m.LR(lr))
    params: Any = [torch.from_numpy(x[:3].copy()).reshape(3, 1), torch.tensor(x[3])]
    state, steps = opt.init(params), np.full(4, h)
    for k in range(12):
        objective = ByNumbers()
        state, var = opt.step(state, tz.Var(params, objective=objective))
        i = cyclic(k, 4, index)
        own = steps[i] if adaptive and threepoint else h
        e = np.eye(4)[i] * own
        f0, up, down = f(x), f(x + e), f(x - e)
        if threepoint:
            a = (up - down) / (2 * own) if grad else 0 if f0 <= min(up, down) else -1 if up < down else 1
            if f0 <= up and f0 <= down:
                steps[i] = max(own / 2, 1e-10)
            elif abs(f0 - down) < 1e-12 or abs((up - f0) / (f0 - down) - 1) < 1e-2:
                steps[i] = min(own * 2, 1e10)
        else:
            a = (up - f0) / own if grad else -1 if up < f0 else 1
        assert len(objective.points) == 2 + threepoint
        assert opt.evaluations(state) == 1 + threepoint
        x = x - lr * a * np.eye(4)[i]
        params = tz.apply_update(var)
        np.testing.assert_allclose(torch.cat([p.reshape(-1) for p in params]), x, rtol=1e-6, atol=1e-8)


def visited(index: str, steps: int, seed: int = 0) -> list[int]:
    x = torch.zeros(3, dtype=torch.float64)
    opt = tz.m.CD(0.1, grad=True, index=index, seed=seed)
    state, out = opt.init(x), []
    for _ in range(steps):
        state, var = opt.step(state, tz.Var(x, objective=lambda y: y.sum()))
        out.append(int(var.update.abs().argmax()))
    return out


def test_orders() -> None:
    assert visited("cyclic", 7) == [0, 1, 2, 0, 1, 2, 0]
    assert visited("cyclic2", 9) == [0, 1, 2, 2, 1, 0, 0, 1, 2]
    drawn = visited("random", 90)
    assert drawn == visited("random", 90)
    assert drawn != visited("random", 90, seed=1)
    assert all(15 < drawn.count(i) < 45 for i in range(3))


def test_the_best_of_three_points_may_be_where_it_stands() -> None:
    x = torch.zeros(2)
    opt = tz.m.CD(0.5)
    for centre, wanted in ((0.0, 0.0), (1.0, -1.0), (-1.0, 1.0)):
        var = opt.step(opt.init(x), tz.Var(x, objective=lambda y, c=centre: ((y - c) ** 2).sum()))[1]
        assert var.update.tolist() == [wanted, 0.0]


@pytest.mark.parametrize(
    ("wall", "grad", "wanted"),
    [("up", True, 1.0), ("down", True, 1.5), ("both", True, 0.0), ("up", False, 1.0), ("both", False, 0.0)],
)
def test_a_side_that_failed_is_left_out(wall: str, grad: bool, wanted: float) -> None:
    """f = x² + x at 0 with h = 1/4: the slope is 1.25 to the right, 0.75 to the left; here f = x² + 1.25 x."""
    x, bad = torch.zeros(1, dtype=torch.float64), {"up": (0.1, 9), "down": (-9, -0.1), "both": (0.1, -0.1)}[wall]

    def objective(y: Tensor) -> Tensor:
        failed = (y > 0.1) | (y < -0.1) if wall == "both" else (y > bad[0]) & (y < bad[1])
        return torch.where(failed, torch.nan, y**2 + 1.25 * y).sum()

    opt = tz.m.CD(0.25, grad=grad)
    state, var = opt.step(opt.init(x), tz.Var(x, objective=objective))
    assert var.update.item() == pytest.approx(wanted)
    assert state.h.item() == (0.125 if wall == "both" or wall == "down" else 0.25)


def test_a_closure_is_called_for_values_only() -> None:
    p = torch.tensor([3.0, 4.0], requires_grad=True)
    opt, asked = tz.Modular([p], tz.m.CD(0.01, grad=True), tz.m.LR(0.5)), []

    def closure(backward: bool = True) -> Tensor:
        asked.append(backward)
        return (p**2).sum()

    assert opt.step(closure).item() == 25.0
    assert asked == [False] * 3
    assert p[0].item() == pytest.approx(0.0, abs=1e-3)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"CD\(h=0\)"):
        tz.m.CD(0)
    with pytest.raises(ValueError, match=r"CD\(index='sorted'\)"):
        tz.m.CD(index="sorted")
