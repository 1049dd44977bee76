"""Shows docstrings as Markdown: entries are `name : meaning`, with no type, which is annotated."""

from __future__ import annotations

import re
from typing import Any

import griffe

_HEAD = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
_ENTRY = re.compile(r"^([\w*, .]+?) : ", re.MULTILINE)
_EXAMPLE = re.compile(r"^(?:>>>.*\n?(?:(?!>>>|\n).+\n?)*)+", re.MULTILINE)


class Plain(griffe.Extension):
    """Headings become bold, entries a list, examples code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class or function."""
        if obj.docstring:
            text = _HEAD.sub(r"**\1**\n\n", obj.docstring.value)
            text = re.sub(r"\n {4}(?! *[-*>])(?=\S)", "\n    ", text)
            text = _ENTRY.sub(r"- `\1`: ", text)
            obj.docstring.value = _EXAMPLE.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", text)
