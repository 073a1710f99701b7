"""How long a step of Modular takes next to torch.optim: python -m tests.bench.step_overhead [threads]."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

import torchzero as tz
from tests.bench.paired import interleaved, table

WORK: dict[str, list[tuple[int, ...]]] = {
    "a small network: 6 tensors, 51 k": [(128, 256), (256,), (256, 64), (64,), (64, 10), (10,)],
    "500 tensors of (32, 32)": [(32, 32)] * 500,
    "one tensor of 10 M": [(10_000_000,)],
    "50 tensors, 39 M": [(12500, 768), *[(768, 768)] * 17, *[(3072, 768)] * 4, *[(768, 3072)] * 4, *[(768,)] * 24],
}


def parameters(shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Parameters with gradients."""
    made = [torch.randn(shape).requires_grad_() for shape in shapes]
    for p in made:
        p.grad = torch.randn_like(p)
    return made


def chains() -> dict[str, list[tz.Module]]:
    """What a user would write."""
    three = [tz.m.Adam(), tz.m.WeightDecay(1e-2), tz.m.LR(1e-3)]
    five = [tz.m.ClipValue(1), tz.m.Adam(), tz.m.Cautious(), tz.m.WeightDecay(1e-2), tz.m.LR(1e-3)]
    return {"Adam, WeightDecay, LR": three, "ClipValue, Adam, Cautious, WeightDecay, LR": five}


def clipped(opt: torch.optim.Optimizer, params: list[Tensor]) -> Callable[[], None]:
    """What people do by hand before a step."""

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(params, 1e9)
        opt.step()

    return step


def contenders(shapes: list[tuple[int, ...]]) -> dict[str, Callable[[], object]]:
    """Steps of every optimizer, each on parameters of its own."""
    made: dict[str, Callable[[], object]] = {}
    for name in ("fused", "foreach"):
        made[f"AdamW({name}=True)"] = torch.optim.AdamW(parameters(shapes), 1e-3, **{name: True}).step  # type: ignore[arg-type]
    params = parameters(shapes)
    made["clip_grad_norm_ and AdamW(fused=True)"] = clipped(torch.optim.AdamW(params, 1e-3, fused=True), params)
    for compiled in (False, True):
        for name, chain in chains().items():
            label = f"{name}{', compiled' if compiled else ''}"
            made[label] = tz.Modular(parameters(shapes), *chain, compile=compiled).step
    return made


def main(threads: int) -> None:
    """Print the tables."""
    torch.set_num_threads(threads)
    for name, shapes in WORK.items():
        steps = contenders(shapes)
        times = interleaved(steps, rounds=20)
        print(table(f"{name}, {threads} thread{'s' * (threads > 1)}", times, next(iter(steps))), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else torch.get_num_threads())
