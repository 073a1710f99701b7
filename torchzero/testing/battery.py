"""check_module and check_law: a law is a sentence, a test of it, and a budget."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from torchzero.core.module import Module
from torchzero.testing.differences import DifferenceError, LawError
from torchzero.testing.laws import TABLE, Law

LAWS: Mapping[str, str] = MappingProxyType({name: law.statement for name, law in TABLE.items()})


def _law(name: str) -> Law:
    if name not in TABLE:
        raise ValueError(f"there is no law {name!r}; the laws are {', '.join(TABLE)}")
    return TABLE[name]


def applies(module: Module, law: str) -> str:
    """Why a law says nothing about this module; the empty string when it applies.

    >>> import torchzero as tz, torchzero.testing
    >>> tz.testing.applies(tz.m.LR(0.1), "vmap")
    ''
    """
    return _law(law).inapplicable(module)


def check_law(module: Module, law: str, *, max_examples: int | None = None, derandomize: bool = True) -> None:
    """Check one law on one module.

    Args:
        module: any module.
        law: a name in `LAWS`.
        max_examples: how many runs to draw; each law has a small default of its own.
        derandomize: draw the same runs every time.

    Raises:
        LawError: an AssertionError that names module, law, and what differed.
        ValueError: if there is no such law.

    >>> import torchzero as tz, torchzero.testing
    >>> tz.testing.check_law(tz.m.LR(0.1), "pure")
    """
    rule = _law(law)
    if not isinstance(module, Module):
        raise TypeError(f"check_law(module={module!r}): must be a module, an instance")
    if rule.inapplicable(module):
        return

    @settings(
        max_examples=rule.examples if max_examples is None else max_examples,
        deadline=None,
        derandomize=derandomize,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink] if rule.shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType]
    )
    @given(st.data())
    def trial(data: Any) -> None:
        try:
            rule.check(module, data.draw)
        except DifferenceError as found:
            raise LawError(module, law, rule.statement, str(found)) from None
        except (LawError, HypothesisException):
            raise
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            shown = "\n    ".join(text[:6])
            raise LawError(module, law, rule.statement, f"it raised {type(error).__name__}: {shown}") from error

    with torch.random.fork_rng(devices=[]):
        trial()


def check_module(
    module: Module,
    *,
    exempt: Mapping[str, str] | Iterable[str] = (),
    laws: Iterable[str] | None = None,
    max_examples: int | None = None,
    derandomize: bool = True,
) -> None:
    """Check that a module obeys the laws.

    Args:
        module: any module.
        exempt: laws that it is excused from: names, or a mapping from name to the reason.
        laws: the laws to check; all of `LAWS` by default.
        max_examples: runs drawn for each law.
        derandomize: draw the same runs every time.

    A module with a class attribute `host_side = True`, which leaves torch's transformations on purpose (it drives a
    foreign optimizer, say), is excused from vmap, grad and compile.

    Raises:
        LawError: for the first law that is broken.
        ValueError: for an unknown law.

    >>> import torchzero as tz, torchzero.testing
    >>> tz.testing.check_module(tz.m.LR(0.1), laws=["pure", "stable", "step"])
    """
    excused = {exempt} if isinstance(exempt, str) else set(exempt)
    for name in excused:
        _law(name)
    for name in TABLE if laws is None else laws:
        if name not in excused:
            check_law(module, name, max_examples=max_examples, derandomize=derandomize)
