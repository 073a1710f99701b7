"""The golden records: reference trajectories in float64, their problems, and how a record is run and compared."""

import functools
import json
import math
import pathlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import torchzero as tz

PATH = pathlib.Path(__file__).parent / "data" / "golden.json"


@functools.cache
def records() -> dict[str, dict[str, Any]]:
    """All records by id."""
    return {r["id"]: r for r in json.loads(PATH.read_text())}


def _fill(shape: tuple[int, ...], value: Callable[[int], float]) -> Tensor:
    n = math.prod(shape)
    return torch.tensor([value(k) for k in range(n)], dtype=torch.float64).reshape(shape)


SHAPES = ((), (1,), (5,), (3, 4), (2, 3, 3))


def _quad_shapes(params: list[Tensor]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i, p in enumerate(params):
        n = p.numel()
        k = torch.arange(n, dtype=torch.float64)
        v = p.reshape(-1) - torch.cos(3 * k + 2 + i)
        d = 10 ** (2 * k / max(n - 1, 1) - 1)
        a, b = torch.cos(k + 1 + i), torch.sin(2 * k + 1 + i)
        total = total + 0.5 * (d * v**2).sum() + 0.5 * (a * v).sum() ** 2 + 0.25 * (b * v).sum() ** 2
    return total


def _booth_residuals(params: list[Tensor]) -> Tensor:
    p = params[0]
    return torch.stack([p[0] + 2 * p[1] - 7, 2 * p[0] + p[1] - 5])


def _rosen_residuals(params: list[Tensor]) -> Tensor:
    x, y = params
    return torch.stack([1 - x, 10 * (y - x**2)])


def _rosen(params: list[Tensor]) -> Tensor:
    x, y = params
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def start(problem: str) -> list[Tensor]:
    """The starting parameters of a problem."""
    if problem.startswith("booth"):
        return [torch.tensor([0.0, -8.0], dtype=torch.float64)]
    if problem.startswith("rosen2"):
        return [torch.tensor(-1.1, dtype=torch.float64), torch.tensor(2.5, dtype=torch.float64)]
    return [_fill(s, lambda k, i=i: 1.5 * math.sin(1 + 2 * k + 5 * i) + 0.3) for i, s in enumerate(SHAPES)]


PROBLEMS: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "booth": lambda p: (_booth_residuals(p) ** 2).sum(),
    "booth_res": _booth_residuals,
    "rosen2": _rosen,
    "rosen2_res": _rosen_residuals,
    "quad_shapes": _quad_shapes,
}


def build(record: dict[str, Any]) -> list[Any]:
    """The record's modules."""
    return eval(record["chain"], {"tz": tz, "torch": torch, "math": math})


def run_functional(record: dict[str, Any]) -> list[Tensor]:
    """All parameters after every step, the chain run by hand as a pure function."""
    params, f = start(record["problem"]), PROBLEMS[record["problem"]]
    opt = tz.Chain(*build(record))
    state, out = opt.init(params), []
    for _ in range(record["steps"]):
        params, state = opt(params, state, f)
        out.append(torch.cat([p.reshape(-1) for p in params]))
    return out


def run_modular(record: dict[str, Any]) -> list[Tensor]:
    """All parameters after every step, by `Modular` with a closure."""
    params = [p.requires_grad_() for p in start(record["problem"])]
    f = PROBLEMS[record["problem"]]
    opt = tz.Modular(params, *build(record))
    out = []

    def closure(backward: bool = True) -> Tensor:
        loss = f(params)
        if backward:
            opt.zero_grad()
            (loss if loss.ndim == 0 else (loss**2).sum()).backward()
        return loss

    for _ in range(record["steps"]):
        opt.step(closure)
        out.append(torch.cat([p.detach().reshape(-1) for p in params]))
    return out


def worst_error(record: dict[str, Any], run: list[Tensor]) -> float:
    """The largest error in units of what the record allows: |x - y| / (rtol (0.1 + |y|)); inf for NaN."""
    worst = 0.0
    for mine, theirs in zip(run, record["params"], strict=True):
        y = torch.tensor(theirs, dtype=torch.float64)
        error = ((mine - y).abs() / (record["rtol"] * (0.1 + y.abs()))).max().item()
        worst = max(worst, math.inf if math.isnan(error) else error)
    return worst
