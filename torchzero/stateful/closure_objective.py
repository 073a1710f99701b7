"""ClosureObjective: the closure of `Modular.step` as something that can be evaluated at any point."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.stateful.parameters import base_of_view, clear_gradient, gradient


class ClosureObjective(Objective):
    """Evaluate a closure, at x0 or at any other point, and leave the parameters as they were.

    Another point is copied into the live parameters, the closure is called, and x0 is put back bit for bit, also when
    the closure raises or is interrupted. Gradients are cleared before every backward pass. The closure gets False for
    a value alone, and no argument for value and gradient.

    Args:
        closure: the user's function.
        live: the parameters, in leaf order.
        x0: the tree of their values that the step sees.
        owners: every parameter whose gradient the closure may write; cleared before backward.
    """

    def __init__(self, closure: Callable[..., Any], live: list[Tensor], x0: Tree, owners: list[Tensor]) -> None:
        self.closure = closure
        self.live = live
        self.x0 = x0
        self.owners = owners
        self.calls = 0
        self.first: Any = None
        self.at_x0: Any = None

    def _note(self, value: Any, here: bool) -> Tensor:
        if self.calls == 0:
            self.first = value
        if here and self.at_x0 is None:
            self.at_x0 = value
        self.calls += 1
        if isinstance(value, Tensor):
            return value.detach()
        like = self.live[0]
        return torch.as_tensor(value, dtype=like.dtype if like.is_floating_point() else None, device=like.device)

    @property
    def returned(self) -> Any:
        """What `Modular.step` returns: the loss at x0, or the first value if there was none."""
        return self.first if self.at_x0 is None else self.at_x0

    @contextmanager
    def _at(self, params: Tree) -> Iterator[bool]:
        """Move the live parameters to `params`; yields whether that is x0."""
        here, home = tree.leaves(params), tree.leaves(self.x0)
        if params is self.x0 or all(a is b for a, b in zip(here, home, strict=True)):
            yield True
            return
        kept = [p.detach().clone() for p in self.live]
        here = [x.detach().clone() if x is h else x.detach() for x, h in zip(here, home, strict=True)]
        try:
            with torch.no_grad():
                for p, x in zip(self.live, here, strict=True):
                    p.copy_(x)
            yield False
        finally:
            with torch.no_grad():
                for p, x in zip(self.live, kept, strict=True):
                    p.copy_(x)

    def value(self, params: Tree) -> Tensor:
        with self._at(params) as here, torch.no_grad():
            return self._note(self.closure(False), here)

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        with self._at(params) as here:
            kept = None if here else [(p, _leaf(p).grad) for p in self.owners]
            try:
                for p in self.owners:
                    clear_gradient(p)
                with torch.enable_grad():
                    raw = self.closure()
                grads = [_dense(g, p) if (g := gradient(p)) is not None else torch.zeros_like(p) for p in self.live]
                value = self._note(raw, here)
            finally:
                if kept is not None:
                    for p, g in kept:
                        _leaf(p).grad = g
        return value, tree.unflatten(tree.flatten(self.x0)[1], grads)


def _leaf(p: Tensor) -> Tensor:
    return p if p.is_leaf else (base_of_view(p) if base_of_view(p) is not None else p)  # type: ignore[return-value]


def _dense(g: Tensor, p: Tensor) -> Tensor:
    if g.layout != torch.strided:
        raise RuntimeError(
            f"Modular: the gradient of a parameter of shape {tuple(p.shape)} has layout {g.layout}; only dense "
            "gradients are supported; build the embedding with sparse=False"
        )
    return g.detach()
