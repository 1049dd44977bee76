"""Writes the report: one HTML file with the run's findings, tables, figures and methods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined

from curvecast import __version__
from curvecast.files import write_text
from curvecast.predictors import registry
from curvecast.report.names import in_order
from curvecast.report.page import contents, documents, machine
from curvecast.report.page.about import About
from curvecast.report.page.findings import findings
from curvecast.report.tables.markdown import fixed, table

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
    """Write the report of a run to `path`.

    Every .md of `tables` is shown and its .csv attached, every .svg of `figures` is shown.
    `captions` are files `{family}.rst`, `sayings` is resources/methods.yaml (the methods that
    every run uses), `benchmarks` the folder of Snakemake's benchmark files.
    """
    files = [Path(path) for path in (*tables, *figures)]
    frames = {path.stem: pd.read_csv(path) for path in files if path.suffix == ".csv"}
    visible = (path for path in files if path.suffix in (".md", ".svg"))
    shown = contents.names_of(visible, about.results)
    of_family = {Path(p).stem: documents.caption(Path(p)) for p in captions}
    sections = [
        {
            "anchor": anchor,
            "title": contents.SECTIONS[anchor][0],
            "items": _items(names, shown, of_family, about.fraction),
        }
        for anchor, names in contents.arrange(shown).items()
    ]
    template = TEMPLATE.read_text(encoding="utf-8")
    text = (
        Environment(autoescape=True, undefined=StrictUndefined)
        .from_string(template)
        .render(
            about=about,
            findings=[
                {
                    "key": finding.key,
                    "text": documents.inline(finding.text),
                    "anchor": finding.anchor,
                }
                for finding in findings(frames, about.fraction)
            ],
            sections=sections,
            methods=methods(in_order(about.models), sayings),
            usage=_usage(benchmarks),
            versions={"curvecast": __version__, **machine.versions()},
        )
    )
    write_text(text, path)


def _items(
    names: Sequence[str], shown: Mapping[str, Path], captions: Mapping[str, Any], fraction: float
) -> list[dict[str, Any]]:
    """Tables one by one, figures of a family together."""
    items: list[dict[str, Any]] = []
    for name in names:
        if name.startswith("tables/"):
            items.append(_table(name, shown[name], fraction))
            continue
        family = contents.family(name)
        if not items or items[-1].get("family") != family:
            title, caption = captions.get(family, (family.replace("_", " ").capitalize(), ""))
            heading = {"family": family, "title": title, "caption": caption}
            items.append({"kind": "figures", **heading, "of": []})
        items[-1]["of"].append(
            {
                "id": name.replace("/", "-"),
                "label": contents.label(name),
                "open": len(items[-1]["of"]) < _OPEN,
                "width": round(_PIXELS_PER_POINT * documents.svg_width(shown[name])),
                "packed": documents.packed(shown[name]),
            }
        )
    return items


def _table(name: str, path: Path, fraction: float) -> dict[str, Any]:
    document = documents.from_markdown(path.read_text(encoding="utf-8"))
    # The first few parts at the fraction of the findings are open.
    fractions = [re.search(r"fraction ([\d.]+)", heading) for heading, _ in document.parts]
    at_fraction = [i for i, match in enumerate(fractions) if match and float(match[1]) == fraction]
    open_parts = (at_fraction or [0])[:_OPEN]
    csv = path.with_suffix(".csv")
    attached = csv.is_file() and csv.stat().st_size <= _LARGEST_ATTACHMENT
    return {
        "kind": "table",
        "id": name.replace("/", "-"),
        "title": document.title,
        "intro": document.intro,
        "table": document.table,
        "parts": [
            {"heading": heading, "html": html, "open": i in open_parts}
            for i, (heading, html) in enumerate(document.parts)
        ],
        "shaded": name in _SHADED,
        "csv": documents.attachment(csv) if attached else "",
        "file": csv.name,
    }


def _usage(benchmarks: str | Path) -> str:
    columns = {
        "rule": "rule",
        "jobs": "jobs",
        "seconds": fixed("seconds", 1),
        "longest job, s": fixed("longest", 1),
        "processor, s": fixed("cpu", 1),
        "peak memory, MB": fixed("peak", 0),
    }
    return documents.html(table(machine.usage(benchmarks), columns))


def methods(models: Sequence[str], path: str | Path) -> list[tuple[str, str, str]]:
    """Name, description and citation of the models, and of what every run uses.

    Those of the models are of the registry; `path` is that of resources/methods.yaml.
    """
    tuned = "A predictor with the options of the incumbent of a study of this run."
    known = registry()
    rows = [
        (name, known[name].label, known[name].cite) if name in known else (name, tuned, "")
        for name in models
    ]
    others = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return rows + [(name, entry["text"], entry.get("cite", "")) for name, entry in others.items()]
