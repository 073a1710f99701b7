"""AdaptiveBisection: go on from the last step size, up or down, while the loss falls."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core.control import while_loop
from torchzero.core.hyper import Hyper, integer, positive, static, within
from torchzero.line_search.base import Found, Line, LineSearch, above_zero


class AdaptiveBisectionMemory(NamedTuple):
    """What AdaptiveBisection keeps."""

    a: Tensor  # ()       where the next search begins
    scale: Tensor  # ()   of it: shrunk by every failure, 1 after a success


class Tracking(NamedTuple):
    """Where the search stands."""

    k: Tensor  # () int64    trials after the first
    a: Tensor  # ()          the last trial that went on falling
    f: Tensor  # ()          φ(a), inf if it is not finite
    falling: Tensor  # () bool


class AdaptiveBisection(LineSearch):
    r"""Begin at the last step size; shrink it while the loss falls if it is too long, else grow it while it falls.

    $$ a_{k+1} = ν a_k,\qquad ν = \begin{cases} ν^- & φ(a_0) > φ(0)\\ ν^+ & φ(a_0) ≤ φ(0) \end{cases} $$

    The step is the last $a_k$ before φ rises; on the way down, a rise above φ(0) does not count. A trial where φ is not
    finite is too long. A search without success gives the step zero, and the next one begins further down:
    at $s_{t+1} a_{\text{init}}$ with $s_{t+1} = (ν^-)^{k_{\max}} s_t$; a success puts $s_{t+1} = 1$.

    Args:
        init: $a_{\text{init}}$ > 0, where the first search begins. The field is called `initial`, as `init` is the
            function that makes states.
        nplus: ν⁺ > 1.
        nminus: ν⁻, in (0, 1).
        maxiter: $k_{\max}$ ≥ 1, the most evaluations after the first.
        adaptive: whether a failure shrinks the first trial of the next search.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> search = tz.m.AdaptiveBisection(init=0.125)
    >>> params, state = search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())
    >>> params, state.a, state.evaluations
    (tensor([0.]), tensor(0.5000), tensor(4))

    Reference: none; made for this library.
    """

    needs = frozenset({"objective", "value"})

    initial: Hyper = positive(1.0)
    nplus: Hyper = within(1, float("inf"), default=2, closed_low=False)
    nminus: Hyper = within(0, 1, default=0.5, closed_low=False)
    maxiter: Hyper = integer(1, 10)
    adaptive: bool = static(True)

    def __init__(
        self,
        init: Hyper = 1.0,
        nplus: Hyper = 2,
        nminus: Hyper = 0.5,
        maxiter: Hyper = 10,
        adaptive: bool = True,
    ) -> None:
        self._write("initial", init)
        self._write("nplus", nplus)
        self._write("nminus", nminus)
        self._write("maxiter", maxiter)
        self._write("adaptive", adaptive)
        self._validate()

    def recall(self, like: Tensor) -> AdaptiveBisectionMemory:
        # Nothing is known of a before the first success, so 0 stands for `init`.
        return AdaptiveBisectionMemory(torch.zeros_like(like), torch.ones_like(like))

    def search(self, line: Line, memory: AdaptiveBisectionMemory) -> tuple[Found, AdaptiveBisectionMemory]:
        init, nplus, nminus, maxiter = line.settings(self, "initial", "nplus", "nminus", "maxiter")
        a_prev, scale = map(line.number, memory)

        def value(a: Tensor) -> Tensor:
            f = line.value(a)
            return torch.where(torch.isfinite(f), f, torch.full_like(f, torch.inf))

        a = torch.where(a_prev > 0, a_prev, line.number(init)) * scale
        f = value(a)
        down = f > line.f0
        factor: Any = torch.where(down, line.number(nminus), line.number(nplus))

        def body(at: Tracking) -> Tracking:
            a = at.a * factor
            f = value(a)
            lower = torch.where(down, (f < at.f) | (at.f >= line.f0), f <= at.f)
            return Tracking(at.k + 1, torch.where(lower, a, at.a), torch.where(lower, f, at.f), lower)

        end = while_loop(lambda at: at.falling & (at.k < maxiter), body, Tracking(line.count(), a, f, line.flag(True)))
        success = end.f < line.f0
        found = Found(end.a, end.f, (), success, end.k + 1)
        info = torch.finfo(a_prev.dtype)
        kept = torch.where(success, end.a.clamp(info.tiny**0.5, info.max**0.5), torch.zeros_like(a))
        shrunk = above_zero(scale * nminus**maxiter) if self.adaptive else scale
        return found, AdaptiveBisectionMemory(kept, torch.where(success, torch.ones_like(scale), shrunk))
