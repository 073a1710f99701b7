"""What all termination criteria share."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.step_size.base import single


class CriterionState(NamedTuple):
    """State of a termination criterion."""

    hits: Tensor  # ()  for how many steps in a row the criterion has held
    own: Any  # what the criterion itself remembers


class TerminationCriteriaBase(Module):
    r"""What termination criteria share: the direction passes, and `should_terminate` is set.

    $$ \mathrm{terminate}_t ⇔ \mathrm{criterion}_t ∧ \mathrm{criterion}_{t-1} ∧ … ∧ \mathrm{criterion}_{t-n+1} $$

    The flag stays up as long as the criterion goes on holding. Nothing stops by itself: `opt.should_terminate` tells a
    loop around `Modular`, and `var.should_terminate` one around the functions. It is a bool tensor.

    To write a criterion, subclass and give `holds(own, var)`, which returns what it remembers and a 0-d bool tensor,
    and `init_own(params)` if it remembers something. A field called `n` says how many times in a row; without one once
    is enough.

    >>> import torch, torchzero as tz
    >>> class Flat(tz.m.TerminationCriteriaBase):
    ...     needs = frozenset({"grad"})
    ...     def holds(self, own, var):
    ...         return own, (var.grad == 0).all()
    >>> opt = tz.Chain(Flat(), tz.m.LR(0.1))
    >>> opt.step(opt.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.zeros(2)))[1].should_terminate
    tensor(True)

    Reference: Nocedal & Wright 2006, Numerical Optimization; Gill, Murray & Wright 1981, Practical Optimization,
    section 8.2.3.
    """

    conservative = True

    def init_own(self, params: Tree) -> Any:
        """What the criterion remembers before the first step."""
        return ()

    def holds(self, own: Any, var: Var) -> tuple[Any, Tensor]:
        """What is remembered now, and whether the criterion holds at this step: 0-d bool."""
        raise TypeError(f"{type(self).__name__} must implement holds(own, var)")

    def init(self, params: Tree) -> CriterionState:
        return CriterionState(tree.counter(params), self.init_own(params))

    def update(self, state: CriterionState, var: Var) -> CriterionState:
        own, now = self.holds(state.own, var)
        return CriterionState(torch.where(now, state.hits + 1, torch.zeros_like(state.hits)), own)

    def apply(self, state: CriterionState, var: Var) -> Var:
        n = single(self, "n")[0] if "n" in self.hypers() else 1
        done = state.hits >= n
        before = var.should_terminate
        if isinstance(before, Tensor):
            done = before | done
        return var.replace(should_terminate=True if before is True else done)
