"""The report's one HTML file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt

from curvecast import __version__
from curvecast.curves import write_text
from curvecast.predictors import registry
from curvecast.report.names import in_order
from curvecast.report.page import contents, documents, machine
from curvecast.report.page.about import About
from curvecast.report.page.findings import findings
from curvecast.report.tables.markdown import number, table

TEMPLATE = Path(__file__).with_name("page.html")
# Tables of R², in which the shade of a cell shows its value.
_SHADED = ("tables/r2", "tables/ablation", "tables/training_size", "tables/depth")
_OPEN = 2
# Figures of full width fill the column, small ones stay small.
_PIXELS_PER_POINT = 1.9
_LARGEST_ATTACHMENT = 2_000_000


def write(
    path: str | Path,
    about: About,
    *,
    tables: Iterable[str | Path],
    figures: Iterable[str | Path],
    captions: Iterable[str | Path],
    sayings: str | Path,
    benchmarks: str | Path,
) -> None:
    """Write the report.

    Parameters
    ----------
    path : of the HTML file.
    tables : the run's tables, .csv and .md; every .md is shown, its .csv is attached.
    figures : the run's figures; every .svg is shown.
    captions : `{family}.rst` for families of figures.
    sayings : resources/methods.yaml.
    benchmarks : folder of Snakemake's benchmark files.
    """
    files = [Path(path) for path in (*tables, *figures)]
    frames = {path.stem: pd.read_csv(path) for path in files if path.suffix == ".csv"}
    visible = (path for path in files if path.suffix in (".md", ".svg"))
    shown = contents.names_of(visible, about.results)
    said = {Path(p).stem: documents.caption(Path(p)) for p in captions}
    arranged = contents.arrange(shown)
    sections = [
        {
            "anchor": section.anchor,
            "title": section.title,
            "items": _items(arranged[section.anchor], shown, said, about.fraction),
        }
        for section in contents.SECTIONS
        if section.anchor in arranged
    ]
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    text = template.render(
        about=about,
        findings=[
            {"key": f.key, "text": _inline(f.text), "anchor": f.anchor}
            for f in findings(frames, about.fraction)
        ],
        sections=sections,
        methods=methods(in_order(about.models), sayings),
        usage=documents.html(_usage_table(machine.usage(benchmarks))),
        versions={"curvecast": __version__, **machine.versions()},
    )
    write_text(text, path)


def _inline(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": False}).renderInline(markdown)


def _items(
    names: Sequence[str], shown: Mapping[str, Path], said: Mapping[str, str], fraction: float
) -> list[dict[str, Any]]:
    """Tables one by one, figures of a family together."""
    items: list[dict[str, Any]] = []
    for name in names:
        if name.startswith("tables/"):
            items.append(_table_item(name, shown[name], fraction))
            continue
        family = contents.family(name)
        if not items or items[-1].get("family") != family:
            items.append(
                {
                    "kind": "figures",
                    "family": family,
                    "title": contents.title(family),
                    "caption": said.get(family, ""),
                    "of": [],
                }
            )
        # Those that are seen at once need no script; the others would make the page too large.
        seen = len(items[-1]["of"]) < _OPEN
        items[-1]["of"].append(
            {
                "id": name.replace("/", "-"),
                "label": contents.label(name),
                "open": seen,
                "width": round(_PIXELS_PER_POINT * documents.svg_width(shown[name])),
                "src": documents.svg_source(shown[name]) if seen else "",
                "packed": "" if seen else documents.svg_packed(shown[name]),
            }
        )
    return items


def _open_parts(parts: Sequence[documents.Part], fraction: float) -> set[int]:
    """Positions of the parts to show at once: the first few at the fraction of the findings."""
    said = [re.search(r"fraction ([\d.]+)", part.heading) for part in parts]
    at_fraction = [i for i, match in enumerate(said) if match and float(match[1]) == fraction]
    return set((at_fraction or [0])[:_OPEN])


def _table_item(name: str, path: Path, fraction: float) -> dict[str, Any]:
    document = documents.from_markdown(path.read_text(encoding="utf-8"))
    csv = path.with_suffix(".csv")
    open_parts = _open_parts(document.parts, fraction)
    attached = csv.is_file() and csv.stat().st_size <= _LARGEST_ATTACHMENT
    return {
        "kind": "table",
        "id": name.replace("/", "-"),
        "title": document.title,
        "intro": document.intro,
        "table": document.table,
        "parts": [
            {"heading": part.heading, "html": part.html, "open": i in open_parts}
            for i, part in enumerate(document.parts)
        ],
        "shaded": name in _SHADED,
        "csv": documents.attachment(csv) if attached else "",
        "file": csv.name,
    }


def _usage_table(usage: pd.DataFrame) -> str:
    return table(
        pd.DataFrame(
            {
                "rule": usage["rule"],
                "jobs": usage["jobs"],
                "seconds": usage["seconds"].map(lambda v: number(v, 1)),
                "longest job, s": usage["longest"].map(lambda v: number(v, 1)),
                "processor, s": usage["cpu"].map(lambda v: number(v, 1)),
                "peak memory, MB": usage["peak"].map(lambda v: number(v, 0)),
            }
        )
    )


def methods(models: Sequence[str], path: str | Path) -> list[tuple[str, str, str]]:
    """Name, description and citation of the models, and of what every run uses.

    Those of the models are of the registry; `path` is that of resources/methods.yaml.
    """
    tuned = "A predictor with the options that a study of this run found."
    known = registry()
    rows = [
        (name, known[name].label, known[name].cite) if name in known else (name, tuned, "")
        for name in models
    ]
    others = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return rows + [(name, entry["text"], entry.get("cite", "")) for name, entry in others.items()]
