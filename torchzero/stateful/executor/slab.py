"""Slab: parameters that are evaluated as one flat tensor."""

from typing import Any

import optree
import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors

from torchzero.core.module import Module, ScheduledState
from torchzero.stateful.executor.elements import Head, elements, head
from torchzero.stateful.executor.kernel import Kernel
from torchzero.stateful.store import storage

BLOCK = 2**18  # elements that are evaluated at a time, so that what they need stays in the cache


class Slab:
    """Some parameters of one dtype and device, with the same settings and counters.

    Args:
        who: their places among the optimizer's parameters.
        params: these parameters.
        state: every tensor of the modules' states: flat ones, (*lead, N), and shared ones.
        shared: for each tensor whether other slabs see it too; those are not written here.
        spec: what makes the list of the modules' states from the tensors.
    """

    links: list[tuple[Module, bool]]  # the modules, with the settings of these parameters, and whether they are direct
    kernels: dict[Any, Kernel] | None = None  # the compiled graphs of the optimizer, if it is to compile

    def __init__(
        self, who: list[int], params: list[Tensor], state: list[Tensor], shared: list[bool], spec: Any
    ) -> None:
        self.who = who
        self.state = state
        self.shared = shared
        self.spec = spec
        self.counters = [x for x, s in zip(state, shared, strict=True) if s]
        self.wide = set(map(storage, self.counters))
        self.size = sum(p.numel() for p in params)
        marks = [m.own if isinstance(m, ScheduledState) else m for m in spec.unflatten(shared)]
        flat: tuple[list[Any], Any] = optree.tree_flatten(marks)  # pyright: ignore[reportArgumentType]
        self.own_shared, self.own = flat
        self.memory = {storage(x) for x, s in zip(state, shared, strict=True) if not s}

    def gather(self, params: list[Tensor]) -> Tensor:
        """The parameters as one flat tensor; writing into it may write the parameters."""
        raise NotImplementedError

    def flatten(self, params: list[Tensor], values: list[Tensor]) -> Tensor:
        """Gradients or directions of the parameters, flat and in the same order, to be read."""
        raise NotImplementedError

    def scatter(self, params: list[Tensor]) -> None:
        """Write what `gather` returned first back to where the parameters live."""

    def step(
        self, params: list[Tensor], grads: list[Any], us: list[Any], loss: Any, step: int, kwargs: Any
    ) -> list[Tensor]:
        """Move the parameters and the states in place; returns the new values of the shared tensors."""
        params = [params[i] for i in self.who]
        p, g = self.gather(params), self.flatten(params, [grads[i] for i in self.who])
        u = g if us is grads else self.flatten(params, [us[i] for i in self.who])
        heads, state = self._heads()
        if self.kernels is not None and self.size > 1 and Kernel.suits(heads):
            key = Kernel.key(heads)
            if key not in self.kernels:
                self.kernels[key] = Kernel(heads, self.own_shared)
            wide = iter(self.kernels[key](heads, p, g, u, loss))
            new = [next(wide) if s else y for y, s in zip(state, self.own_shared, strict=True)]
        else:
            new = self._eager(heads, state, p, g, u, loss, step, kwargs)
        self.scatter(params)
        states = [
            s if h.k is None else ScheduledState(h.k, s) for h, s in zip(heads, self.own.unflatten(new), strict=True)
        ]
        marked = zip(self.spec.flatten_up_to(tuple(states)), self.shared, strict=True)
        counters = zip(self.counters, [y for y, shared in marked if shared], strict=True)
        # a counter may become what another one was, which is written when all slabs have been evaluated
        return [y.clone() if y is not x and storage(y) in self.wide else y for x, y in counters]

    def rehearse(self, params: list[Tensor], grads: list[Any], loss: Any, step: int, kwargs: Any) -> None:
        """Evaluate one element, and write nothing: a module that cannot do it raises before anything has changed."""
        params = [params[i] for i in self.who]
        p, g = self.gather(params)[:1], self.flatten(params, [grads[i] for i in self.who])[:1]
        heads, state = self._heads()
        here = [y if s else y[..., :1] for y, s in zip(state, self.own_shared, strict=True)]
        elements(heads, self.own.unflatten(here), p, g, g, loss, step, kwargs)

    def _heads(self) -> tuple[list[Head], list[Tensor]]:
        """What is done once in this step, and every tensor of the states that the elements see."""
        states = self.spec.unflatten(self.state)
        heads = [head(*link, state) for link, state in zip(self.links, states, strict=True)]
        return heads, self.own.flatten_up_to([h.state for h in heads])

    def _eager(
        self, heads: list[Head], state: list[Tensor], p: Tensor, g: Tensor, u: Tensor, loss: Any, step: int, kwargs: Any
    ) -> list[Tensor]:
        """One block after the other; returns the new state, of which the shared tensors mean something."""
        memory = self.memory | {storage(p)}
        new = state
        for a in range(0, max(self.size, 1), BLOCK):
            here, x, dx, d = state, p, g, u
            if self.size > BLOCK:
                part = slice(a, a + BLOCK)
                x, dx, d = p[part], g[part], u[part]
                here = [y if s else y[..., part] for y, s in zip(state, self.own_shared, strict=True)]
            made, d = elements(heads, self.own.unflatten(here), x, dx, d, loss, step, kwargs)
            new = self.own.flatten_up_to(made)
            _write(here, new, self.own_shared, x, d, memory)
        return new


class Gathered(Slab):
    """Small parameters, copied into one tensor for the step."""

    def __init__(self, who: list[int], params: list[Tensor], *rest: Any) -> None:
        super().__init__(who, params, *rest)
        like = params[0]
        self.flat = torch.empty(self.size, dtype=like.dtype, device=like.device)
        self.parts = pieces(self.flat, params)

    def gather(self, params: list[Tensor]) -> Tensor:
        copy_each(self.parts, params)
        return self.flat

    def flatten(self, params: list[Tensor], values: list[Tensor]) -> Tensor:
        return _flatten_dense_tensors(values)

    def scatter(self, params: list[Tensor]) -> None:
        copy_each(params, self.parts)


class InPlace(Slab):
    """A large parameter, where it lies."""

    def gather(self, params: list[Tensor]) -> Tensor:
        return in_order(params[0].detach())

    def flatten(self, params: list[Tensor], values: list[Tensor]) -> Tensor:
        (p,), (x,) = params, values
        return in_order(x if x.stride() == p.stride() else torch.empty_like(p, requires_grad=False).copy_(x))


def copy_each(to: list[Tensor], of: list[Tensor]) -> None:
    """Copy tensors into others, in one call."""
    torch._foreach_copy_(to, of)  # pyright: ignore[reportPrivateImportUsage]


def pieces(flat: Tensor, params: list[Tensor]) -> list[Tensor]:
    """The parameters' places in a flat tensor (*lead, N), as views of the parameters' shapes."""
    parts = flat.split([p.numel() for p in params], dim=-1)
    return [x.view((*flat.shape[:-1], *p.shape)) for x, p in zip(parts, params, strict=True)]


def in_order(x: Tensor) -> Tensor:
    """A tensor without gaps as a flat view, in the order of memory."""
    return x.as_strided((x.numel(),), (1,))


def _write(
    old: list[Tensor], new: list[Tensor], shared: list[bool], param: Tensor, update: Tensor, memory: set[int]
) -> None:
    """Subtract the update and keep the new state; what was made from memory that changes is copied first."""
    changed = [(x, y) for x, y, s in zip(old, new, shared, strict=True) if not s and x is not y]
    if storage(update) in memory:
        update = update.clone()
    changed = [(x, y.clone() if storage(y) in memory else y) for x, y in changed]
    for x, y in changed:
        x.copy_(y)
    param.sub_(update)
