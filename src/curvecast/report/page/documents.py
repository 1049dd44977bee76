"""Makes pieces of HTML that stand alone of Markdown tables, captions and figures."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

from docutils.core import publish_parts
from markdown_it import MarkdownIt

from curvecast.files import DataError

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def from_markdown(text: str) -> tuple[str, str, str, list[tuple[str, str]]]:
    """Cut a Markdown document at its headings of the second level.

    Returns its title, the paragraphs below it, the table below them ("" where there is none), and
    the parts, each a heading and what follows it; all but title and headings as HTML.
    """
    head, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    title, _, below = head.strip().partition("\n")
    intro, bar, rows = below.partition("\n|")
    parts = [(part[0].strip(), html(part[2])) for part in (c.partition("\n") for c in rest)]
    return title.removeprefix("# ").strip(), html(intro), html(bar + rows), parts


def html(markdown: str) -> str:
    """Markdown as HTML; tables may be scrolled sideways."""
    rendered = _MARKDOWN.render(markdown.strip())
    rendered = rendered.replace("<table>", '<div class="scroll"><table>')
    return rendered.replace("</table>", "</table></div>")


def inline(markdown: str) -> str:
    """A line of Markdown as HTML."""
    return _MARKDOWN.renderInline(markdown)


def caption(path: Path) -> tuple[str, str]:
    """The title and the text of a reStructuredText caption as HTML."""
    text = path.read_text(encoding="utf-8")
    settings = {"report_level": 4, "halt_level": 4, "raw_enabled": False}
    parts = publish_parts(text, writer="html5", settings_overrides=settings)
    return parts["title"], parts["body"].strip()


def packed(path: Path) -> str:
    """A vector graphic compressed (gzip, base64), for the page's script to unpack."""
    return base64.b64encode(gzip.compress(path.read_bytes(), mtime=0)).decode("ascii")


def svg_width(path: Path) -> float:
    """Width of a graphic in points. Raises DataError where the graphic does not say it."""
    head = path.read_text(encoding="utf-8")[:2000]
    match = re.search(r'<svg[^>]*? width="([\d.]+)pt"', head, flags=re.DOTALL)
    if match is None:
        raise DataError("a figure without its width in points", file=path)
    return float(match[1])


def attachment(path: Path) -> str:
    """A CSV file as the address of a download."""
    return f"data:text/csv;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
