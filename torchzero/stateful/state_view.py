"""StateView: `opt.state`: what the chain keeps for each parameter."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torchzero.stateful import store

if TYPE_CHECKING:
    from torchzero.stateful.modular import Modular


class StateView(Mapping[Tensor, dict[str, Any]]):
    """For each parameter "module path/slot" -> tensor, and "step", how many steps it has taken.

    A view made when it is asked for: the tensors are the optimizer's own, the dicts are not.
    """

    def __init__(self, owner: "Modular") -> None:
        mine, shared = store.entries(owner._state, len(owner._params)) if owner._state is not None else ([], {})
        self._entries: dict[Tensor, dict[str, Any]] = {
            p: {"step": torch.tensor(s), **m, **shared}
            for p, m, s in zip(owner._params, mine, owner._steps, strict=False)
            if s >= 0
        }

    def __getitem__(self, param: Tensor) -> dict[str, Any]:
        return self._entries[param]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"StateView({len(self)} parameters)"
