"""LRHandle: what `get_lr_module()` returns: an LR module that torch's schedulers take for an optimizer."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import torch

from torchzero.core.module import Module
from torchzero.stateful.param_group import ParamGroup

if TYPE_CHECKING:
    from torchzero.stateful.modular import Modular


class LRHandle(torch.optim.Optimizer):
    """The learning rate of one module, as an optimizer with nothing but learning rates.

    A scheduler built on it writes the learning rate of that module alone; until something is written the module
    follows the optimizer's own groups. Momentum that a scheduler cycles is kept here: an `LR(scheduler_cls=...)` hands
    it on, a scheduler that the user made does not.
    """

    def __init__(self, owner: "Modular", module: Module) -> None:
        self.owner = owner
        self.module = module
        self.state = defaultdict(dict)
        self.defaults = {"lr": getattr(module, "lr", None), "momentum": 0.9}
        self.param_groups = []
        self.follow()

    def follow(self) -> None:
        """Have a group for every group of the owner."""
        for group in self.owner.param_groups[len(self.param_groups) :]:
            fallback = {"lr": group["lr"], "momentum": 0.9}
            self.param_groups.append(ParamGroup({"params": group["params"]}, fallback))

    def step(self, closure: Any = None) -> None:
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
