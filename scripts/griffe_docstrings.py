"""A griffe extension: `>>>` examples become code blocks, and a `Reference:` line a paragraph of its own."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^(?P<indent>[ ]*)>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
LINK = re.compile(r"(?<![<(\"])(https?://[^\s,;)]+[^\s,;.)])")


def as_markdown(text: str) -> str:
    """A docstring as Markdown that renders as it reads."""
    text = EXAMPLE.sub(lambda m: f"{m['indent']}```pycon\n{m[0]}\n{m['indent']}```", text)
    text = re.sub(r"^(References?):(?= |$)", r"**\1**:", text, flags=re.MULTILINE)
    return LINK.sub(r"<\1>", text)


class Docstrings(griffe.Extension):
    """Rewrite every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
