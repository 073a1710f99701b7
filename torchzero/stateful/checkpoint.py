"""Checkpoint: the state dict of Modular: torch's layout, plain containers, everything checked before anything changes.

    state         parameter position -> {"step": ..., "module path/slot": tensor}
    param_groups  the groups with positions for parameters, their names, and every setting
    torchzero     format, the module paths, counters, settings of single modules, schedulers

What belongs to a whole module stands, as the same tensor, with every parameter, so that the part under `state` and
`param_groups` is enough: it is all that distributed checkpoints carry.
"""

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


def _plain(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _savable(value: Any) -> bool:
    return isinstance(value, int | float | str | Tensor)


def _attrs(value: Any) -> Any:
    """Published values in plain containers; what cannot be saved is left out."""
    if _savable(value) or value is None:
        return _plain(value)
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

        def copy(x: Tensor) -> Tensor:
            return copies.setdefault(id(x), x.detach().clone())

        shared = {k: copy(v) for k, v in shared.items()}
        for i, (entry, steps) in enumerate(zip(mine, opt._steps, strict=True)):
            if steps >= 0:
                state[i] = {"step": torch.tensor(steps), **{k: copy(v) for k, v in entry.items()}, **shared}
    groups, at = [], 0
    single = {k for k, owners in opt._settings.owners.items() if len(owners) == 1}
    for group in opt.param_groups:
        n = len(group["params"])
        saved = {k: _plain(group[k]) for k in single if k in group and _savable(group[k])}
        saved |= {k: _plain(v) for k, v in group.own.items() if k != "params" and (_savable(v) or k == "param_names")}
        saved["params"] = list(range(at, at + n))
        saved |= {f"torchzero.{k}": getattr(opt, k) for k in COUNTERS}
        groups.append(saved)
        at += n
    extra = {
        "format": FORMAT,
        "modules": [path for path, _ in opt._settings.modules],
        "settings": _module_settings(opt),
        "lr_handles": save_handles(opt),
        "schedulers": [s.state_dict() for _, _, s in opt._schedulers],
        "attrs": _attrs(dict(opt.attrs)),
    }
    return {"state": state, "param_groups": groups, "torchzero": extra}


def _module_settings(opt: "Modular") -> list[list[Any]]:
    """[path, key, value] for keys that several modules own, and [path, key, values] of set_param_groups."""
    out: list[list[Any]] = []
    position = {id(p): i for i, p in enumerate(opt._params)}
    for path, module in opt._settings.modules:
        for key, value in module.hypers().items():
            value = opt._settings.restored.get((path, key), value)
            if len(opt._settings.owners[key]) > 1 and _savable(value) and not isinstance(value, Schedule):
                out.append([path, key, _plain(value), []])
        for params, settings in module.__dict__.get("_param_groups", ()):
            where = [position[id(p)] for p in params if id(p) in position]
            out += [[path, key, _plain(v), where] for key, v in settings.items() if _savable(v) and where]
    return out


def save_handles(opt: "Modular") -> list[Any]:
    """[path, [own settings of each group]] of every LR handle."""
    out = []
    for path, module in opt._settings.modules:
        handle = opt._handles.get(id(module))
        if handle is not None:
            own = [{k: _plain(v) for k, v in g.own.items() if k != "params" and _savable(v)} for g in handle.param_groups]
            out.append([path, own])
    return out


def load_handles(opt: "Modular", saved: list[Any]) -> None:
    """Put saved learning rates back into LR handles."""
    modules = dict(opt._settings.modules)
    for path, groups in saved:
        handle = opt._handle(modules[path])
        for group, own in zip(handle.param_groups, groups, strict=True):
            group.update({k: _plain(v) for k, v in own.items()})


def _order(opt: "Modular", groups: list[dict[str, Any]]) -> list[Any]:
    """For each of our parameters the key of its saved state; by name when both sides have names."""
    mine = opt.param_groups
    if len(groups) != len(mine):
        raise ValueError(
            f"Modular.load_state_dict: {len(groups)} parameter groups were saved and this optimizer has {len(mine)}"
        )
    order: list[Any] = []
    for i, (saved, group) in enumerate(zip(groups, mine, strict=True)):
        ids, n = list(saved["params"]), len(group["params"])
        if len(ids) != n:
            raise ValueError(
                f"Modular.load_state_dict: group {i} was saved with {len(ids)} parameters and has {n} here"
            )
        theirs, ours = saved.get("param_names"), group.own.get("param_names")
        if theirs is not None and ours is not None and list(theirs) != list(ours):
            missing = [name for name in ours if name not in theirs]
            if missing:
                raise ValueError(
                    f"Modular.load_state_dict: parameter {missing[0]!r} of group {i} is not among the saved ones, "
                    f"{', '.join(map(repr, theirs))}"
                )
            ids = [ids[list(theirs).index(name)] for name in ours]
        order += ids
    return order


def load(opt: "Modular", state_dict: dict[str, Any]) -> None:
    """Check everything, then take it over."""
    for key in ("state", "param_groups"):
        if key not in state_dict:
            raise ValueError(f"Modular.load_state_dict: the key {key!r} is missing; this is no optimizer state dict")
    extra = state_dict.get("torchzero", {})
    mine = [path for path, _ in opt._settings.modules]
    theirs = extra.get("modules", mine)
    if list(theirs) != mine:
        differ = next((b for a, b in zip(theirs, mine, strict=False) if a != b), None) or (mine + list(theirs))[-1]
        raise ValueError(
            f"Modular.load_state_dict: the saved chain is {', '.join(theirs)}, and this one is {', '.join(mine)}; "
            f"they differ at {differ}"
        )
    groups = state_dict["param_groups"]
    order = _order(opt, groups)
    saved = [state_dict["state"].get(k) for k in order]
    ready = [s is not None for s in saved]
    new_groups = [
        {k: _plain(v) for k, v in g.items() if k != "params" and not str(k).startswith("torchzero.")} for g in groups
    ]
    for g in new_groups:
        for key in [k for k in g if k not in opt._settings.owners and k not in ("lr", "betas") and not _savable(g[k])]:
            if key != "param_names":
                del g[key]
    restored, local = _read_settings(opt, extra.get("settings", []), mine)
    state = None
    if any(ready):
        values = Leaves([p.detach() for p in opt._params], opt._names)
        template = store.fresh(opt._settings.configured(opt.param_groups, opt._names, {}), values, ready)
        names = [f"parameter {n!r}" if opt._named else f"parameter {n}" for n in opt._names]
        keep = [i for i, r in enumerate(ready) if r]
        compact = _compact(template, keep)
        state = _spread(store.fill(compact, [saved[i] for i in keep], [names[i] for i in keep]), keep, opt._names)  # type: ignore[misc]
    schedulers = extra.get("schedulers", [])
    if len(schedulers) != len(opt._schedulers):
        raise ValueError(
            f"Modular.load_state_dict: {len(schedulers)} schedulers were saved and this chain has {len(opt._schedulers)}"
            if extra
            else "Modular.load_state_dict: this state dict carries no schedulers, and LR(scheduler_cls=...) needs them"
        )
    counters = {k: next((g[f"torchzero.{k}"] for g in groups if f"torchzero.{k}" in g), getattr(opt, k)) for k in COUNTERS}
    # nothing can fail from here on
    opt._state = state
    opt._steps = [int(s["step"]) if s is not None and "step" in s else (0 if s is not None else -1) for s in saved]
    for group, new in zip(opt.param_groups, new_groups, strict=True):
        for key in [k for k in group.own if k not in ("params", "param_names")]:
            del group[key]
        new.pop("param_names", None)
        group.update(new)
    opt._settings.restored = restored
    opt._settings.forget()
    opt.defaults.update({k: v for k, v in opt._settings.defaults().items() if not isinstance(v, Tensor)})
    for module, groups_ in local:
        module.__dict__["_param_groups"] = groups_
    for k, v in counters.items():
        setattr(opt, k, v if isinstance(getattr(opt, k), bool) else int(v))
    opt.attrs = _unplain(extra.get("attrs") or {})
    for (_, _, scheduler), s in zip(opt._schedulers, schedulers, strict=True):
        scheduler.load_state_dict(s)
    load_handles(opt, extra.get("lr_handles", []))


def _unplain(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"names", "leaves"}:
        return Leaves([_unplain(v) for v in value["leaves"]], tuple(value["names"]))
    if isinstance(value, dict):
        return {k: _unplain(v) for k, v in value.items()}
    return _plain(value)


def _read_settings(opt: "Modular", settings: list[list[Any]], paths: list[str]) -> tuple[dict[Any, Any], list[Any]]:
    modules = dict(opt._settings.modules)
    restored: dict[tuple[str, str], Any] = {}
    local: dict[int, tuple[Any, list[Any]]] = {}
    for path, key, value, where in settings:
        if path not in paths or key not in modules[path].hypers():
            raise ValueError(f"Modular.load_state_dict: the saved setting {path}.{key} belongs to no module of this chain")
        if not where:
            restored[path, key] = _plain(value)
        else:
            module, groups = local.setdefault(id(modules[path]), (modules[path], []))
            groups.append(([opt._params[i] for i in where], {key: _plain(value)}))
    return restored, list(local.values())


def _compact(state: Any, keep: list[int]) -> Any:
    def pick(node: Leaves) -> Leaves:
        return Leaves([node[i] for i in keep], tuple(node.names[i] for i in keep))

    return store._on_leaves(pick, state)


def _spread(state: Any, keep: list[int], names: tuple[str, ...]) -> Any:
    def put(node: Leaves) -> Leaves:
        out: list[Any] = [()] * len(names)
        for i, x in zip(keep, node, strict=True):
            out[i] = x
        return Leaves(out, names)

    return store._on_leaves(put, state)
