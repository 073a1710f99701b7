"""Peak memory of one derivative with respect to a learning rate: python -m tests.bench.hypergradient_memory.

100 steps of Adam on a small network of 500 000 parameters, in float32, each way in a process of its own. The peak is
of resident memory, interpreter and torch included; the row "no derivative" says how much of it those are.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

import torchzero as tz

STEPS, WIDTH, BATCH = 100, 704, 64  # 704 * 704 + 704 + 704 * 10 = 503 360 parameters
LR = 1e-3

Tree = dict[str, Tensor]


def problem() -> tuple[Tree, Tree, Callable[..., Tensor]]:
    """Initial parameters, a batch for each step, and the loss."""
    g = torch.Generator().manual_seed(0)
    params = {
        "w1": torch.randn(WIDTH, WIDTH, generator=g) / WIDTH**0.5,
        "b1": torch.zeros(WIDTH),
        "w2": torch.randn(WIDTH, 10, generator=g) / WIDTH**0.5,
    }
    x = torch.randn(STEPS, BATCH, WIDTH, generator=g)
    data = {"x": x, "y": torch.randint(10, (STEPS, BATCH), generator=g)}

    def loss(params: Tree, batch: Tree) -> Tensor:
        h = torch.tanh(batch["x"] @ params["w1"] + params["b1"])
        return torch.nn.functional.cross_entropy(h @ params["w2"], batch["y"])

    return params, data, loss


def final(lr: Tensor) -> Tensor:
    """The loss on a batch after all steps."""
    params, data, loss = problem()
    opt = tz.Chain(tz.m.Adam(), tz.m.LR(lr))
    end = tz.unroll(opt, loss, params, STEPS, data=data).params
    return loss(end, {k: v[0] for k, v in data.items()})


def by_loop(lr: Tensor) -> Tensor:
    """The same by a loop."""
    params, data, loss = problem()
    opt = tz.Chain(tz.m.Adam(), tz.m.LR(lr))
    state = opt.init(params)
    for k in range(STEPS):
        batch = {name: x[k] for name, x in data.items()}
        params, state = opt(params, state, lambda p, batch=batch: loss(p, batch))
    return loss(params, {k: v[0] for k, v in data.items()})


def by_backward(f: Callable[[Tensor], Tensor]) -> Tensor:
    lr = torch.tensor(LR, requires_grad=True)
    return torch.autograd.grad(f(lr), lr)[0]


def by_hypergrad() -> Tensor:
    params, data, loss = problem()
    opt = tz.Chain(tz.m.Adam(), tz.m.LR(LR))
    first = {k: v[0] for k, v in data.items()}
    return tz.hypergrad(opt, loss, params, STEPS, lambda p: loss(p, first), data=data).opt.links[1].lr


WAYS: dict[str, Callable[[], Tensor]] = {
    "no derivative": lambda: by_loop(torch.tensor(LR)),
    "a loop, `torch.func.grad`": lambda: torch.func.grad(by_loop)(torch.tensor(LR)),
    "a loop, `torch.autograd.grad`": lambda: by_backward(by_loop),
    "`tz.unroll`, `torch.func.grad`": lambda: torch.func.grad(final)(torch.tensor(LR)),
    "`tz.unroll`, `torch.autograd.grad`": lambda: by_backward(final),
    "`tz.unroll`, `torch.func.jvp`": lambda: torch.func.jvp(final, (torch.tensor(LR),), (torch.tensor(1.0),))[1],
    "`tz.hypergrad`, of all there is": by_hypergrad,
}


def measure(way: str) -> tuple[float, float, float]:
    """Peak resident memory in MB, seconds, and the derivative, from a process of its own."""
    run = [sys.executable, "-m", "tests.bench.hypergradient_memory", way]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    return float(out[0]), float(out[1]), float(out[2])


def report_one(way: str) -> None:
    """What a process of its own does."""
    torch.set_num_threads(1)
    begin = time.perf_counter()
    found = WAYS[way]().item()
    seconds = time.perf_counter() - begin
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, seconds, found)


def table() -> list[str]:
    """The table of the documentation."""
    lines = ["| | peak memory | time | derivative |", "|---|---|---|---|"]
    for way in WAYS:
        peak, seconds, found = measure(way)
        shown = "" if way == "no derivative" else f"{found:.5g}"
        lines.append(f"| {way} | {peak:.0f} MB | {seconds:.1f} s | {shown} |")
    return lines


if __name__ == "__main__":
    if len(sys.argv) > 1:
        report_one(sys.argv[1])
    else:
        print("\n".join(table()))
