"""Markdown, captions and figures as HTML."""

from __future__ import annotations

import base64
import gzip
import io
import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from curvecast import DataError
from curvecast.report.page import documents

TEXT = """# R² by model

A note with <tags>.

| model | R² |
| --- | --- |
| ols | **0.9 ± 0.1** |

## fraction 0.25, baker

| a | b |
| --- | --- |
| x | 1 |

## fraction 0.5, baker

No table here.
"""


def test_a_document_is_cut_at_its_headings() -> None:
    document = documents.from_markdown(TEXT)
    assert document.title == "R² by model"
    assert document.intro == "<p>A note with &lt;tags&gt;.</p>\n"
    assert "<strong>0.9 ± 0.1</strong>" in document.table
    assert [part.heading for part in document.parts] == [
        "fraction 0.25, baker",
        "fraction 0.5, baker",
    ]
    assert document.parts[0].html.startswith('<div class="scroll"><table>')
    assert document.parts[1].html == "<p>No table here.</p>\n"


def test_a_caption_is_restructured_text(tmp_path: Path) -> None:
    path = tmp_path / "r2.rst"
    path.write_text("R² over *tau*,\nsee `this <https://example.org>`_.\n", encoding="utf-8")
    html = documents.caption(path)
    assert "<em>tau</em>" in html
    assert 'href="https://example.org"' in html
    assert html.startswith("<p>")


def test_a_figure_survives_as_an_address(tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    path.write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg xmlns="http://www.w3.org/2000/svg"'
        " width=\"10pt\">\n <metadata>who</metadata>\n <!-- 100 % of 'it' -->\n"
        ' <text style="fill: #ff0000">a &lt; b &amp; c 50%</text>\n'
        ' <path d="M 1.23456 2.999999 \nL 3 -4.5678"/>\n'
        ' <g transform="scale(0.015625)"/>\n</svg>\n',
        encoding="utf-8",
    )
    src = documents.svg_source(path)
    assert '"' not in src
    kind, _, body = src.replace("&amp;", "&").partition(",")
    assert kind == "data:image/svg+xml"
    assert "#" not in body
    root = ElementTree.fromstring(unquote(body))
    space = "{http://www.w3.org/2000/svg}"
    text, line, group = (root.find(space + tag) for tag in ("text", "path", "g"))
    assert text is not None
    assert text.text == "a < b & c 50%"
    assert text.get("style") == "fill: #ff0000"
    assert line is not None
    assert re.sub(r"\s+", " ", line.get("d", "")) == "M 1.23 2.99 L 3 -4.56"
    assert group is not None
    assert group.get("transform") == "scale(0.015625)"
    assert root.find(space + "metadata") is None


def test_the_width_of_a_figure_is_read(tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    path.write_text('<svg xmlns:x="y"\n width="648.5pt" height="1pt"></svg>', encoding="utf-8")
    assert documents.svg_width(path) == 648.5
    path.write_text("<svg></svg>", encoding="utf-8")
    with pytest.raises(DataError, match=r"figure\.svg: a figure without its width"):
        documents.svg_width(path)


def test_a_packed_figure_is_the_same_one(tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    path.write_text('<?xml version="1.0"?>\n<svg> <path d="M 1.239 2"/> </svg>', encoding="utf-8")
    packed = documents.svg_packed(path)
    assert gzip.decompress(base64.b64decode(packed)) == b'<svg><path d="M 1.23 2"/></svg>'
    assert documents.svg_packed(path) == packed


def test_an_attachment_holds_the_bytes_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "r2.csv"
    path.write_bytes("model,R²\nols,1\n".encode())
    kind, _, body = documents.attachment(path).partition(",")
    assert kind == "data:text/csv;base64"
    assert base64.b64decode(body) == path.read_bytes()


def test_pixels_in_a_figure_keep_their_place_and_look_with_fewer_colours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    opacity = np.where(rng.random((60, 80)) < 0.3, rng.integers(30, 255, (60, 80)), 0)
    pixels = np.zeros((60, 80, 4), dtype=np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, opacity
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    plain = base64.b64encode(png.getvalue()).decode()
    path = tmp_path / "figure.svg"
    path.write_text(f'<svg><image xlink:href="data:image/png;base64,\n{plain}"/></svg>', "utf-8")
    small = gzip.decompress(base64.b64decode(documents.svg_packed(path))).decode()
    head, _, rest = small.partition("base64,")
    assert head == '<svg><image xlink:href="data:image/png;'
    assert rest.endswith('"/></svg>')
    assert len(small) < 0.7 * len(plain)
    shown = Image.open(io.BytesIO(base64.b64decode(rest.partition('"')[0]))).convert("RGBA")
    assert shown.size == (80, 60)
    assert np.abs(np.asarray(shown)[..., 3].astype(int) - opacity).max() <= 40
    assert np.abs(np.asarray(shown)[..., 3].astype(int) - opacity).mean() <= 5
