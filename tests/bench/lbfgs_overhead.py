"""What L-BFGS takes beyond its closure, next to torch.optim.LBFGS: python -m tests.bench.lbfgs_overhead [threads].

A million parameters in six tensors, a cheap objective, equal history sizes. Both optimizers take one iteration a step:
without a line search one evaluation each; with a strong Wolfe search each evaluates as often as it asks for. The
seconds inside the closure are measured and subtracted, on both sides, so the ratio is per iteration, however many
evaluations it took; these are printed too. Steps are interleaved, and counted from when the history is full.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

import torchzero as tz
from tests.bench.paired import interleaved

SHAPES: list[tuple[int, ...]] = [(640, 768), (768,), (768, 512), (512,), (512, 226), (226,)]


class Objective:
    """A diagonal quartic with curvatures from 1e-6 to 1, which takes long to minimise, and a clock around it."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        g = torch.Generator().manual_seed(0)
        self.params = [torch.randn(shape, generator=g).requires_grad_() for shape in shapes]
        self.weights = [10 ** (-6 * torch.rand(shape, generator=g)) for shape in shapes]
        self.seconds, self.calls = 0.0, 0

    def closure(self, backward: bool = True) -> Tensor:
        """The loss, and the gradients if asked."""
        start = time.perf_counter()
        with torch.no_grad():
            loss = torch.zeros(())
            for p, w in zip(self.params, self.weights, strict=True):
                wp = w * p
                cube = wp * p.square()
                loss = loss + 0.5 * torch.vdot(wp.view(-1), p.view(-1)) + 0.25 * torch.vdot(cube.view(-1), p.view(-1))
                if backward:
                    p.grad = wp.add_(cube)
        self.seconds += time.perf_counter() - start
        self.calls += 1
        return loss


class Contender:
    """An optimizer on parameters of its own; called, it takes a step."""

    def __init__(self, shapes: list[tuple[int, ...]], make: Callable[[list[Tensor]], torch.optim.Optimizer]) -> None:
        self.objective = Objective(shapes)
        self.opt = make(self.objective.params)
        self.inside: list[float] = []
        self.calls: list[int] = []

    def __call__(self) -> None:
        self.objective.seconds, self.objective.calls = 0.0, 0
        self.opt.step(self.objective.closure)  # pyright: ignore[reportCallIssue, reportArgumentType]
        self.inside.append(self.objective.seconds)
        self.calls.append(self.objective.calls)


def contenders(history: int, search: bool) -> dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]]:
    """What a user would write."""
    # no tolerances, and enough evaluations for a search: by default one iteration may evaluate once
    same = {"max_iter": 1, "max_eval": 26, "history_size": history, "tolerance_grad": 0.0, "tolerance_change": 0.0}
    line = "strong_wolfe" if search else None
    step = tz.m.StrongWolfe() if search else tz.m.LR(0.2)
    return {
        "torch.optim.LBFGS": lambda p: torch.optim.LBFGS(p, lr=1 if search else 0.2, line_search_fn=line, **same),
        "Modular(LBFGS, ...)": lambda p: tz.Modular(p, tz.m.LBFGS(history), step),
    }


def compare(shapes: list[tuple[int, ...]], history: int, search: bool, rounds: int) -> None:
    """Print one row."""
    made = {name: Contender(shapes, make) for name, make in contenders(history, search).items()}
    times = interleaved(made, rounds=rounds, warmup=history + 2)
    beyond = {
        name: [t - c for t, c in zip(times[name], one.inside[-rounds:], strict=True)] for name, one in made.items()
    }
    theirs, ours = beyond
    ratio = statistics.median(a / b for a, b in zip(beyond[ours], beyond[theirs], strict=True))
    print(f"history {history}, {'strong Wolfe' if search else 'fixed step size'}: {ratio:.2f} x {theirs}")
    for name, one in made.items():
        calls, inside = statistics.mean(one.calls[-rounds:]), statistics.median(one.inside[-rounds:])
        own = statistics.median(beyond[name]) * 1e3
        print(f"  {name:<24} {own:8.2f} ms beyond the closure, {inside * 1e3:6.2f} ms in {calls:.1f} calls", flush=True)


def main(threads: int = 1) -> None:
    """Print the table."""
    torch.set_num_threads(threads)
    print(f"L-BFGS, {sum(map(torch.Size.numel, map(torch.Size, SHAPES))):,} parameters, {threads} thread(s)")
    for history in (10, 100):
        for search in (False, True):
            compare(SHAPES, history, search, rounds=20)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
