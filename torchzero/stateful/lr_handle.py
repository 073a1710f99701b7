"""LRHandle: what `get_lr_module()` returns: an LR module that torch's schedulers take for an optimizer."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from torchzero.core.module import Module
from torchzero.stateful.param_group import ParamGroup

if TYPE_CHECKING:
    from torchzero.stateful.modular import Modular


MOMENTUM = 0.9  # what a scheduler that asks for a momentum finds


class Following(Mapping[str, Any]):
    """What a group of the handle says until something is written: the learning rate that its module has now."""

    def __init__(self, handle: "LRHandle", group: ParamGroup) -> None:
        self.handle = handle
        self.group = group

    def __getitem__(self, key: str) -> Any:
        if key == "lr":
            return dict.get(self.group, "lr", self.handle.module_value)
        if key == "momentum":
            return MOMENTUM
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(("lr", "momentum"))

    def __len__(self) -> int:
        return 2


class LRHandle(torch.optim.Optimizer):
    """The learning rate of one module, as an optimizer with nothing but learning rates.

    A scheduler built on it writes the learning rate of that module alone; until something is written the module
    follows the optimizer's own groups. Momentum that a scheduler cycles is kept here: an `LR(scheduler_cls=...)` hands
    it on, a scheduler that the user made does not.
    """

    param_groups: list[ParamGroup]

    def __init__(self, owner: "Modular", module: Module) -> None:
        self.owner = owner
        self.module = module
        self.state = defaultdict(dict)
        self.defaults = {"lr": getattr(module, "lr", None), "momentum": MOMENTUM}
        self.param_groups = []  # pyright: ignore[reportIncompatibleVariableOverride]
        self.follow()

    def follow(self) -> None:
        """Have a group for every group of the owner."""
        for group in self.owner.param_groups[len(self.param_groups) :]:
            self.param_groups.append(ParamGroup({"params": group["params"]}, Following(self, group)))

    @property
    def module_value(self) -> Any:
        """The learning rate of the module itself."""
        return self.owner._settings.value(self.module, "lr")

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Do nothing: the optimizer steps."""

    @property
    def written(self) -> bool:
        """Whether some learning rate was written here."""
        return any(dict.__contains__(group, "lr") for group in self.param_groups)

    def values(self) -> list[Any]:
        """The learning rate of every parameter where one was written here, else None."""
        out: list[Any] = []
        for group in self.param_groups:
            out += [dict.get(group, "lr")] * len(group["params"])
        return out

    def momenta(self) -> list[Any]:
        """The momentum of every group where a scheduler wrote one, else None."""
        return [dict.get(group, "momentum") for group in self.param_groups]

    def __repr__(self) -> str:
        return f"LRHandle({self.module!r})"
