"""The problems of Moré, Garbow & Hillstrom in boxes around their starts, some of whose bounds hold at the solution."""

import torch
from torch import Tensor

from tests.problems.more_garbow_hillstrom import PROBLEMS, Problem

FAR = 0.5  # from an element x of the start to its bounds, in units of 1 + |x|


def box(problem: Problem) -> tuple[Tensor, Tensor]:
    """Bounds at equal distances from the start; in turn on both sides, only below, only above: (n,) each."""
    x = problem.x0
    turn, room = torch.arange(len(x)) % 3, FAR * (1 + x.abs())
    lower = torch.where(turn == 2, -torch.inf, x - room)
    return lower, torch.where(turn == 1, torch.inf, x + room)


def projected_gradient(problem: Problem, x: Tensor) -> float:
    """The largest element of x - P(x - g)."""
    lower, upper = box(problem)
    ahead = x - torch.func.grad(problem.value)(x)
    return float((x - torch.minimum(torch.maximum(ahead, lower), upper)).abs().max())


__all__ = ["PROBLEMS", "box", "projected_gradient"]
