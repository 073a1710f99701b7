"""Paired timing: contenders take turns, so that a noisy machine disturbs all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int = 30, warmup: int = 3
) -> dict[str, list[float]]:
    """Seconds of every round for each contender; the order turns from round to round."""
    names = list(contenders)
    for name in names * warmup:
        contenders[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for k in range(rounds):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            start = time.perf_counter()
            contenders[name]()
            times[name].append(time.perf_counter() - start)
    return times


def table(title: str, times: Mapping[str, list[float]], base: str) -> str:
    """Median milliseconds, and the median of the paired ratios to `base`."""
    lines = [title]
    for name, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own, times[base], strict=True))
        lines.append(f"  {name:<44} {statistics.median(own) * 1e3:9.2f} ms   {ratio:5.2f} x {base}")
    return "\n".join(lines)
