"""Stack: tensors of one shape that are evaluated as one, with a dimension in front."""

from typing import Any

import torch
from torch import Tensor

from torchzero.stateful.executor.elements import elements
from torchzero.stateful.executor.group import Group, Now, Writes, apart
from torchzero.stateful.executor.program import Run
from torchzero.stateful.store import storage

STACK = 2**24  # elements that are evaluated at a time
ALONE = 2**16  # from this many elements on a tensor keeps a CPU busy by itself, and a copy of it would cost more


def many(p: Tensor) -> int:
    """How many tensors like this one are evaluated at a time."""
    if p.device.type == "cpu" and p.numel() >= ALONE:
        return 1
    return max(1, STACK // max(p.numel(), 1))


class Stack(Group):
    """A group evaluated by vmap over its n > 1 tensors; the state is stacked as well: (n, ...)."""

    def __init__(self, run: Run, who: list[int], *rest: Any) -> None:
        super().__init__(run, who, *rest)
        self._dims = [None if s else 0 for s in self.own_shared]

    def step(self, now: Now) -> Writes:
        p, u = self._stacked(now.params), self._stacked(now.us)
        g = self._stacked(now.grads) if self.sees_grad else None
        heads, state = self.heads(now)

        def evaluate(state: list[Tensor], p: Tensor, g: Tensor | None, u: Tensor) -> tuple[list[Tensor], Tensor]:
            made, d = elements(heads, self.own.unflatten(state), p, g, u, now.context)
            return self.own.flatten_up_to(made), d

        dims = (self._dims, 0, None if g is None else 0, 0)
        new, d = torch.func.vmap(evaluate, in_dims=dims)(state, p, g, u)
        new = [self._once(y) if s else y for y, s in zip(new, self.own_shared, strict=True)]
        memory = self.memory | {storage(now.params[i]) for i in self.who}
        # what stays as it is comes back as another tensor at the same place
        changed = [
            (x, apart(y, memory))
            for x, y, s in zip(state, new, self.own_shared, strict=True)
            if not s and (x.data_ptr() != y.data_ptr() or x.stride() != y.stride())
        ]
        d = apart(d, memory)
        for i, piece in zip(self.who, d.unbind(), strict=True):
            now.us[i] = piece
        return changed + self.counts(now, heads, new)

    def _stacked(self, values: Any) -> Tensor:
        return torch.stack([values[i].detach() for i in self.who])

    def _once(self, y: Tensor) -> Tensor:
        """What all tensors have in common."""
        if y.stride(0) != 0:
            raise ValueError("a counter of the state depends on the tensors")
        return y[0]
