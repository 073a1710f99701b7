"""Snapshot: the state dict of Modular: torch's layout in plain containers.

    state         parameter position -> {"step": ..., "module path/slot": tensor}
    param_groups  the groups with positions for parameters, their names, and every setting
    torchzero     format, the module paths, counters, settings of single modules, schedulers

What belongs to a whole module stands, as the same tensor, with every parameter, so that the part under `state` and
`param_groups` is enough: it is all that distributed checkpoints carry.
"""

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torchzero.core.schedule import Schedule
from torchzero.core.tree import Leaves
from torchzero.stateful import store

if TYPE_CHECKING:
    from torchzero.stateful.modular import Modular

FORMAT = 1
COUNTERS = ("current_step", "num_evaluations", "should_terminate")


def plain(value: Any) -> Any:
    """A tensor's copy; anything else as it is."""
    return value.detach().clone() if isinstance(value, Tensor) else value


def savable(value: Any) -> bool:
    """Whether a setting can be written into a checkpoint."""
    return isinstance(value, int | float | str | Tensor)


def _attrs(value: Any) -> Any:
    """Published values in plain containers; what cannot be saved is left out."""
    if savable(value) or value is None:
        return plain(value)
    if isinstance(value, Leaves):
        return {"names": list(value.names), "leaves": [_attrs(v) for v in value]}
    if isinstance(value, dict):
        return {k: _attrs(v) for k, v in value.items()}
    return [_attrs(v) for v in value] if isinstance(value, list | tuple) else None


def save(opt: "Modular") -> dict[str, Any]:
    """The snapshot of an optimizer."""
    state: dict[int, dict[str, Any]] = {}
    if opt._state is not None:
        mine, shared = store.entries(opt._state, len(opt._params))
        copies: dict[int, Tensor] = {}

        def copied(x: Tensor) -> Tensor:
            return copies.setdefault(id(x), x.detach().clone())

        shared = {k: copied(v) for k, v in shared.items()}
        for i, (entry, steps) in enumerate(zip(mine, opt._steps, strict=True)):
            if steps >= 0:
                state[i] = {"step": torch.tensor(steps), **{k: copied(v) for k, v in entry.items()}, **shared}
    groups, at = [], 0
    single = {k for k, owners in opt._settings.owners.items() if len(owners) == 1}
    for group in opt.param_groups:
        n = len(group["params"])
        saved = {k: plain(group[k]) for k in single if k in group and savable(group[k])}
        saved |= {k: plain(v) for k, v in group.own.items() if k != "params" and (savable(v) or k == "param_names")}
        if "param_names" in saved:
            saved["param_names"] = list(saved["param_names"])
        saved["params"] = list(range(at, at + n))
        saved |= {f"torchzero.{k}": getattr(opt, k) for k in COUNTERS}
        groups.append(saved)
        at += n
    extra = {
        "format": FORMAT,
        "modules": [path for path, _ in opt._settings.modules],
        "settings": _module_settings(opt),
        "lr_handles": save_handles(opt),
        "schedulers": [copy.deepcopy(s.state_dict()) for _, _, s in opt._schedulers],
        "scheduled": opt._scheduled,
        "attrs": _attrs(dict(opt.attrs)),
    }
    return {"state": state, "param_groups": groups, "torchzero": extra}


def _module_settings(opt: "Modular") -> list[list[Any]]:
    """[path, key, value] for keys that several modules own, and [path, key, values] of set_param_groups."""
    out: list[list[Any]] = []
    position = {id(p): i for i, p in enumerate(opt._params)}
    for owner in opt._settings.modules:
        path, module = owner
        for key, value in module.hypers().items():
            value = opt._settings.restored.get((path, key), value)
            if len(opt._settings.owners[key]) > 1 and savable(value) and not isinstance(value, Schedule):
                out.append([path, key, plain(value), []])
        for params, settings in opt._settings.own_groups(owner):
            where = [position[id(p)] for p in params if id(p) in position]
            out += [[path, key, plain(v), where] for key, v in settings.items() if savable(v) and where]
    return out


def save_handles(opt: "Modular") -> list[Any]:
    """[path, [own settings of each group]] of every LR handle."""
    out = []
    for path, module in opt._settings.modules:
        handle = opt._handles.get(id(module))
        if handle is not None:
            own = [{k: plain(v) for k, v in g.own.items() if k != "params" and savable(v)} for g in handle.param_groups]
            out.append([path, own])
    return out
