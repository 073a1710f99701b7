"""vmap: a batch of optimizers is a loop over optimizers."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.testing.differences import close
from torchzero.testing.hyperparameters import as_tensor, nearby, replace, replace_all, sites
from torchzero.testing.laws.law import Draw, Law, on_device
from torchzero.testing.running import Outcome, unroll
from torchzero.testing.strategies import Run, fill, seeds, small_runs

LANES = 3


def _another(run: Run, seed: int) -> Run:
    """A run of the same form with other numbers."""
    g = torch.Generator().manual_seed(seed)

    def fresh(x: Tensor) -> Tensor:
        return fill(int(torch.randint(2**31 - 1, (), generator=g)), x.shape, x.dtype)

    points = tuple(tree.map(lambda x: x + 0.5 * fresh(x), p) for p in run.params)
    grads = tuple(tree.map(fresh, u) for u in run.grads)
    return Run(points, grads, tuple(f * 0.5 + 0.25 * (seed % 3) for f in run.losses), run.objective)


def _stack(trees: list[Any]) -> Any:
    return tree.map(lambda *xs: torch.stack(xs), *trees)


def _parts(run: Run) -> tuple[Any, Any, Any]:
    return run.params, run.grads, run.losses


def _parameters(module: Module, lanes: list[Run]) -> None:
    objective = lanes[0].objective

    def unrolled(params: Any, grads: Any, losses: Any) -> Outcome:
        return unroll(module, Run(params, grads, losses, objective))

    batched = torch.vmap(unrolled)(*_stack([_parts(lane) for lane in lanes]))
    for i, lane in enumerate(lanes):
        got = tree.map(lambda x, i=i: x[i], batched)
        close(f"vmapped over parameters and gradients, lane {i}, against a loop", got, unroll(module, lane))


def _hyperparameters(module: Module, run: Run) -> None:
    found = [(s, nearby(s.value, s.limits)) for s in sites(module)]
    if not found:
        return
    places = [s for s, _ in found]
    number = [[(values * LANES)[i] for _, values in found] for i in range(LANES)]
    batch = [torch.stack([as_tensor(row[j], s.limits) for row in number]) for j, s in enumerate(places)]

    def unrolled(values: list[Tensor]) -> Outcome:
        return unroll(replace_all(module, places, values), run)

    batched = torch.vmap(unrolled)(batch)
    for i, row in enumerate(number):
        shown = ", ".join(f"{s.label}={v!r}" for s, v in zip(places, row, strict=True))
        plain = unroll(replace_all(module, places, row), run)
        close(f"{shown} as 0-d tensors, against numbers", unrolled([b[i] for b in batch]).updates, plain.updates)
        got = tree.map(lambda x, i=i: x[i], batched)
        close(f"vmapped over hyperparameters, lane {i} ({shown}), against a loop", got.updates, plain.updates)


def _one_at_a_time(module: Module, run: Run) -> None:
    """Name the hyperparameter that cannot be a tensor, if one alone is the cause."""
    for s in sites(module):
        try:
            torch.vmap(lambda v, s=s: unroll(replace(module, s.path, v), run).updates)(
                as_tensor(s.value, s.limits).expand(2)
            )
        except Exception as error:
            raise type(error)(f"{s.label} as a batched 0-d tensor: {error}") from error


def check(module: Module, draw: Draw) -> None:
    """Unroll lanes with different parameters, gradients and hyperparameters at once and one by one."""
    run = draw(small_runs(module))
    _parameters(module, [run, _another(run, draw(seeds())), _another(run, draw(seeds()))])
    try:
        _hyperparameters(module, run)
    except (RuntimeError, TypeError, ValueError):
        _one_at_a_time(module, run)
        raise


LAW = Law(
    "vmapped is looped, over parameters, gradients and hyperparameters; a 0-d tensor means the same as a number",
    check,
    3,
    on_device,
    shrink=False,
)
