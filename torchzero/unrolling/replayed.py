"""replayed: a function that draws the same random numbers whenever it is called."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def replayed(fn: Callable[..., Any], tensors: Iterable[Tensor]) -> Callable[..., Any]:
    """`fn`, whose calls after the first see torch's global generators as the first did, and leave them alone.

    The generators are those of the CPU and of the devices that `tensors` lie on.
    """
    devices = sorted({x.device for x in tensors if x.device.type not in ("cpu", "meta")}, key=str)
    states: list[tuple[Any, Tensor]] = []

    def call(*args: Any) -> Any:
        generators = [torch, *(_Generator(d) for d in devices)]
        if not states:
            states.extend((g, g.get_rng_state()) for g in generators)
            return fn(*args)
        now = [g.get_rng_state() for g in generators]
        for g, (_, then) in zip(generators, states, strict=True):
            g.set_rng_state(then)
        try:
            return fn(*args)
        finally:
            for g, x in zip(generators, now, strict=True):
                g.set_rng_state(x)

    return call


class _Generator:
    """The global generator of a device that is not the CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.module = device, torch.get_device_module(device)

    def get_rng_state(self) -> Tensor:
        return self.module.get_rng_state(self.device) if self.device.index is not None else self.module.get_rng_state()

    def set_rng_state(self, state: Tensor) -> None:
        if self.device.index is not None:
            self.module.set_rng_state(state, self.device)
        else:
            self.module.set_rng_state(state)
