"""Law: a statement about modules, and how to test it."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from hypothesis import strategies as st

from torchzero.core.module import Module

T = TypeVar("T")


class Draw(Protocol):
    """Draw a value from a hypothesis strategy."""

    def __call__(self, strategy: st.SearchStrategy[T], label: Any = None) -> T: ...


def always(module: Module) -> str:
    """The law applies to every module."""
    return ""


def on_device(module: Module) -> str:
    """The law applies unless a module leaves torch's transformations on purpose."""
    for m in module.walk():
        if getattr(m, "host_side", False):
            return f"{type(m).__name__} works outside torch's transformations"
    return ""


class Law(NamedTuple):
    """A statement about modules, and how to test it."""

    statement: str  # one sentence
    check: Callable[[Module, Draw], None]  # raises DifferenceError
    examples: int = 8  # how many runs to draw
    inapplicable: Callable[[Module], str] = always  # why it says nothing about a module, or ""
    shrink: bool = True  # whether hypothesis looks for a smaller failing run
