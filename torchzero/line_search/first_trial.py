"""The first trial of a line search, from what the last one saw."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.line_search.base import Found, Line, above_zero, is_finite

A_INIT = ("fixed", "previous", "first-order", "quadratic", "quadratic-clip")


class Last(NamedTuple):
    """What a search keeps for the first trial of the next one; () for what a fixed first trial does not need."""

    scale: Tensor  # ()        of the first trial: halved by every failure, 1 after a success
    a: Any  # ()               the step size of the last success
    f: Any  # ()               φ(0) of that search
    slope: Any  # ()           φ'(0) of that search
    known: Any  # () bool      whether there was one


def no_last(mode: str, like: Tensor) -> Last:
    """Before the first search."""
    one, zero = torch.ones_like(like), torch.zeros_like(like)
    return Last(one, (), (), (), ()) if mode == "fixed" else Last(one, zero, zero, zero, zero > 0)


def unknown(last: Last) -> Last:
    """Without the last search; how the first trial is scaled stays."""
    return last._replace(known=last.known & False) if isinstance(last.known, Tensor) else last


def first_trial(mode: str, line: Line, slope0: Tensor, fixed: Any, last: Last, scale_first: bool = False) -> Tensor:
    """The first trial by a mode of `A_INIT`; `fixed` where that has nothing to go by.

    With `scale_first` that is shortened to a step no longer than it in the 1-norm.
    """
    scale = line.number(last.scale)
    start = fixed * scale
    if scale_first:
        start = start / sum_of_sizes(line).clamp_min(1)
    if not isinstance(last.known, Tensor):
        return start
    a, f, slope = map(line.number, last[1:4])
    descent = slope0 < -2 * torch.finfo(line.dtype).tiny
    safe = torch.where(descent, slope0, -torch.ones_like(slope0))
    if mode == "previous":
        guess = a
    elif mode == "first-order":
        guess = a * slope / safe
    else:
        guess = 2 * (line.f0 - f) / safe
        if mode == "quadratic-clip":
            guess = (1.01 * guess).clamp_max(1)
    return torch.where(last.known & descent & is_finite(guess) & (guess > 0), guess * scale, start)


def sum_of_sizes(line: Line) -> Tensor:
    """‖u‖₁ of all elements: (); 1 where it is not finite."""
    total = sum((u.abs().sum().to(line.dtype) for u in tree.leaves(line.u)), torch.zeros_like(line.f0))
    return torch.where(is_finite(total), total, 1.0)


def remember(line: Line, slope0: Tensor, found: Found, last: Last, adaptive: bool) -> Last:
    """What the next search begins with."""
    shrunk = above_zero(0.5 * last.scale) if adaptive else last.scale
    scale = torch.where(found.success, torch.ones_like(shrunk), shrunk)
    if not isinstance(last.known, Tensor):
        return Last(scale, (), (), (), ())
    seen = zip((found.a.abs(), line.f0, slope0), last[1:4], strict=True)
    a, f, slope = (torch.where(found.success, x, y) for x, y in seen)
    return Last(scale, a, f, slope, last.known | found.success)
