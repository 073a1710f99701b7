"""The registry: every public module, its rows, and the table `python -m tests.registry`."""

import functools
import importlib
import inspect
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import torchzero as tz
from tests import golden
from tests.oracle import Oracle
from tests.rows import Row
from torchzero.testing import LAWS, applies

TESTS = pathlib.Path(__file__).parent
NAME = re.compile(r"tz\.m\.([\w.]+)")


class Entry(NamedTuple):
    """A row, and where it is written."""

    family: str
    row: Row


def families(file: str) -> list[str]:
    """The test folders that have such a file."""
    return sorted(p.parent.name for p in TESTS.glob(f"*/{file}"))


def _tables(file: str, table: str) -> Iterator[tuple[str, str, Any]]:
    for family in families(file):
        module = importlib.import_module(f"tests.{family}.{file.removesuffix('.py')}")
        for name, value in getattr(module, table).items():
            yield family, name, value


def duplicates() -> list[str]:
    """Names with a row in two families."""
    names = [name for _, name, _ in _tables("rows.py", "ROWS")]
    return sorted({n for n in names if names.count(n) > 1})


@functools.cache
def entries() -> dict[str, Entry]:
    """All rows by name."""
    return {name: Entry(family, row) for family, name, row in _tables("rows.py", "ROWS")}


@functools.cache
def oracles() -> dict[str, Oracle]:
    """The oracles of all families by the name of their module."""
    return {name: oracle for _, name, oracle in _tables("oracles.py", "ORACLES")}


def _names() -> Iterator[tuple[str, Any]]:
    for name, value in vars(tz.m).items():
        if not name.startswith("_") and callable(value) and not isinstance(value, ModuleType):
            yield name, value


def file_of(thing: Any) -> pathlib.Path:
    """The source file of a class or function."""
    return pathlib.Path(inspect.getfile(thing))


def public() -> dict[str, Any]:
    """The modules of `tz.m`, and functions that make modules; neither aliases nor what is only there to subclass."""
    return {name: x for name, x in _names() if x.__name__ == name and file_of(x).stem != "base"}


def bases() -> dict[str, Any]:
    """The classes of `tz.m` that are there to be subclassed: those in a family's base.py."""
    return {name: x for name, x in _names() if x.__name__ == name and file_of(x).stem == "base"}


def aliases() -> dict[str, Any]:
    """Other names of things in `tz.m`."""
    return {name: x for name, x in _names() if x.__name__ != name}


def instances() -> Iterator[tuple[str, Callable[[], tz.Module], Row]]:
    """Every instance that the laws are checked on, with an id."""
    for name, (_, row) in sorted(entries().items()):
        yield name, row.make, row
        for i, make in enumerate(row.more, 1):
            yield f"{name}.{i}", make, row


def names_in(chain: str) -> set[str]:
    """The names of `tz.m` that a golden record's chain mentions."""
    return set(NAME.findall(chain))


def exists(name: str) -> bool:
    """Whether a dotted name can be found in `tz.m`."""
    value: Any = tz.m
    for part in name.split("."):
        value = getattr(value, part, None)
    return value is not None


@functools.cache
def golden_for(name: str) -> tuple[str, ...]:
    """The ids of the golden records that contain a module, or an alias of it, and can be run."""
    mine = {name} | {other for other, value in aliases().items() if value.__name__ == name}
    return tuple(
        key
        for key, record in golden.records().items()
        if names_in(record["chain"]) & mine and all(map(exists, names_in(record["chain"])))
    )


def oracle_exists(name: str, oracle: str) -> str:
    """Why the oracle that a row names is not there; the empty string when it is."""
    if oracle == "table":
        return "" if name in oracles() else "no family's ORACLES has an entry"
    if oracle == "golden":
        return "" if golden_for(name) else "no golden record that can be run contains it"
    path, _, test = oracle.partition("::")
    file = TESTS.parent / path
    if not file.is_file():
        return f"there is no file {path}"
    if not re.search(rf"^def {re.escape(test.split('[')[0])}\(", file.read_text(), re.MULTILINE):
        return f"{path} has no test {test}"
    return ""


def cell(name: str, make: Callable[[], tz.Module], row: Row, law: str) -> str:
    """What the table says: "checked", or the reason why not."""
    if law in row.exempt:
        return f"exempt: {row.exempt[law]}"
    reason = applies(make(), law)
    return f"does not apply: {reason}" if reason else "checked"


def table() -> str:
    """Module x law x oracle as text, the reasons below."""
    notes: dict[str, int] = {}
    lines = []
    width = max(map(len, entries()), default=6)
    lines.append(f"{'module':{width}}  " + " ".join(f"{law:>8}" for law in LAWS) + "  oracle")
    for name, (_, row) in sorted(entries().items()):
        marks = []
        for law in LAWS:
            text = cell(name, row.make, row, law)
            marks.append("ok" if text == "checked" else f"[{notes.setdefault(text, len(notes) + 1)}]")
        lines.append(f"{name:{width}}  " + " ".join(f"{mark:>8}" for mark in marks) + f"  {row.oracle}")
    missing = sorted(public().keys() - entries().keys())
    lines += [f"{name:{width}}  has no row" for name in missing]
    lines += ["", *(f"[{i}] {text}" for text, i in notes.items())]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
    sys.exit(bool(public().keys() - entries().keys()))
