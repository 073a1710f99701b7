"""grad: derivatives through several steps are right, and finite at a zero gradient."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Range
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.testing.differences import DifferenceError, named_leaves
from torchzero.testing.hyperparameters import Site, comfortable, replace_all, sites
from torchzero.testing.laws.law import Draw, Law, on_device
from torchzero.testing.running import unroll
from torchzero.testing.strategies import Run, fill, seeds, small_runs

WIDTHS = (1e-5, 1e-4, 1e-6, 1e-3, 1e-7)


class Unrolled:
    """A weighted sum of all directions of a run, as a function of everything that is a number."""

    def __init__(self, module: Module, run: Run, seed: int) -> None:
        self.module, self.run = module, run
        self.sites: list[Site] = [s for s in sites(module) if not s.limits.integer]
        like = tree.leaves(run.params[0])
        self.weights = [[fill(seed + 97 * k + i, x.shape) for i, x in enumerate(like)] for k in range(run.steps)]

    def inputs(self) -> dict[str, Tree]:
        """Parameters, gradients, losses, and a 0-d tensor for each hyperparameter."""
        values = {s.label: torch.tensor(comfortable(s.value, s.limits), dtype=torch.float64) for s in self.sites}
        return {"params": self.run.params, "grad": self.run.grads, "loss": self.run.losses, "hyper": values}

    def updates(self, inputs: dict[str, Tree]) -> Sequence[Tree]:
        """All directions."""
        module = replace_all(self.module, self.sites, [inputs["hyper"][s.label] for s in self.sites])
        return unroll(module, Run(inputs["params"], inputs["grad"], inputs["loss"], self.run.objective)).updates

    def __call__(self, inputs: dict[str, Tree]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for u, w in zip(self.updates(inputs), self.weights, strict=True):
            total = total + sum(((x * y).sum() for x, y in zip(tree.leaves(u), w, strict=True)), torch.zeros(()))
        return total


def _along(inputs: Tree, direction: Tree, h: float) -> Tree:
    return tree.map(lambda x, d: x + h * d, inputs, direction)


def _compare(
    f: Unrolled, inputs: Tree, slope: Tensor, direction: Tree, what: str, limit: Range | None, at: float
) -> None:
    """The derivative along a direction, against central differences of several widths: one of them must agree."""
    value = f(inputs).abs().item()
    tried = []
    for h in WIDTHS:
        if limit is not None and not (limit.admits(at - h) and limit.admits(at + h)):
            continue
        rise = (f(_along(inputs, direction, h)) - f(_along(inputs, direction, -h))).item() / (2 * h)
        size = max(abs(rise), abs(slope.item()))
        if abs(rise - slope.item()) <= 3e-5 * size + 1e-8 * (1 + value):
            return
        tried.append(rise)
    if tried:
        found = f"the derivative with respect to {what} is {slope.item():.9g}"
        raise DifferenceError(f"{found}, by differences {tried[0]:.9g}")


def _finite(grad: Tree, where: str) -> None:
    for path, x in named_leaves(grad):
        if not bool(torch.isfinite(x).all()):
            raise DifferenceError(f"the derivative with respect to {path} is {x.reshape(-1)[:4].tolist()} {where}")


def _dot(a: Tree, b: Tree) -> Tensor:
    return sum(((x * y).sum() for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True)), torch.zeros(()))


def _agrees_with_differences(f: Unrolled, seed: int) -> None:
    inputs = f.inputs()
    if not bool(torch.isfinite(f(inputs))):
        return
    grad: dict[str, Any] = torch.func.grad(f)(inputs)
    _finite(grad, "at a point drawn at random")
    zeros = tree.zeros_like(inputs)
    for part in ("params", "grad", "loss"):
        leaves, spec = tree.flatten(inputs[part])
        for turn in range(2 if leaves else 0):
            direction = tree.unflatten(spec, [fill(seed + 31 * i + turn, x.shape) for i, x in enumerate(leaves)])
            whole = {**zeros, part: direction}
            _compare(f, inputs, _dot(grad[part], direction), whole, f"{part}, along a random direction", None, 0.0)
    for s in f.sites:
        one = {**zeros, "hyper": {**zeros["hyper"], s.label: torch.ones((), dtype=torch.float64)}}
        at = inputs["hyper"][s.label].item()
        _compare(f, inputs, grad["hyper"][s.label], one, f"{s.label} (at {at:g})", s.limits, at)


def _finite_at_zero(f: Unrolled) -> None:
    inputs = f.inputs()
    inputs["hyper"] = {s.label: torch.tensor(s.value, dtype=torch.float64) for s in f.sites}
    steps = range(f.run.steps)
    zero = [tree.zeros_like(u) for u in f.run.grads]
    every = {"at zero gradients": zero, "at a zero gradient in the first step": [zero[0], *f.run.grads[1:]]}
    every["where one tensor's gradients are zero"] = [_first_zero(f.run.grads[k]) for k in steps]
    for where, grads in every.items():
        point = {**inputs, "grad": tuple(grads)}
        if all(bool(torch.isfinite(x).all()) for u in f.updates(point) for x in tree.leaves(u)):
            _finite(torch.func.grad(f)(point), where)


def _first_zero(u: Tree) -> Tree:
    leaves, spec = tree.flatten(u)
    return tree.unflatten(spec, [torch.zeros_like(leaves[0]), *leaves[1:]])


def check(module: Module, draw: Draw) -> None:
    """Differentiate a weighted sum of all directions of three steps."""
    f = Unrolled(module, draw(small_runs(module, steps=3)), draw(seeds()))
    _agrees_with_differences(f, draw(seeds()))
    if f.run.objective is None:
        _finite_at_zero(f)


LAW = Law(
    "derivatives through three steps, with respect to parameters, gradients and every numeric hyperparameter, agree "
    "with differences in float64, and are finite at a zero gradient",
    check,
    3,
    on_device,
    shrink=False,
)
