"""ArmijoLS: Armijo's rule, nothing more."""

from typing import Any

from torch import Tensor

from torchzero.core.hyper import Hyper, integer, positive, static, within
from torchzero.core.var import Var
from torchzero.line_search.base import Found, Line, LineSearch, LineSearchState, backtrack, log_step


class ArmijoLS(LineSearch):
    r"""Take the first of the steps $α, μα, μ^2α, …$ with a decrease in proportion to its length.

    $$ φ(0) - φ(a) ≥ β\,a \max(-φ'(0), 0),\quad φ(a) ≤ φ(0) $$

    Nothing is kept from one search to the next: every search begins at α, and one without success gives the step zero.
    `Backtracking` is the same with a memory.

    Args:
        alpha: α > 0, the first trial.
        mul: μ, in (0, 1).
        beta: β, in [0, 1).
        max_iter: the most evaluations, at least 1.
        log_lrs: publish the step size as `attrs["line_search.lr"]`.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> search = tz.m.ArmijoLS()
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: Armijo 1966, https://doi.org/10.2140/pjm.1966.16.1
    """

    alpha: Hyper = positive(1)
    mul: Hyper = within(0, 1, default=0.5, closed_low=False)
    beta: Hyper = within(0, 1, default=0.01)
    max_iter: Hyper = integer(1, 10)
    log_lrs: bool = static(False)

    def search(self, line: Line, memory: Any) -> tuple[Found, Any]:
        alpha, mul, beta, max_iter = line.settings(self, "alpha", "mul", "beta", "max_iter")
        slope = line.slope0.clamp_max(0)

        def accept(a: Tensor, f: Tensor) -> Tensor:
            return f <= line.f0 + beta * a * slope

        return backtrack(line, line.number(alpha), mul, max_iter, accept, look_back=False), memory

    def apply(self, state: LineSearchState, var: Var) -> Var:
        return log_step(self, state, super().apply(state, var))
