"""How long `import torchzero` takes after `import torch`: python -m tests.bench.import_time [rounds]."""

import os
import statistics
import subprocess
import sys
import tempfile

SCRIPT = """
import time
start = time.perf_counter()
import torch
between = time.perf_counter()
import torchzero
print(between - start, time.perf_counter() - between)
"""


def imported(environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of `import torch`, and of `import torchzero` after it, in a process of its own."""
    command = [sys.executable, "-c", SCRIPT]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    first, second = map(float, out.split())
    return first, second


def main(rounds: int = 15) -> None:
    """Print the medians. Bytecode is at hand, as after an installation, whatever the environment says."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as cache:
        environment["PYTHONPYCACHEPREFIX"] = cache
        imported(environment)
        before, after = zip(*(imported(environment) for _ in range(rounds)), strict=True)
    print(f"import, medians of {rounds} processes")
    print(f"  torch {statistics.median(before):.2f} s, torchzero after it {statistics.median(after):.3f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
