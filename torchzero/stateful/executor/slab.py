"""Slab: parameters that are evaluated as one flat tensor."""

from typing import Any

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors

from torchzero.core.module import Module
from torchzero.core.var import Var
from torchzero.stateful.store import storage

BLOCK = 2**17  # elements that are evaluated at a time, so that what they need stays in the cache


class Slab:
    """Some parameters of one dtype and device, with the same settings and counters.

    Args:
        who: their places among the optimizer's parameters.
        params: these parameters.
        state: every tensor of the modules' states: flat ones, (*lead, N), and shared ones.
        shared: for each tensor whether other slabs see it too; those are not written here.
        spec: what makes the list of the modules' states from the tensors.
    """

    links: list[Module]  # the modules, with the settings of these parameters

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
        self.memory = {storage(x) for x, s in zip(state, shared, strict=True) if not s}

    def gather(self, params: list[Tensor], grads: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The parameters and their gradients as flat tensors; writing into the first may write the parameters."""
        raise NotImplementedError

    def scatter(self, params: list[Tensor]) -> None:
        """Write what `gather` returned first back to where the parameters live."""

    def step(self, params: list[Tensor], grads: list[Any], loss: Any, step: int, kwargs: Any) -> list[Tensor]:
        """Move the parameters and the states in place; returns the new values of the shared tensors."""
        params = [params[i] for i in self.who]
        p, g = self.gather(params, [grads[i] for i in self.who])
        memory = self.memory | {storage(p)}
        new = self.state
        for a in range(0, max(self.size, 1), BLOCK):
            part = slice(a, a + BLOCK) if self.size > BLOCK else None
            state, x, new, update = self._block(p, g, part, loss, step, kwargs)
            _write(state, new, self.shared, x, update, memory)
        self.scatter(params)
        counters = zip(self.counters, [y for y, s in zip(new, self.shared, strict=True) if s], strict=True)
        # a counter may become what another one was, which is written when all slabs have been evaluated
        return [y.clone() if y is not x and storage(y) in self.wide else y for x, y in counters]

    def rehearse(self, params: list[Tensor], grads: list[Any], loss: Any, step: int, kwargs: Any) -> None:
        """Evaluate one element, and write nothing: a module that cannot do it raises before anything has changed."""
        p, g = self.gather([params[i] for i in self.who], [grads[i] for i in self.who])
        self._block(p, g, slice(0, 1), loss, step, kwargs)

    def _block(
        self, p: Tensor, g: Tensor, part: slice | None, loss: Any, step: int, kwargs: Any
    ) -> tuple[list[Tensor], Tensor, list[Tensor], Tensor]:
        """The state and the parameters of a part, and what becomes of them: the new state and the update."""
        state, x, u = self.state, p, g
        if part is not None:
            x, u = p[part], g[part]
            state = [y if s else y[..., part] for y, s in zip(state, self.shared, strict=True)]
        var, made = Var(x, grad=u, loss=loss, step=step, storage=kwargs), []
        for link, own in zip(self.links, self.spec.unflatten(state), strict=True):
            own, var = link.step(own, var)
            made.append(own)
        return state, x, self.spec.flatten_up_to(tuple(made)), var.update


class Gathered(Slab):
    """Small parameters, copied into one tensor for the step."""

    def __init__(self, who: list[int], params: list[Tensor], *rest: Any) -> None:
        super().__init__(who, params, *rest)
        like = params[0]
        self.flat = torch.empty(self.size, dtype=like.dtype, device=like.device)
        self.parts = pieces(self.flat, params)

    def gather(self, params: list[Tensor], grads: list[Tensor]) -> tuple[Tensor, Tensor]:
        copy_each(self.parts, params)
        return self.flat, _flatten_dense_tensors(grads)

    def scatter(self, params: list[Tensor]) -> None:
        copy_each(params, self.parts)


class InPlace(Slab):
    """A large parameter, where it lies."""

    def gather(self, params: list[Tensor], grads: list[Tensor]) -> tuple[Tensor, Tensor]:
        (p,), (g,) = params, grads
        if g.stride() != p.stride():
            g = torch.empty_like(p, requires_grad=False).copy_(g)
        return in_order(p.detach()), in_order(g)


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
