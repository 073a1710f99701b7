"""Slab: parameters that are evaluated as one flat tensor."""

from typing import Any

import torch
from torch import Tensor
from torch._utils import _flatten_dense_tensors

from torchzero.stateful.executor.elements import Head, elements
from torchzero.stateful.executor.group import Group, Now, Writes, apart, write
from torchzero.stateful.executor.kernel import Kernel
from torchzero.stateful.executor.program import Run
from torchzero.stateful.store import storage

BLOCK = 2**17  # elements that each core of a CPU evaluates at a time, so that what they need stays in its cache
BLOCK_ELSEWHERE = 2**24  # a GPU wants to be kept busy


def block(device: torch.device) -> int:
    """How many elements are evaluated at a time."""
    return BLOCK * torch.get_num_threads() if device.type == "cpu" else BLOCK_ELSEWHERE


class Slab(Group):
    """A group evaluated as one flat tensor; the state is flat as well: (*lead, N)."""

    kernels: dict[Any, Kernel] | None = None  # the compiled graphs of the optimizer, if it is to compile

    def __init__(self, run: Run, who: list[int], params: list[Tensor], *rest: Any) -> None:
        super().__init__(run, who, *rest)
        self.size = sum(p.numel() for p in params)

    def gather(self, params: list[Tensor]) -> Tensor:
        """The parameters as one flat tensor; writing into it may write the parameters."""
        raise NotImplementedError

    def flatten(self, params: list[Tensor], values: list[Tensor]) -> Tensor:
        """Gradients or directions of the parameters, flat and in the same order, to be read."""
        raise NotImplementedError

    def scatter(self, params: list[Tensor]) -> None:
        """Write what `gather` returned first back to where the parameters live."""

    def pieces(self, params: list[Tensor], flat: Tensor) -> list[Tensor]:
        """A flat tensor as one for each parameter."""
        raise NotImplementedError

    def step(self, now: Now) -> Writes:
        p, g, u = self._flat(now)
        params = [now.params[i] for i in self.who]
        heads, state = self.heads(now)
        kernel = self._kernel(now, heads, state, p, g, u)
        if kernel is not None:
            key = "numbers", self.alike, p.dtype, p.device
            if key not in now.begun:
                now.begun[key] = kernel.numbers(heads, p)
            new, d = kernel(now.begun[key], state, p, g, u, now.context.loss)
            writes = self._pending(state, new, p) if d is not None else []
        else:
            new, writes, d = self._eager(heads, state, p, g, u, now)
        if d is None:
            self.scatter(params)
        else:
            d = apart(d, self.memory | {storage(p)})
            for i, piece in zip(self.who, self.pieces(params, d), strict=True):
                now.us[i] = piece
        return writes + self.counts(now, heads, new)

    def _kernel(
        self, now: Now, heads: list[Head], state: list[Tensor], p: Tensor, g: Tensor | None, u: Tensor
    ) -> Kernel | None:
        """The compiled graph of these modules, if there is to be one."""
        if self.kernels is None or self.size < 2 or not heads:
            return None
        quick = "kernel", self.alike, self.run.last, p.dtype, p.device, g is None, g is u
        if quick not in now.begun:
            now.begun[quick], states, last = None, self.own.unflatten(state), self.run.last
            if Kernel.suits(heads, states):
                key = Kernel.key(heads, last, p, g, u, now.context.loss)
                if key not in self.kernels:
                    self.kernels[key] = Kernel(heads, states, self.own_shared, last, p.device)
                now.begun[quick] = self.kernels[key]
        return now.begun[quick]

    def rehearse(self, now: Now) -> None:
        """Evaluate one element, and write nothing: a module that cannot do it raises before anything has changed."""
        p, g, u = (None if x is None else x[:1] for x in self._flat(now))
        heads, state = self.heads(now)
        here = [y if s else y[..., :1] for y, s in zip(state, self.own_shared, strict=True)]
        assert p is not None
        assert u is not None
        elements(heads, self.own.unflatten(here), p, g, u, now.context)

    def _flat(self, now: Now) -> tuple[Tensor, Tensor | None, Tensor]:
        """Parameters, gradients if they are looked at, and directions."""
        params = [now.params[i] for i in self.who]
        raw = self.run.raw
        g = self.flatten(params, [now.grads[i] for i in self.who]) if raw or self.sees_grad else None
        u = g if raw and g is not None else self.flatten(params, [now.us[i] for i in self.who])
        return self.gather(params), g, u

    def _eager(
        self, heads: list[Head], state: list[Tensor], p: Tensor, g: Tensor | None, u: Tensor, now: Now
    ) -> tuple[list[Tensor], Writes, Tensor | None]:
        """One block after the other: the new state, of which the shared tensors mean something, and the direction.

        In the last run the parameters and the state are written, and there is no direction.
        """
        last, memory = self.run.last, self.memory | {storage(p)}
        out = None if last else torch.empty_like(p)
        new, writes, size = state, [], block(p.device)
        for a in range(0, max(self.size, 1), size):
            here, x, dx, d = state, p, g, u
            part = slice(a, a + size)
            if self.size > size:
                x, dx, d = p[part], None if g is None else g[part], u[part]
                here = [y if s else y[..., part] for y, s in zip(state, self.own_shared, strict=True)]
            made, d = elements(heads, self.own.unflatten(here), x, dx, d, now.context)
            new = self.own.flatten_up_to(made)
            pending = self._pending(here, new, p)
            if out is None:
                d = apart(d, memory)
                write(pending)
                x.sub_(d)
            else:
                writes += pending
                out[part].copy_(d)
        return new, writes, out

    def _pending(self, old: list[Tensor], new: list[Tensor], p: Tensor) -> Writes:
        """What is to be written into the state; what was made from memory that changes is copied."""
        memory = self.memory | {storage(p)}
        changed = [(x, y) for x, y, s in zip(old, new, self.own_shared, strict=True) if not s and x is not y]
        return [(x, apart(y, memory)) for x, y in changed]


class Gathered(Slab):
    """Small parameters, copied into one tensor for the step."""

    def __init__(self, run: Run, who: list[int], params: list[Tensor], *rest: Any) -> None:
        super().__init__(run, who, params, *rest)
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

    def pieces(self, params: list[Tensor], flat: Tensor) -> list[Tensor]:
        return pieces(flat, params)


class InPlace(Slab):
    """A large parameter, where it lies."""

    def gather(self, params: list[Tensor]) -> Tensor:
        return in_order(params[0].detach())

    def flatten(self, params: list[Tensor], values: list[Tensor]) -> Tensor:
        (p,), (x,) = params, values
        return in_order(x if x.stride() == p.stride() else torch.empty_like(p, requires_grad=False).copy_(x))

    def pieces(self, params: list[Tensor], flat: Tensor) -> list[Tensor]:
        (p,) = params
        return [flat.as_strided(p.shape, p.stride())]


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
