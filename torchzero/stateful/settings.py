"""Settings: how param_groups, set_param_groups and the modules' own fields become one configured chain."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor

from torchzero.core import hyper
from torchzero.core.module import Module
from torchzero.core.schedule import Schedule
from torchzero.core.tree import Leaves
from torchzero.core.warn import warn

# keys that torch's schedulers and tools write into groups, and those by which users label them
BOOKKEEPING = frozenset(
    {
        "params", "param_names", "name", "initial_lr", "max_lr", "min_lr", "base_lr", "swa_lr", "initial_momentum",
        "max_momentum", "min_momentum", "base_momentum", "initial_betas",
    }
)  # fmt: skip


class Owner(NamedTuple):
    """A module that has a setting."""

    path: str  # "1.Adam", "2.Lookahead.modules.0.Adam", ...
    module: Module


def walk(module: Module, path: str = "") -> Iterator[Owner]:
    """Every module below `module` with its path, depth first; the root chain itself has no name."""
    if path:
        yield Owner(path, module)
    for name, below in module.children().items():
        if name.startswith("links["):
            name = f"{name[6:-1]}.{type(below).__name__}"
        yield from walk(below, f"{path}.{name}" if path else name)


def static_keys(module: Module) -> set[str]:
    """The names of fields that are no numbers."""
    fields = dataclasses.fields(module)  # pyright: ignore[reportArgumentType]
    return {f.name for f in fields if f.metadata.get("kind") in ("static", None)}


class Settings:
    """The owners of every key of a chain, and the chain with current values filled in.

    Precedence: what the module's own set_param_groups says, then the optimizer's groups, then the module's field.
    """

    def __init__(self, root: Module) -> None:
        self.root = root
        self.modules = list(walk(root))
        self.owners: dict[str, list[Owner]] = {}
        for owner in self.modules:
            for key in owner.module.hypers():
                self.owners.setdefault(key, []).append(owner)
        self.restored: dict[tuple[str, str], Any] = {}  # (path, key) -> value from a checkpoint
        self.own: dict[str, tuple[Any, Any]] = {}  # path -> (the module's own groups then, those of a checkpoint)
        self._seen: Any = None
        self._made: Module = root

    def forget(self) -> None:
        """Configure anew at the next step."""
        self._seen = None

    def defaults(self) -> dict[str, Any]:
        """Every module's own values, later modules winning, and the `betas` that torch's schedulers look for."""
        out: dict[str, Any] = {}
        for path, module in self.modules:
            for key, value in module.hypers().items():
                value = self.restored.get((path, key), value)
                if isinstance(value, Tensor):  # schedulers write it in place, which only one owner can mean
                    value = value.clone() if len(self.owners[key]) == 1 or value.ndim else value.item()
                out[key] = value
        if "momentum" not in out and "beta1" in out and "beta2" in out:
            out["betas"] = (out["beta1"], out["beta2"])
        return out

    def value(self, module: Module, key: str) -> Any:
        """The value of a module's own field, a checkpoint's where one was loaded."""
        path = next(o.path for o in self.modules if o.module is module)
        return self.restored.get((path, key), getattr(module, key))

    def own_groups(self, owner: Owner) -> Any:
        """What set_param_groups, or a checkpoint loaded after it, said last: (parameters, settings) pairs."""
        said = owner.module.__dict__.get("_param_groups", ())
        then, loaded = self.own.get(owner.path, (None, ()))
        return loaded if said is then else said

    def check_group(self, group: dict[str, Any]) -> None:
        """Refuse keys that nobody owns and values out of range; warn of keys that reach several modules."""
        for key, value in group.items():
            owners = self.owners.get(key, [])
            if key in BOOKKEEPING or (key == "betas" and "beta1" in self.owners and "beta2" in self.owners):
                continue
            if not owners:
                self._refuse(key, value)
                continue
            for _, module in owners:
                meta = next(f.metadata for f in dataclasses.fields(module) if f.name == key)  # pyright: ignore[reportArgumentType]
                hyper.check_hyper(type(module).__name__, key, value, meta["range"], meta["optional"])
            free = [o for o in owners if not any(key in values for _, values in self.own_groups(o))]
            if key != "lr" and len(free) > 1:
                warn(
                    f"Modular: the group key {key!r} reaches several modules: {', '.join(o.path for o in free)}; "
                    f"to set it for one of them use that module's set_param_groups",
                )

    def _refuse(self, key: str, value: Any) -> None:
        statics = [o.path for o in self.modules if key in static_keys(o.module)]
        if statics:
            raise ValueError(
                f"Modular: the group key {key!r}={value!r} is static in {', '.join(statics)} and cannot differ between "
                "groups; use Partition with two modules"
            )
        if key == "lr":
            warn(
                f"Modular: a group sets lr={value!r} and there is no LR module to use it; add tz.m.LR to the chain",
            )
            return
        raise ValueError(
            f"Modular: no module owns the group key {key!r}={value!r}; known keys: "
            f"{', '.join(sorted(self.owners)) or 'none'} (and 'params', 'name')"
        )

    def warn_of_learning_rates(self) -> None:
        """Warn of several modules with a setting called lr, and of foreign modules that have one."""
        owners = self.owners.get("lr", [])
        if len(owners) > 1:
            warn(
                f"Modular: several modules have a setting called lr: {', '.join(o.path for o in owners)}; a "
                "group's or scheduler's lr reaches all of them, and on the same parameters they multiply; keep one LR, "
                "after the modules that branch",
            )
        for path, module in owners:
            if not type(module).__module__.startswith("torchzero."):
                warn(
                    f"Modular: {path} has a setting called lr; call it alpha (default 1) and add tz.m.LR, so that "
                    "schedulers do not act twice",
                )

    def configured(self, groups: list[Any], names: tuple[str, ...], local: dict[int, dict[str, list[Any]]]) -> Module:
        """The chain with current settings; the same object as long as no setting changed.

        `local` has, for id(module) and key, a value for each parameter (or None): what handed-out LR handles say.
        """
        seen = (
            names,
            tuple(tuple((k, _mark(v)) for k, v in g.own.items() if k in self.owners) for g in groups),
            tuple(_Same(self.own_groups(o)) for o in self.modules),
            tuple((k, key, tuple(map(_mark, v))) for k, d in local.items() for key, v in d.items()),
        )
        if seen != self._seen:
            changes = {id(o.module): self._changes(o, groups, names, local.get(id(o.module), {})) for o in self.modules}
            self._made = rebuild(self.root, changes)
            self._seen = seen
        return self._made

    def _changes(
        self, owner: Owner, groups: list[Any], names: tuple[str, ...], local: dict[str, list[Any]]
    ) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        own_groups = self.own_groups(owner)
        simple = len(groups) == 1 and not local and not own_groups
        for key, field in owner.module.hypers().items():
            field = self.restored.get((owner.path, key), field)
            if simple and not isinstance(field, Leaves):  # as below, where all parameters agree
                value = dict.__getitem__(groups[0], key) if dict.__contains__(groups[0], key) else field
                if value is not getattr(owner.module, key):
                    changes[key] = value
                continue
            values: list[Any] = []
            each = list(field) if isinstance(field, Leaves) and len(field) == len(names) else [field] * len(names)
            for group in groups:
                n = len(group["params"])
                mine = each[len(values) : len(values) + n]
                values += [group.own[key]] * n if dict.__contains__(group, key) else mine
            values = [v if w is None else w for v, w in zip(values, local.get(key, [None] * len(values)), strict=True)]
            ids = [id(p) for group in groups for p in group["params"]]
            for params, settings in own_groups:
                if key in settings:
                    mine = {id(p) for p in params}
                    values = [settings[key] if i in mine else v for i, v in zip(ids, values, strict=True)]
            if not values or all(v is w for v, w in zip(values, each, strict=True)):
                if field is not getattr(owner.module, key):
                    changes[key] = field
                continue
            same = all(_mark(v) == _mark(values[0]) for v in values)
            changes[key] = values[0] if same else Leaves(values, names)
        return changes


class _Same:
    """Equal to a wrapper of the very same object, which it keeps alive."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def _mark(value: Any) -> Any:
    return _Same(value) if isinstance(value, Tensor | Schedule | dict | list | tuple) else value


def rebuild(module: Module, changes: dict[int, dict[str, Any]]) -> Module:
    """The module tree with changed fields; untouched subtrees are the same objects."""
    new = dict(changes.get(id(module), {}))
    for f in dataclasses.fields(module):  # pyright: ignore[reportArgumentType]
        value = getattr(module, f.name)
        if isinstance(value, Module):
            below = rebuild(value, changes)
            if below is not value:
                new[f.name] = below
        elif f.metadata.get("kind") == "children":
            many = tuple(rebuild(v, changes) if isinstance(v, Module) else v for v in value)
            if any(a is not b for a, b in zip(many, value, strict=True)):
                new[f.name] = many
    return module.evolve(**new) if new else module
