"""Backtracking: shrink the step until the loss decreases enough."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, integer, positive, static, within
from torchzero.line_search.base import CONDITIONS, Found, Line, LineSearch, above_zero, backtrack, decrease, needs


class BacktrackingMemory(NamedTuple):
    """What Backtracking keeps."""

    scale: Tensor  # ()   of the first trial: shrunk by every failure, 1 after a success


class Backtracking(LineSearch):
    r"""Take the first of the steps $a, βa, β^2a, …$ that decreases the loss enough.

    $$ φ(a_k) < φ(0) + c\,a_k \min(φ'(0), 0),\qquad a_k = β^k s_t a_{\text{init}},\quad k < k_{\max} $$

    If the loss rises from one trial to the next, and the one before was below φ(0), that one is taken. A trial where φ
    is not finite is a failed one. A search without success gives the step zero, and the next one begins where it ended:
    $s_{t+1} = β^{k_{\max}} s_t$; a success puts $s_{t+1} = 1$.

    Args:
        init: $a_{\text{init}}$ > 0, the first trial. The field is called `initial`, as `init` is the function that
            makes states.
        beta: β, in (0, 1).
        c: in [0, 1).
        condition: "armijo", above; "goldstein", which also wants $φ(a) > φ(0) + (1-c) a φ'(0)$; or "decrease":
            φ(a) < φ(0).
        maxiter: $k_{\max}$ ≥ 1, the most evaluations.
        adaptive: whether a failure shrinks the first trial of the next search.

    Raises:
        ValueError: for a number outside its range, or an unknown condition.

    >>> import torch, torchzero as tz
    >>> search = tz.m.Backtracking()
    >>> params, state = search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())
    >>> params, state.a, state.evaluations
    (tensor([0.]), tensor(0.5000), tensor(2))

    Reference: Armijo 1966, https://doi.org/10.2140/pjm.1966.16.1; Nocedal & Wright 2006, Numerical optimization,
    algorithm 3.1
    """

    initial: Hyper = positive(1.0)
    beta: Hyper = within(0, 1, default=0.5, closed_low=False)
    c: Hyper = within(0, 1, default=1e-4)
    condition: str = static("armijo", choices=CONDITIONS)
    maxiter: Hyper = integer(1, 10)
    adaptive: bool = static(True)

    def __init__(
        self,
        init: Hyper = 1.0,
        beta: Hyper = 0.5,
        c: Hyper = 1e-4,
        condition: str = "armijo",
        maxiter: Hyper = 10,
        adaptive: bool = True,
    ) -> None:
        self._write("initial", init)
        self._write("beta", beta)
        self._write("c", c)
        self._write("condition", condition)
        self._write("maxiter", maxiter)
        self._write("adaptive", adaptive)
        self._validate()

    @property
    def needs(self) -> frozenset[str]:
        """The gradient only for the slope at zero."""
        return needs(self.condition)

    def recall(self, like: Tensor) -> BacktrackingMemory:
        return BacktrackingMemory(torch.ones_like(like))

    def search(self, line: Line, memory: BacktrackingMemory) -> tuple[Found, BacktrackingMemory]:
        init, beta, c, maxiter = line.settings(self, "initial", "beta", "c", "maxiter")
        scale = line.number(memory.scale)
        found = backtrack(line, init * scale, beta, maxiter, decrease(self.condition, line, c))
        if not self.adaptive:
            return found, memory
        shrunk = above_zero(scale * beta**maxiter)
        return found, BacktrackingMemory(torch.where(found.success, torch.ones_like(scale), shrunk))
