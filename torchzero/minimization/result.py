"""Result: what `minimize` found, as data."""

from typing import Any, NamedTuple

from torch import Tensor

from torchzero.core.control import is_batched
from torchzero.core.tree import Tree

RUNNING, CONVERGED, MAX_ITERATIONS, MAX_EVALUATIONS, STALLED, NON_FINITE, TERMINATED, NARROW, UNBOUNDED = range(9)

MESSAGES = {
    RUNNING: "still running",
    CONVERGED: "converged: the gradient is below the tolerance",
    MAX_ITERATIONS: "out of iterations",
    MAX_EVALUATIONS: "out of evaluations",
    STALLED: "stalled: no step was found; the loss is as low as rounding allows, or unbounded along the line",
    NON_FINITE: "the loss or its gradient is not finite",
    TERMINATED: "a module or the callback asked to stop",
    NARROW: "converged: the search is narrower than the tolerance",
    UNBOUNDED: "unbounded: the loss has reached minus infinity",
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

    def __repr__(self) -> str:
        shown = [f"{name}={_short(value)}" for name, value in zip(self._fields, self, strict=True) if name != "state"]
        if self.status.ndim == 0 and not is_batched(self.status):
            shown[-1] = f"message={self.message!r}"
        return f"Result({', '.join(shown)})"

    @property
    def success(self) -> Tensor:
        """Whether the gradient, or by values alone the width of the search, fell below the tolerance: bool."""
        return (self.status == CONVERGED) | (self.status == NARROW)

    @property
    def message(self) -> Any:
        """`status` in words; a list of sentences for a batch, nested as the batch is."""
        return _words(self.status.tolist())


def _short(value: Any) -> str:
    plain = isinstance(value, Tensor) and value.ndim == 0 and not is_batched(value)
    return f"{value.tolist():.6g}" if plain else repr(value)


def _words(codes: Any) -> Any:
    return [_words(c) for c in codes] if isinstance(codes, list) else MESSAGES[codes]
