"""Markdown tables, captions and figures as pieces of HTML that stand alone."""

from __future__ import annotations

import base64
import gzip
import io
import re
from dataclasses import dataclass
from pathlib import Path

from docutils.core import publish_parts
from markdown_it import MarkdownIt
from PIL import Image

from curvecast.curves import DataError

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_NUMBER = re.compile(r"(-?\d+\.\d\d)\d+")
_PATH = re.compile(r'(?<= d=")[^"]*|(?<= (?:x|y)=")[^"]*')
_PIXELS = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")


@dataclass(frozen=True)
class Part:
    """A part of a document under a heading."""

    heading: str
    html: str


@dataclass(frozen=True)
class Document:
    """A table for people.

    Attributes
    ----------
    title : its first heading.
    intro : the paragraphs below the title, as HTML.
    table : what stands between them and the first part, as HTML; "" where nothing does.
    parts : what follows under headings of the second level.
    """

    title: str
    intro: str
    table: str
    parts: tuple[Part, ...]


def from_markdown(text: str) -> Document:
    """Cut a Markdown document at its headings of the second level; all of it becomes HTML."""
    head, *rest = re.split(r"^## ", text, flags=re.MULTILINE)
    title, _, below = head.strip().partition("\n")
    intro, bar, rows = below.partition("\n|")
    parts = []
    for chunk in rest:
        heading, _, body = chunk.partition("\n")
        parts.append(Part(heading.strip(), html(body)))
    return Document(title.removeprefix("# ").strip(), html(intro), html(bar + rows), tuple(parts))


def html(markdown: str) -> str:
    """Markdown as HTML; tables may be scrolled sideways."""
    rendered = _MARKDOWN.render(markdown.strip())
    rendered = rendered.replace("<table>", '<div class="scroll"><table>')
    return rendered.replace("</table>", "</table></div>")


def caption(path: Path) -> str:
    """A reStructuredText caption as HTML."""
    text = path.read_text(encoding="utf-8")
    settings = {"report_level": 4, "halt_level": 4, "raw_enabled": False}
    return publish_parts(text, writer="html5", settings_overrides=settings)["body"].strip()


def svg_source(path: Path) -> str:
    """A vector graphic as the `src` of an image; only what would end the attribute is escaped."""
    text = _small_svg(path)
    for character in "%#'":
        text = text.replace(character, f"%{ord(character):02X}")
    # the attribute stands in double quotes, and entities of the SVG must survive it
    return "data:image/svg+xml," + text.replace('"', "'").replace("&", "&amp;")


def svg_packed(path: Path) -> str:
    """The same compressed, for the page's script to unpack: less than half as long."""
    packed = gzip.compress(_small_svg(path).encode("utf-8"), mtime=0)
    return base64.b64encode(packed).decode("ascii")


def svg_width(path: Path) -> float:
    """Width of a graphic in points.

    Raises
    ------
    DataError : the graphic does not say it.
    """
    head = path.read_text(encoding="utf-8")[:2000]
    match = re.search(r'<svg[^>]*? width="([\d.]+)pt"', head, flags=re.DOTALL)
    if match is None:
        raise DataError("a figure without its width in points", file=path)
    return float(match[1])


def _small_svg(path: Path) -> str:
    """A graphic without metadata; coordinates keep two decimals (of a point), pixels 64 colours."""
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = _PATH.sub(lambda match: _NUMBER.sub(r"\1", match[0]), text)
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = _PIXELS.sub(lambda match: f"data:image/png;base64,{_fewer_colours(match[1])}", text)
    return re.sub(r"\s+", " ", text).replace("> <", "><")


def _fewer_colours(pixels: str) -> str:
    """A rasterised cloud of points (PNG in base64) with a palette: a third as long."""
    image = Image.open(io.BytesIO(base64.b64decode(pixels)))
    smaller = io.BytesIO()
    image.quantize(64, method=Image.Quantize.FASTOCTREE).save(smaller, "PNG", optimize=True)
    return base64.b64encode(smaller.getvalue()).decode("ascii")


def attachment(path: Path, kind: str = "text/csv") -> str:
    """A file as the address of a download."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
