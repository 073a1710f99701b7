"""A schedule is a value of any hyperparameter: alone, in a prefix tree, in children, under transformations."""

from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
import torchzero.testing

STEPS = 6


def grads(seed: int) -> dict[str, Tensor]:
    """The gradients of a step."""
    g = torch.Generator().manual_seed(seed)
    shapes = {"a": (3,), "b": (2, 2)}
    return {name: torch.randn(shape, dtype=torch.float64, generator=g) for name, shape in shapes.items()}


GRADS = [grads(k) for k in range(STEPS)]
PARAMS = {"a": torch.zeros(3, dtype=torch.float64), "b": torch.ones(2, 2, dtype=torch.float64)}


def run(opt: tz.Module) -> list[Any]:
    """The directions of some steps."""
    state, out = opt.init(PARAMS), []
    for k in range(STEPS):
        state, var = opt.step(state, tz.Var(PARAMS, grad=GRADS[k]))
        out.append(var.update)
    return out


def run_by_hand(make: Any) -> list[Any]:
    """The same, with a module made anew for every step by `make(k)`, on the state of the one before."""
    state, out = make(0).init(PARAMS), []
    for k in range(STEPS):
        state, var = make(k).step(state, tz.Var(PARAMS, grad=GRADS[k]))
        out.append(var.update)
    return out


def line(k: int) -> float:
    """Linear(0.9, 0.5, steps=4)."""
    return 0.9 - 0.4 * min(k / 4, 1)


LINE = tz.schedules.Linear(0.9, 0.5, steps=4)


def test_a_scheduled_beta_is_the_beta_of_each_step() -> None:
    """The k-th update uses the k-th value, in the state and in the output."""
    torch.testing.assert_close(run(tz.m.Adam(beta1=LINE)), run_by_hand(lambda k: tz.m.Adam(beta1=line(k))))


def test_a_schedule_in_a_prefix_tree_is_that_of_its_subtree() -> None:
    """The other subtree keeps its number."""
    mine = run(tz.m.Adam(beta1={"a": LINE, "b": 0.7}))
    torch.testing.assert_close(mine, run_by_hand(lambda k: tz.m.Adam(beta1={"a": line(k), "b": 0.7})))
    alone = run(tz.m.Adam(beta1=LINE))
    for x, y in zip(mine, alone, strict=True):
        torch.testing.assert_close(x["a"], y["a"])


def test_schedules_of_a_chain_and_of_children() -> None:
    """Each module counts its own updates."""

    def made(value: Any) -> tz.Module:
        return tz.Chain(tz.m.ClipValueByEMA(0.5, inner=tz.m.HeavyBall(value)), tz.m.LR(value))

    torch.testing.assert_close(run(made(LINE)), run_by_hand(lambda k: made(line(k))))


def test_a_transform_over_the_whole_tree() -> None:
    """Also one whose settings are spread by hand."""
    mine = run(tz.m.ClipNorm({"a": LINE, "b": 0.3}, dim="global"))
    torch.testing.assert_close(mine, run_by_hand(lambda k: tz.m.ClipNorm({"a": line(k), "b": 0.3}, dim="global")))


def test_warmup_is_a_scheduled_learning_rate() -> None:
    """Two ways to write the same."""
    mine = run(tz.m.LR(tz.schedules.Linear(0.1, 0.9, steps=4)))
    torch.testing.assert_close(mine, run(tz.m.Warmup(4, 0.1, 0.9)))


def test_a_hypergradient_reaches_the_ends_of_a_schedule() -> None:
    """Against differences."""

    def loss(start: Tensor, end: Tensor) -> Tensor:
        opt = tz.Chain(
            tz.m.Adam(beta1=tz.schedules.Cosine(start, 0.5, steps=4)), tz.m.LR(tz.schedules.Linear(end, 0.1, 3))
        )
        return sum((u["a"] ** 2).sum() + u["b"].sum() for u in run(opt))  # pyright: ignore[reportReturnType]

    at = (torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64))
    slopes = torch.func.grad(loss, (0, 1))(*at)
    for i in range(2):
        up, down = ([x + h * (i == j) for j, x in enumerate(at)] for h in (1e-6, -1e-6))
        torch.testing.assert_close(slopes[i], (loss(*up) - loss(*down)) / 2e-6, rtol=1e-6, atol=1e-8)


def test_a_sweep_over_schedules_is_a_vmap() -> None:
    """Over the end of a learning rate schedule."""

    def last(end: Tensor) -> Tensor:
        return run(tz.m.LR(tz.schedules.Linear(1.0, end, steps=3)))[-1]["a"]

    sweep = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64)
    torch.testing.assert_close(torch.vmap(last)(sweep), torch.stack([last(x) for x in sweep]))


@pytest.mark.parametrize(
    "opt",
    [
        tz.m.Adam(beta1=LINE, eps=tz.schedules.Exponential(1e-3, 0.5)),
        tz.m.ClipNormByEMA(LINE, max_ema_growth=tz.schedules.Polynomial(1.5, 1.2, 2)),
        tz.Chain(tz.m.EMA(LINE), tz.m.LR(tz.schedules.WarmupDecay(0.5, 2, 3))),
    ],
    ids=["Adam", "ClipNormByEMA", "Chain"],
)
def test_scheduled_modules_obey_the_laws(opt: tz.Module) -> None:
    """All of them: a scheduled module is a module."""
    tz.testing.check_module(opt)
