"""Every Python block of the README and the documentation runs, page by page, and every public module is documented.

The blocks of a page share one namespace and run from top to bottom. `<!-- setup ... -->` holds code that a page needs
and its reader does not. Blocks of `>>>` examples are checked as doctests.
"""

import ast
import doctest
import importlib.util
import pathlib
import re
import sys
import types
from typing import NamedTuple

import pytest
import torch

import torchzero as tz
from tests import registry
from torchzero.minimization import METHODS

ROOT = pathlib.Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"^(?P<indent>[ ]*)```[ ]*(?:python|py|pycon)\b[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*$"
    r"|^<!-- setup\n(?P<hidden>.*?)^-->",
    re.DOTALL | re.MULTILINE,
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A piece of code on a page."""

    line: int  # of its first line of code
    code: str


def blocks(text: str) -> list[Block]:
    """The Python blocks of a page, hidden ones too, in order."""
    found = []
    for match in BLOCK.finditer(text):
        kind = "hidden" if match["hidden"] is not None else "code"
        indent = len(match["indent"] or "")
        lines = match[kind].splitlines()
        code = "\n".join(line[indent:] for line in lines) + "\n"
        found.append(Block(text.count("\n", 0, match.start(kind)) + 1, code))
    return found


def run_page(path: pathlib.Path, text: str) -> None:
    """Run the blocks of a page in one namespace; a failure points to the page's own line."""
    module = types.ModuleType(f"docs_{path.stem}")
    sys.modules[module.__name__] = module  # dataclasses and typing look a class's module up
    namespace = module.__dict__
    try:
        for block in blocks(text):
            if block.code.lstrip().startswith(">>>"):
                examples = doctest.DocTestParser().get_doctest(
                    block.code, namespace, path.name, str(path), block.line - 1
                )
                examples.globs = namespace  # get_doctest copies it; later blocks see what this one defines
                report: list[str] = []
                outcome = doctest.DocTestRunner(optionflags=FLAGS).run(examples, out=report.append, clear_globs=False)
                assert outcome.failed == 0, "".join(report)
            else:
                tree = ast.parse(block.code, str(path))
                ast.increment_lineno(tree, block.line - 1)
                exec(compile(tree, str(path), "exec"), namespace)
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize("path", PAGES, ids=[p.relative_to(ROOT).as_posix() for p in PAGES])
def test_every_block_of_the_page_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    run_page(path, path.read_text(encoding="utf-8"))


def test_no_python_block_escapes():
    """As many blocks are run as there are opening fences that say Python."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        fences = len(
            re.findall(r"^\s*(?:```|~~~)\s*\{?\.?(?:python|py|pycon|python3)\b", text, re.MULTILINE | re.IGNORECASE)
        )
        hidden = text.count("<!-- setup\n")
        assert len(blocks(text)) == fences + hidden, path


def test_a_wrong_block_is_reported_at_its_line():
    page = pathlib.Path("page.md")
    run_page(page, "```python\nx = 1\n```\n\n```pycon\n>>> x\n1\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        run_page(page, "text\n\n```python\nx = 1\nx / 0\n```\n")
    assert caught.traceback[-1].lineno == 4  # counted from 0
    with pytest.raises(AssertionError, match=r"Expected:\n *2"):
        run_page(page, "```pycon\n>>> 1\n2\n```\n")


@pytest.fixture(scope="module")
def generated():
    spec = importlib.util.spec_from_file_location("docs_hook", ROOT / "scripts" / "docs_hook.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    return hook.pages()


def test_the_catalogue_and_the_api_list_every_public_module(generated):
    for name, value in registry.public().items():
        family = value.__module__.split(".")[1]
        anchor = f"{value.__module__}.{name}"
        assert f"[`{name}`](api/{family}.md#{anchor})" in generated["catalogue.md"]
        assert f"::: {anchor}\n" in generated[f"api/{family}.md"]


def test_the_gallery_shows_every_method_and_nothing_else():
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    shown = re.findall(r"\(gallery/(.+)\.png\)", page)
    files = {path.stem: path.stat().st_size for path in (ROOT / "docs" / "gallery").glob("*")}
    assert set(METHODS) <= set(shown)
    assert sorted(shown) == sorted(files)
    assert sum(files.values()) < 3e6


def test_older_names_are_importable_or_in_the_migration_guide(generated):
    page = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")
    gone = page.split("## Names of modules that this version does not have")[1]
    rows = [line.split("|")[1] for line in gone.splitlines() if line.startswith("| `")]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert names
    for name in names:
        assert not hasattr(tz.m, name), f"{name} is importable: take it out of the list"
    for name in registry.aliases():
        assert f"| `{name}` |" in generated["catalogue.md"]
