"""Checkpoint: taking a snapshot over; everything is checked before anything changes."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from torchzero.core.tree import Leaves
from torchzero.stateful import store
from torchzero.stateful.snapshot import COUNTERS, FORMAT, plain, savable

if TYPE_CHECKING:
    from torchzero.stateful.modular import Modular


def _refuse(why: str, kind: type[Exception] = ValueError) -> Exception:
    return kind(f"Modular.load_state_dict: {why}")


def load(opt: "Modular", state_dict: Mapping[str, Any]) -> None:
    """Check everything, then take it over."""
    for key in ("state", "param_groups"):
        if key not in state_dict:
            raise _refuse(f"the key {key!r} is missing; this is no optimizer state dict")
    extra, groups = state_dict.get("torchzero", {}), state_dict["param_groups"]
    _check_chain(opt, extra)
    order = _order(opt, groups)
    if order != [k for group in groups for k in group["params"]]:
        for path, module in opt._settings.modules:
            if module.whole:
                raise _refuse(
                    f"the parameters were saved in another order, and {path} sees them as one vector; "
                    "give them in the order that was saved"
                )
    saved = [state_dict["state"].get(k) for k in order]
    state, steps = _read_state(opt, saved)
    if not extra and not any(str(key).startswith("torchzero.") for group in groups for key in group):
        raise _refuse("this was saved by another optimizer; give what Modular.state_dict returned")
    new_groups, counters = [_read_group(opt, g) for g in groups], _read_counters(opt, groups)
    restored, own = _read_settings(opt, extra.get("settings", []))
    handles, attrs = _read_handles(opt, extra.get("lr_handles", [])), _unplain(extra.get("attrs") or {})
    _load_schedulers(opt, extra)
    # nothing can fail from here on
    opt._state, opt._steps = state, steps
    for group, new in zip(opt.param_groups, new_groups, strict=True):
        for key in [k for k, v in group.own.items() if k not in ("params", "param_names") and savable(v)]:
            del group[key]  # a schedule cannot be saved, and stays as it is in this optimizer
        group.update(new)
    opt._settings.restored = restored
    if extra:
        said = {o.path: o.module.__dict__.get("_param_groups", ()) for o in opt._settings.modules}
        opt._settings.own = {path: (then, own.get(path, ())) for path, then in said.items()}
        put_handles(opt, handles)
    opt._settings.forget()
    opt.defaults.update({k: v for k, v in opt._settings.defaults().items() if not isinstance(v, Tensor)})
    for k, v in counters.items():
        setattr(opt, k, v)
    opt._scheduled = int(extra.get("scheduled", opt.current_step - 1))
    opt.attrs = attrs


def _check_chain(opt: "Modular", extra: Mapping[str, Any]) -> None:
    if extra.get("format", FORMAT) != FORMAT:
        raise _refuse(
            f"this was saved in format {extra['format']!r}, and this version of torchzero reads format {FORMAT}"
        )
    mine = [path for path, _ in opt._settings.modules]
    theirs = list(extra.get("modules", mine))
    if theirs != mine:
        differ = next((b for a, b in zip(theirs, mine, strict=False) if a != b), None)
        differ = differ or max(mine, theirs, key=len)[min(len(mine), len(theirs))]
        raise _refuse(
            f"the saved chain is {', '.join(theirs)}, and this one is {', '.join(mine)}; they differ at {differ}; "
            "build the chain that was saved"
        )


def _order(opt: "Modular", groups: list[dict[str, Any]]) -> list[Any]:
    """For each of our parameters the key of its saved state; by name when both sides have names."""
    mine = opt.param_groups
    if len(groups) != len(mine):
        raise _refuse(f"{len(groups)} parameter groups were saved and this optimizer has {len(mine)}")
    order: list[Any] = []
    for i, (saved, group) in enumerate(zip(groups, mine, strict=True)):
        ids, n = list(saved["params"]), len(group["params"])
        if len(ids) != n:
            raise _refuse(f"group {i} was saved with {len(ids)} parameters and has {n} here")
        theirs, ours = saved.get("param_names"), group.own.get("param_names")
        if theirs is not None and ours is not None and list(theirs) != list(ours):
            missing = [name for name in ours if name not in theirs]
            if missing:
                raise _refuse(
                    f"parameter {missing[0]!r} of group {i} is not among the saved ones, {', '.join(map(repr, theirs))}"
                )
            ids = [ids[list(theirs).index(name)] for name in ours]
        order += ids
    return order


def _read_state(opt: "Modular", saved: list[Any]) -> tuple[Any, list[int]]:
    """The chain's state and the steps of each parameter."""
    names = [f"parameter {n!r}" if opt._named else f"parameter {n}" for n in opt._names]
    steps = []
    for entry, name in zip(saved, names, strict=True):
        step = -1 if entry is None else entry.get("step", 0)
        if not isinstance(step, int | float | Tensor):
            raise _refuse(f"'step' of {name} must be a number, got {step!r}", TypeError)
        steps.append(int(step))
    keep = [i for i, entry in enumerate(saved) if entry is not None]
    if not keep:
        return None, steps
    values = Leaves([p.detach() for p in opt._params], opt._names)
    template = store.fresh(
        opt._settings.configured(opt.param_groups, opt._names, {}), values, [s is not None for s in saved]
    )
    filled = store.fill(_compact(template, keep), [saved[i] for i in keep], [names[i] for i in keep])
    return _spread(filled, keep, opt._names), steps


def _read_group(opt: "Modular", saved: Mapping[str, Any]) -> dict[str, Any]:
    """What the group sets, without what this chain could not use."""
    skip = ("params", "param_names")
    known = {k: v for k, v in saved.items() if k not in skip and not str(k).startswith("torchzero.")}
    return {k: plain(v) for k, v in known.items() if k in opt._settings.owners or k in ("lr", "betas") or savable(v)}


def _read_counters(opt: "Modular", groups: list[Any]) -> dict[str, Any]:
    out = {}
    for key in COUNTERS:
        value = next((g[f"torchzero.{key}"] for g in groups if f"torchzero.{key}" in g), getattr(opt, key))
        if not isinstance(value, int | float | Tensor):
            raise _refuse(f"{key} must be a number, got {value!r}", TypeError)
        out[key] = type(getattr(opt, key))(value)
    return out


def _read_settings(opt: "Modular", saved: list[list[Any]]) -> tuple[dict[tuple[str, str], Any], dict[str, list[Any]]]:
    """Values of single modules, and what set_param_groups said, by module path."""
    modules, n = dict(opt._settings.modules), len(opt._params)
    restored: dict[tuple[str, str], Any] = {}
    own: dict[str, list[Any]] = {}
    for path, key, value, where in saved:
        if path not in modules or key not in modules[path].hypers():
            raise _refuse(f"the saved setting {path}.{key} belongs to no module of this chain")
        if any(not 0 <= i < n for i in where):
            raise _refuse(f"the saved setting {path}.{key} is for parameters {where}, and there are {n} here")
        if where:
            own.setdefault(path, []).append(([opt._params[i] for i in where], {key: plain(value)}))
        else:
            restored[path, key] = plain(value)
    return restored, own


def _read_handles(opt: "Modular", saved: list[Any]) -> list[Any]:
    modules = dict(opt._settings.modules)
    for path, groups in saved:
        if path not in modules or len(groups) != len(opt.param_groups):
            raise _refuse(
                f"the learning rates of {path} were saved for {len(groups)} groups and fit no module of this chain"
            )
    return saved


def put_handles(opt: "Modular", saved: list[Any]) -> None:
    """Have what was saved in the LR handles, and nothing else."""
    modules = dict(opt._settings.modules)
    for handle in opt._handles.values():
        for group in handle.param_groups:
            for key in [k for k in group.own if k != "params"]:
                del group[key]
    for path, groups in saved:
        handle = opt._handle(modules[path])
        for group, own in zip(handle.param_groups, groups, strict=True):
            group.update({k: plain(v) for k, v in own.items()})


def _load_schedulers(opt: "Modular", extra: Mapping[str, Any]) -> None:
    """Load the schedulers of LR(scheduler_cls=...), all or none."""
    saved, mine = extra.get("schedulers", []), [s for _, _, s in opt._schedulers]
    if len(saved) != len(mine):
        raise _refuse(
            f"{len(saved)} schedulers were saved and this chain has {len(mine)}"
            if extra
            else "this state dict carries no schedulers, and LR(scheduler_cls=...) needs them"
        )
    before = [s.state_dict() for s in mine]
    for scheduler, old, new in zip(mine, before, saved, strict=True):
        if not isinstance(new, Mapping) or set(new) != set(old):
            raise _refuse(
                f"the state of a scheduler fits no {type(scheduler).__name__}; give LR the scheduler_cls that was saved"
            )
    for scheduler, new in zip(mine, saved, strict=True):
        scheduler.load_state_dict(copy.deepcopy(new))


def _unplain(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"names", "leaves"}:
        return Leaves([_unplain(v) for v in value["leaves"]], tuple(value["names"]))
    if isinstance(value, dict):
        return {k: _unplain(v) for k, v in value.items()}
    return plain(value)


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
