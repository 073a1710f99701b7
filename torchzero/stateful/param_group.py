"""ParamGroup: one entry of `param_groups`: what was set, over the modules' own values."""

from collections.abc import Iterator, Mapping
from typing import Any


class ParamGroup(dict[str, Any]):
    """A dict of overrides that reads through to the modules' values.

    Reading a key that was never written gives the modules' value; writing makes an override; deleting the override
    brings the modules' value back. `betas` reads and writes `beta1` and `beta2`.
    """

    def __init__(self, own: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        super().__init__()
        self.fallback = defaults
        for key, value in own.items():
            self[key] = value

    @property
    def own(self) -> dict[str, Any]:
        """What was written here."""
        return dict(zip(super().keys(), super().values(), strict=True))

    def _is_alias(self, key: Any) -> bool:
        return key == "betas" and "beta1" in self.fallback and "beta2" in self.fallback

    def __missing__(self, key: Any) -> Any:
        if self._is_alias(key):
            return (self["beta1"], self["beta2"])
        if key in self.fallback:
            return self.fallback[key]
        remedy = "; add tz.m.LR to the chain" if key == "lr" else ""
        raise KeyError(f"param_groups: no module has a setting called {key!r}{remedy}")

    def __setitem__(self, key: Any, value: Any) -> None:
        if self._is_alias(key):
            if len(value) != 2:
                raise ValueError(f"param_groups: betas is the pair (beta1, beta2), got {value!r}")
            self["beta1"], self["beta2"] = value
        else:
            super().__setitem__(key, value)

    def __contains__(self, key: Any) -> bool:
        return super().__contains__(key) or key in self.fallback or self._is_alias(key)

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        yield from (k for k in self.fallback if not super(ParamGroup, self).__contains__(k))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> Any:
        return dict.fromkeys(self).keys()

    def values(self) -> Any:
        return {k: self[k] for k in self}.values()

    def items(self) -> Any:
        return {k: self[k] for k in self}.items()

    def get(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            return default
        return self[key]

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def copy(self) -> dict[str, Any]:
        return {k: self[k] for k in self}

    def __repr__(self) -> str:
        return repr(self.copy())

    def __reduce__(self) -> Any:
        return type(self), (self.own, self.fallback)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None
