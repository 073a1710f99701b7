"""Nothing public is unlisted, undocumented, or without a row and an oracle."""

import ast
import inspect
import pathlib
import re

import pytest

import torchzero as tz
from tests import registry
from torchzero.testing import LAWS

PACKAGE = pathlib.Path(inspect.getfile(tz)).parent
PUBLIC = registry.public()
ROWS = registry.entries()
SHARED_STEMS = {"__init__", "base"}


def test_every_public_module_has_a_row() -> None:
    assert sorted(PUBLIC.keys() - ROWS.keys()) == []


def test_every_row_is_public() -> None:
    assert sorted(ROWS.keys() - PUBLIC.keys()) == []


def test_no_module_has_two_rows() -> None:
    assert registry.duplicates() == []


def test_every_oracle_in_a_table_belongs_to_a_row() -> None:
    assert sorted(registry.oracles().keys() - ROWS.keys()) == []


def test_catalogue_is_explicit() -> None:
    source = pathlib.Path(inspect.getfile(tz.m)).read_text()
    assert not any(
        alias.name == "*"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )


@pytest.mark.parametrize("name", sorted(ROWS))
def test_row_makes_the_module_it_is_named_after(name: str) -> None:
    row = ROWS[name].row
    made = row.make()
    assert isinstance(made, tz.Module)
    if inspect.isclass(PUBLIC[name]):
        assert any(type(m).__name__ == name for m in made.walk())
        for make in row.more:
            assert any(type(m).__name__ == name for m in make().walk())


@pytest.mark.parametrize("name", sorted(ROWS))
def test_exemptions_have_reasons(name: str) -> None:
    for law, reason in ROWS[name].row.exempt.items():
        assert law in LAWS
        assert len(reason.split()) >= 4, f"{name} is exempt from {law} without a reason: {reason!r}"


@pytest.mark.parametrize("name", sorted(ROWS))
def test_oracle_exists(name: str) -> None:
    assert registry.oracle_exists(name, ROWS[name].row.oracle) == ""


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_docstring_says_what_it_is_where_it_comes_from_and_how_to_use_it(name: str) -> None:
    doc = inspect.getdoc(PUBLIC[name]) if "__doc__" in vars(PUBLIC[name]) or not inspect.isclass(PUBLIC[name]) else None
    assert doc, f"{name} has no docstring of its own"
    first = doc.split("\n\n")[0]
    assert re.search(r"[.:]\)?$", first), f"{name}: the docstring begins with a sentence, not {first!r}"
    if registry.file_of(PUBLIC[name]).parent.name != "core":
        assert re.search(r"^Reference", doc, re.MULTILINE), f"{name} has no reference"
    assert ">>> " in doc, f"{name} has no example"


@pytest.mark.parametrize("name", sorted(registry.bases()))
def test_base_class_is_extended_and_documented(name: str) -> None:
    base = registry.bases()[name]
    assert any(issubclass(x, base) for x in PUBLIC.values() if inspect.isclass(x))
    assert "__doc__" in vars(base)
    assert ">>> " in (inspect.getdoc(base) or ""), f"{name} has no example"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_lives_in_the_file_of_its_name(name: str) -> None:
    """A class is found in one guess, unless it is a row of a table of several."""
    file = registry.file_of(PUBLIC[name])
    if file.stem.replace("_", "") != name.lower().replace("_", "") and file.parent.name != "core":
        rows = [n for n, value in PUBLIC.items() if registry.file_of(value) == file]
        assert len(rows) >= 3, (
            f"{name} is in {file.name} with {len(rows)} public names: expected {name.lower()}.py, words apart"
        )
        assert file.stem not in SHARED_STEMS, f"{name} is in {file.name}, where nobody looks for it"


def test_file_names_are_unique() -> None:
    stems: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.stem not in SHARED_STEMS and "testing" not in path.parts:
            stems.setdefault(path.stem, []).append(str(path.relative_to(PACKAGE)))
    assert [paths for paths in stems.values() if len(paths) > 1] == []


def test_the_table_has_no_empty_cell() -> None:
    lines = registry.table().splitlines()
    body = lines[1 : lines.index("")]
    assert len(body) == len(ROWS)
    for line in body:
        assert len(line.split()) >= len(LAWS) + 2, line
