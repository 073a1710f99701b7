"""Hyperparameter fields: what a module declares once, and how a bad value is named."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard

import torch
from torch import Tensor

from torchzero.core.schedule import Schedule

Hyper: TypeAlias = Any  # number | 0-d Tensor | Schedule | prefix tree of the parameters

MISSING = dataclasses.MISSING


class Range(NamedTuple):
    """The interval that a Python number must lie in; tensors are never looked at."""

    low: float = -math.inf
    high: float = math.inf
    closed_low: bool = True
    closed_high: bool = False
    integer: bool = False

    def admits(self, value: float) -> bool:
        """Whether `value` lies inside."""
        if self.integer and (not float(value).is_integer() if math.isfinite(value) else True):
            return False
        above = value >= self.low if self.closed_low else value > self.low
        below = value <= self.high if self.closed_high else value < self.high
        return above and below

    @property
    def demand(self) -> str:
        """What a value must do, for messages."""
        return f"must be an integer in {self}" if self.integer else f"must lie in {self}"

    def __str__(self) -> str:
        left, right = "[" if self.closed_low else "(", "]" if self.closed_high else ")"
        low = "-inf" if self.low == -math.inf else f"{self.low:g}"
        high = "inf" if self.high == math.inf else f"{self.high:g}"
        return f"{left}{low}, {high}{right}"


ANY = Range(closed_low=False)
ANY_OR_INF = Range(closed_high=True)


def _hyper(default: Any, limits: Range, optional: bool = False) -> Any:
    meta = {"kind": "hyper", "range": limits, "optional": optional or default is None}
    return dataclasses.field(metadata=meta) if default is MISSING else dataclasses.field(default=default, metadata=meta)


def number(default: Any = MISSING, *, optional: bool = False) -> Any:
    """Declare a finite number."""
    return _hyper(default, ANY, optional)


def within(
    low: float,
    high: float,
    *,
    default: Any = MISSING,
    closed_low: bool = True,
    closed_high: bool = False,
    optional: bool = False,
) -> Any:
    """Declare a number between `low` and `high`: `[low, high)` unless said otherwise."""
    return _hyper(default, Range(low, high, closed_low, closed_high), optional)


def positive(default: Any = MISSING, *, optional: bool = False) -> Any:
    """Declare a number in (0, inf)."""
    return _hyper(default, Range(0.0, math.inf, closed_low=False), optional)


def nonnegative(default: Any = MISSING, *, optional: bool = False) -> Any:
    """Declare a number in [0, inf)."""
    return _hyper(default, Range(0.0, math.inf), optional)


def integer(low: float, default: Any = MISSING, *, optional: bool = False) -> Any:
    """Declare a dynamic whole number in [low, inf): a count that does not change any shape."""
    return _hyper(default, Range(low, math.inf, integer=True), optional)


def static(
    default: Any = MISSING,
    *,
    choices: Sequence[Any] | None = None,
    low: float | None = None,
    high: float = math.inf,
    integer: bool = False,
    optional: bool = False,
) -> Any:
    """Declare a setting that changes structure: a mode, a length, a callable. Never a leaf, never scheduled."""
    limits = None if low is None else Range(low, high, closed_high=high < math.inf, integer=integer)
    flag = isinstance(default, bool) and choices is None
    meta = {
        "kind": "static",
        "choices": choices,
        "range": limits,
        "optional": optional or default is None,
        "flag": flag,
    }
    return dataclasses.field(metadata=meta) if default is MISSING else dataclasses.field(default=default, metadata=meta)


def child(default: Any = MISSING, *, operand: bool = False) -> Any:
    """Declare a child: a module or a sequence of modules; with `operand` also a number, 0-d tensor or schedule."""
    meta = {"kind": "child", "operand": operand, "optional": default is None}
    return dataclasses.field(metadata=meta) if default is MISSING else dataclasses.field(default=default, metadata=meta)


def children(*, operand: bool = False) -> Any:
    """Declare a tuple of children."""
    return dataclasses.field(metadata={"kind": "children", "operand": operand, "optional": False})


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether `value` is a plain Python number (bool excluded)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_scalar(value: Any) -> bool:
    """Whether `value` is one number for all parameters: a Python number or a tensor."""
    return isinstance(value, int | float | Tensor)


def _bad(owner: str, name: str, value: Any, why: str, kind: type[Exception] = ValueError) -> Exception:
    return kind(f"{owner}({name}={value!r}): {why}")


def check_hyper(owner: str, name: str, value: Any, limits: Range, optional: bool) -> None:
    """Refuse a Python number outside its range, and anything that cannot be a hyperparameter."""
    if isinstance(value, Tensor | Schedule):
        return
    if value is None and optional:
        return
    if is_number(value):
        if not limits.admits(value):
            raise _bad(owner, name, value, f"{limits.demand}; choose a value in that range")
        return
    if isinstance(value, dict | tuple | list) and not isinstance(value, str):
        for part in value.values() if isinstance(value, dict) else value:
            check_hyper(owner, name, part, limits, optional)
        return
    raise _bad(
        owner,
        name,
        value,
        f"must be a number in {limits}, a 0-d tensor, a schedule, or a tree of these"
        + (", or None" if optional else "")
        + f"; got {type(value).__name__}",
        TypeError,
    )


def check_static(owner: str, name: str, value: Any, meta: Any) -> None:
    """Refuse schedules and tensors in a static field, and values that are not among its choices or range."""
    if isinstance(value, Schedule | Tensor):
        raise _bad(
            owner,
            name,
            value,
            "is static (it changes the structure of the state), so it cannot be a schedule or a tensor; "
            "give a plain value, or switch between two modules with Switch",
            TypeError,
        )
    if value is None and meta.get("optional"):
        return
    choices, limits = meta.get("choices"), meta.get("range")
    if meta.get("flag") and not isinstance(value, bool):
        raise _bad(owner, name, value, f"must be True or False; got {type(value).__name__}", TypeError)
    if choices is not None and value not in choices:
        raise _bad(owner, name, value, f"must be one of {', '.join(map(repr, choices))}")
    if limits is not None:
        if not is_number(value):
            raise _bad(owner, name, value, f"{limits.demand}; got {type(value).__name__}", TypeError)
        if not limits.admits(value):
            raise _bad(owner, name, value, f"{limits.demand}; choose a value in that range")


def as_scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """`value` as a 0-d tensor with the dtype and device of `like`."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)
