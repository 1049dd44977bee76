"""Markdown, captions and figures as HTML."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

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
    title, intro, rows, parts = documents.from_markdown(TEXT)
    assert title == "R² by model"
    assert intro == "<p>A note with &lt;tags&gt;.</p>\n"
    assert "<strong>0.9 ± 0.1</strong>" in rows
    (first, table), (second, text) = parts
    assert (first, second) == ("fraction 0.25, baker", "fraction 0.5, baker")
    assert table.startswith('<div class="scroll"><table>')
    assert text == "<p>No table here.</p>\n"


def test_a_caption_is_restructured_text(tmp_path: Path) -> None:
    path = tmp_path / "r2.rst"
    path.write_text(
        "Accuracy\n========\n\nR² over *tau*,\nsee `this <https://example.org>`_.\n",
        encoding="utf-8",
    )
    title, html = documents.caption(path)
    assert title == "Accuracy"
    assert "<em>tau</em>" in html
    assert 'href="https://example.org"' in html
    assert html.startswith("<p>")


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
    packed = documents.packed(path)
    assert gzip.decompress(base64.b64decode(packed)) == path.read_bytes()
    assert documents.packed(path) == packed


def test_an_attachment_holds_the_bytes_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "r2.csv"
    path.write_bytes("model,R²\nols,1\n".encode())
    kind, _, body = documents.attachment(path).partition(",")
    assert kind == "data:text/csv;base64"
    assert base64.b64decode(body) == path.read_bytes()
