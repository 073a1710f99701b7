"""Result: what `minimize` found, as data."""

from typing import Any, NamedTuple

from torch import Tensor

from torchzero.core.tree import Tree

RUNNING, CONVERGED, MAX_ITERATIONS, MAX_EVALUATIONS, STALLED, NON_FINITE, TERMINATED, NARROW = range(8)

MESSAGES = {
    RUNNING: "still running",
    CONVERGED: "converged: the gradient is below the tolerance",
    MAX_ITERATIONS: "out of iterations",
    MAX_EVALUATIONS: "out of evaluations",
    STALLED: "stalled: a step moved nothing",
    NON_FINITE: "the loss or its gradient is not finite",
    TERMINATED: "a module or the callback asked to stop",
    NARROW: "converged: the search is narrower than the tolerance",
}


class Result(NamedTuple):
    """The end of a minimisation; batched in every field when `minimize` was vmapped."""

    x: Tree  # like x0   the best point found
    value: Tensor  # ()   the objective there
    grad_norm: Tensor  # ()   the largest absolute element of the (projected) gradient there; nan if by values alone
    iterations: Tensor  # () int64   steps taken
    evaluations: Tensor  # () int64   evaluations of value or of value and gradient
    status: Tensor  # () int64   why it ended: one of the codes in this module
    state: Any  # the method's state

    @property
    def success(self) -> Tensor:
        """Whether the gradient, or by values alone the width of the search, fell below the tolerance: bool."""
        return (self.status == CONVERGED) | (self.status == NARROW)

    @property
    def message(self) -> Any:
        """`status` in words; a list of sentences for a batch, nested as the batch is."""
        return _words(self.status.tolist())


def _words(codes: Any) -> Any:
    return [_words(c) for c in codes] if isinstance(codes, list) else MESSAGES[codes]
