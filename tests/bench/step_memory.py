"""Peak resident memory of optimizer steps, beyond what must be kept: python -m tests.bench.step_memory.

Every optimizer runs in a process of its own. What must be kept are parameters, gradients and two tensors of state for
each parameter; a process that only fills those is the zero of the table.
"""

import resource
import subprocess
import sys
from collections.abc import Callable

import torch

import torchzero as tz
from tests.bench.step_overhead import WORK, chains, parameters

Stepper = Callable[[list[torch.Tensor]], Callable[[], object]]


def _ours(name: str, *before: tz.Module, compile: bool = False) -> Stepper:
    return lambda params: tz.Modular(params, *before, *chains()[name], compile=compile).step


def _keep(params: list[torch.Tensor]) -> Callable[[], object]:
    tiny = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], fused=True)  # imports what optimizers import
    tiny.step()
    kept = [torch.zeros_like(p).add_(1) for p in params for _ in range(2)]
    return lambda: kept


THREE, FIVE = chains()
WAYS: dict[str, Stepper] = {
    "what must be kept": _keep,
    "AdamW(fused=True)": lambda params: torch.optim.AdamW(params, 1e-3, fused=True).step,
    "AdamW(foreach=True)": lambda params: torch.optim.AdamW(params, 1e-3, foreach=True).step,
    THREE: _ours(THREE),
    FIVE: _ours(FIVE),
    f"ClipNorm(1, dim='global'), {THREE}": _ours(THREE, tz.m.ClipNorm(1.0, dim="global")),
    f"{THREE}, leaf by leaf": lambda params: _plain(tz.Modular(params, *chains()[THREE])),
}


def _plain(opt: tz.Modular) -> Callable[[], object]:
    opt.executor.enabled = False
    return opt.step


def report_one(way: str, work: str) -> None:
    """What a process of its own does."""
    torch.set_num_threads(1)
    step = WAYS[way](parameters(WORK[work]))
    for _ in range(3):
        with torch.no_grad():
            step()
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def measure(way: str, work: str) -> float:
    """Peak resident memory in MB, from a process of its own."""
    run = [sys.executable, "-m", "tests.bench.step_memory", way, work]
    return float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print the tables."""
    for work in list(WORK)[2:]:
        size = sum(p.numel() for p in parameters(WORK[work])) * 4 / 1e6
        zero = measure(next(iter(WAYS)), work)
        print(f"{work}: MB beyond parameters, gradients and state; the parameters take {size:.0f} MB")
        for way in list(WAYS)[1:]:
            more = measure(way, work) - zero
            print(f"  {way:<58} {more:7.0f} MB   {more / size:5.2f} x the parameters", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        report_one(*sys.argv[1:])
    else:
        main()
