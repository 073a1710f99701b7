"""How long the first compiled step takes, and in a second process: python -m tests.bench.compile_time.

A chain is compiled in a process with an empty cache, and once more in a process that finds the cache of the first. The
time of the same step by eager modules, and of `import torch._inductor`, is taken off nothing: it is all that a user
waits for.
"""

import os
import subprocess
import sys
import tempfile
import time

import torch

import torchzero as tz
from tests.bench.step_overhead import WORK, chains, parameters


def report_one(chain: str) -> None:
    """What a process of its own does."""
    params = parameters(WORK["50 tensors, 39 M"])
    opt = tz.Modular(params, *chains()[chain], compile=True)
    begin = time.perf_counter()
    opt.step()
    first = time.perf_counter() - begin
    begin = time.perf_counter()
    opt.step()
    print(first, time.perf_counter() - begin)


def measure(chain: str, cache: str) -> tuple[float, float]:
    """Seconds of the first and second step, from a process of its own."""
    run = [sys.executable, "-m", "tests.bench.compile_time", chain]
    env = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
    out = subprocess.run(run, capture_output=True, text=True, check=True, env=env).stdout.split()
    return float(out[0]), float(out[1])


def main() -> None:
    """Print the table."""
    print(f"seconds of compiled steps on {torch.get_num_threads()} threads: 50 tensors, 39 M")
    for chain in chains():
        with tempfile.TemporaryDirectory() as cache:
            cold, step = measure(chain, cache)
            warm, _ = measure(chain, cache)
        print(f"  {chain:<44} first {cold:5.1f} s   with a warm cache {warm:5.1f} s   then {step:.3f} s", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        report_one(sys.argv[1])
    else:
        main()
