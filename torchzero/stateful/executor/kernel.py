"""Kernel: the elements of a slab evaluated by one compiled graph."""

import contextlib
import dataclasses
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from torchzero.core.module import Module
from torchzero.stateful.executor.elements import Context, Head, elements


class Kernel:
    """A run of elementwise modules as one compiled function, for flat tensors of any size.

    Everything numeric enters as a 0-d tensor, so that settings and schedules move without another compilation; whole
    numbers, which choose formulas, do not.
    In the last run of a step parameters and states are written in place.

    Args:
        heads: the modules at some step; their numbers do not matter.
        states: what the elements see of their states, likewise.
        shared: for each tensor of the states whether it is not written here.
        last: whether what comes out is the update; if not, nothing is written.
        device: where it runs.
    """

    PATIENCE = 2.0  # seconds after which the user is told what takes so long

    def __init__(
        self, heads: list[Head], states: list[Any], shared: list[bool], last: bool, device: torch.device
    ) -> None:
        links = [h.link for h in heads]
        direct = [h.direct for h in heads]
        forms = [type(h.scalars) for h in heads]
        names = [_names(link) for link in links]
        slots = [(type(state), [isinstance(x, Tensor) for x in state]) for state in states]
        self._used = False

        def run(
            old: list[Tensor],
            param: Tensor,
            grad: Tensor | None,
            u: Tensor,
            loss: Tensor | None,
            values: list[list[Tensor]],
            scalars: list[list[Tensor]],
        ) -> tuple[list[Tensor], Tensor | None]:
            ready = []
            for link, is_direct, keys, own, form, numbers in zip(
                links, direct, names, values, forms, scalars, strict=True
            ):
                link = link.evolve(**dict(zip(keys, own, strict=True)))
                ready.append(Head(link, is_direct, _restored(form, numbers), None, None))
            tensors = iter(old)
            states = [_state(kind, [next(tensors) if is_tensor else () for is_tensor in own]) for kind, own in slots]
            made, u = elements(ready, states, param, grad, u, Context(loss, 0, {}))
            u = u.clone()
            new = [y.clone() for state in made for y in state if isinstance(y, Tensor)]
            if not last:
                return new, u
            for x, y, s in zip(old, new, shared, strict=True):
                if not s:
                    x.copy_(y)
            param.sub_(u)
            return [y for y, s in zip(new, shared, strict=True) if s], None

        # Compiled code is found by its code object, which all kernels would have in common.
        own = types.FunctionType(run.__code__.replace(), run.__globals__, run.__name__, None, run.__closure__)
        self._run = torch.compile(own, dynamic=True, fullgraph=True, options=_unguarded(device))
        self._shared = shared
        self._known: dict[Any, tuple[Module, list[Tensor]]] = {}  # what was made of the numbers of modules
        self._last = last

    @staticmethod
    def suits(heads: list[Head], states: list[Any]) -> bool:
        """Whether these modules have no children, and states that are flat."""
        return all(
            not h.link.children() and all(isinstance(x, Tensor) or x == () for x in state)
            for h, state in zip(heads, states, strict=True)
        )

    @staticmethod
    def key(heads: list[Head], last: bool, param: Tensor, grad: Tensor | None, u: Tensor, loss: Any) -> Any:
        """What steps of one chain, with whatever numbers and sizes, have in common if they can share a kernel."""
        return (
            last,
            param.dtype,
            param.device,
            grad is None,
            grad is u,
            _dtype(loss),
            *(_kind(h.link) for h in heads),
        )

    def numbers(self, heads: list[Head], like: Tensor) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """What the graph wants to know of the modules: settings, and what depends on the step alone."""
        values = [self._values(h.link, like) for h in heads]
        return values, [[_number(x, like) for x in _parts(h.scalars)] for h in heads]

    def __call__(
        self,
        numbers: tuple[list[list[Tensor]], list[list[Tensor]]],
        state: list[Tensor],
        param: Tensor,
        grad: Tensor | None,
        u: Tensor,
        loss: Any,
    ) -> tuple[list[Tensor], Tensor | None]:
        """The new tensors of the state, and the direction; in a last run None, and what it moves is written."""
        loss = None if loss is None else torch.as_tensor(loss).detach()
        with contextlib.nullcontext() if self._used else _announced(self.PATIENCE):
            new, d = self._run(state, param, grad, u, loss, *numbers)
        self._used = True
        if self._last:
            wide = iter(new)
            new = [next(wide) if s else y for y, s in zip(state, self._shared, strict=True)]
        return new, d

    def _values(self, link: Module, like: Tensor) -> list[Tensor]:
        key = id(link), like.dtype, like.device
        if key not in self._known:
            if len(self._known) >= MANY:
                self._known.clear()
            values = [_number(getattr(link, k), like) for k in _names(link)]
            if any(isinstance(getattr(link, k), Tensor) for k in _names(link)):  # which schedulers may write
                return values
            self._known[key] = link, values
        return self._known[key][1]


def _unguarded(device: torch.device) -> dict[str, Any] | None:
    """Options to call the graph without checks that it fits, which take longer than a small graph itself.

    What could make it unfit is part of a kernel's key. On a GPU graphs differ for very large sizes as well.
    """
    skip = getattr(torch.compiler, "skip_all_guards_unsafe", None)  # since torch 2.9
    return None if skip is None or device.type != "cpu" else {"guard_filter_fn": skip}


MANY = 256  # modules whose numbers are remembered


def _dtype(loss: Any) -> Any:
    return None if loss is None else torch.as_tensor(loss).dtype


def _kind(link: Module) -> tuple[Any, ...]:
    """What chooses a module's formulas: everything but numbers that may move."""
    fields = ((f.name, getattr(link, f.name)) for f in dataclasses.fields(link))  # pyright: ignore[reportArgumentType]
    plain = str | bool | int | None
    return type(link), *((k, "moves" if _moves(v) else v if isinstance(v, plain) else id(v)) for k, v in fields)


def _names(link: Module) -> list[str]:
    return [k for k, v in link.hypers().items() if _moves(v)]


def _moves(value: Any) -> bool:
    return isinstance(value, float | Tensor)


def _parts(scalars: Any) -> list[Any]:
    if scalars is None:
        return []
    return list(scalars) if isinstance(scalars, tuple) else [scalars]


def _restored(form: type, numbers: list[Tensor]) -> Any:
    if form is type(None):
        return None
    if not issubclass(form, tuple):
        return numbers[0]
    return form(*numbers) if hasattr(form, "_fields") else tuple(numbers)


def _state(kind: type, slots: list[Any]) -> Any:
    return kind(*slots) if hasattr(kind, "_fields") else tuple(slots)


def _number(x: Any, like: Tensor) -> Tensor:
    """A number as a 0-d tensor in the precision of the elements."""
    if isinstance(x, Tensor):
        whole = x.dtype if x.dtype == torch.bool else torch.int64
        return x.to(like.device, like.dtype if x.is_floating_point() else whole)
    return torch.tensor(x, dtype=like.dtype if isinstance(x, float) else None, device=like.device)


@contextlib.contextmanager
def _announced(seconds: float) -> Iterator[None]:
    """Say what is going on if it takes longer than this."""
    message = "torchzero: compiling the optimizer's step; this is done once for a chain, and kept in torch's cache\n"
    timer = threading.Timer(seconds, sys.stderr.write, (message,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
