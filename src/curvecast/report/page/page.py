"""Writes the report: one HTML file with the run's findings, tables, figures and methods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined

from curvecast import __version__
from curvecast.files import DataError, read_csv, write_text
from curvecast.predictors import registry
from curvecast.report.names import in_order
from curvecast.report.page import contents, documents, runs
from curvecast.report.page.about import protocol
from curvecast.report.page.findings import findings
from curvecast.report.page.running import running
from curvecast.report.tables.markdown import table

# Tables of R², in which the shade of a cell shows its value.
_SHADED = ("tables/r2", "tables/ablation", "tables/depth")
# So many parts of a table are open where the table is.
_OPEN = 2
# Figures of full width fill the column, small ones stay small.
_PIXELS_PER_POINT = 1.9
_LARGEST_ATTACHMENT = 2_000_000
_PACKAGES = ("snakemake", "numpy", "pandas", "scikit-learn", "scipy", "torch", "hpbandster")


def write(
    path: str | Path,
    about: Mapping[str, Any],
    *,
    tables: Iterable[str | Path],
    figures: Iterable[str | Path],
    captions: Iterable[str | Path],
    method_texts: str | Path,
    benchmarks: str | Path,
    logs: Iterable[str | Path] = (),
) -> None:
    """Write the report of a run to `path`.

    Parameters
    ----------
    about : what was run on what: `results` (folder of the run), `fraction` (of the curve, for the
        findings), `models`, `datasets` and `tasks` (data sets of curves and of networks, with their
        `licence`, `citation` and `description`), `left_out` (what lacks files) and `facts`
        (further lines, a text by its name).
    tables, figures : every .md is shown and its .csv attached, every .svg is shown.
    captions : files `{family}.rst`.
    method_texts : resources/methods.yaml, the methods that every run uses.
    benchmarks : the folder of Snakemake's benchmark files.
    logs : curves of data sets that may have runs under way.
    """
    files = [Path(path) for path in (*tables, *figures)]
    frames = {path.stem: read_csv(path) for path in files if path.suffix == ".csv"}
    filled = [path for path in files if path.suffix != ".md" or len(frames.get(path.stem, "-"))]
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(template)
    if len(frames.get("differences", ())):
        used = protocol(frames["r2"], frames["differences"])
        about = {**about, "facts": {**about["facts"], "protocol": used}}
    under_way = running(logs)
    text = page.render(
        about=about,
        running=under_way,
        script=runs.script() if under_way else "",
        findings=[
            {"key": key, "text": documents.inline(text), "anchor": anchor}
            for key, text, anchor in findings(frames, about["fraction"])
        ],
        sections=_sections(filled, captions, about),
        methods=methods(in_order(about["models"]), method_texts),
        usage=documents.html(table(usage(benchmarks))),
        versions={"curvecast": __version__, **versions()},
    )
    write_text(text, path)


def _sections(
    files: Iterable[Path], captions: Iterable[str | Path], about: Mapping[str, Any]
) -> list[dict[str, Any]]:
    visible = (path for path in files if path.suffix in (".md", ".svg"))
    shown = contents.names_of(visible, about["results"])
    of_family = {Path(p).stem: documents.caption(Path(p)) for p in captions}
    return [
        {
            "anchor": anchor,
            "title": contents.SECTIONS[anchor][0],
            "items": _items(names, shown, of_family, about["fraction"]),
        }
        for anchor, names in contents.arrange(shown).items()
    ]


def _items(
    names: Sequence[str], shown: Mapping[str, Path], captions: Mapping[str, Any], fraction: float
) -> list[dict[str, Any]]:
    """Tables one by one, figures of a family together."""
    items: list[dict[str, Any]] = []
    for name in names:
        anchor = name.replace("/", "-")
        if name.startswith("tables/"):
            items.append({"id": anchor, "shaded": name in _SHADED, **_table(shown[name], fraction)})
            continue
        family = contents.family(name)
        if not items or items[-1].get("family") != family:
            title, caption = captions.get(family, (family.replace("_", " ").capitalize(), ""))
            heading = {"family": family, "title": title, "caption": caption}
            items.append({"kind": "figures", **heading, "of": []})
        items[-1]["of"].append(
            {
                "id": anchor,
                "label": contents.label(name),
                "open": family in contents.OPEN and not items[-1]["of"],
                "width": round(_PIXELS_PER_POINT * documents.svg_width(shown[name])),
                "packed": documents.packed(shown[name]),
            }
        )
    return items


def _table(path: Path, fraction: float) -> dict[str, Any]:
    title, intro, rows, parts = documents.from_markdown(path.read_text(encoding="utf-8"))
    # The first few parts at the fraction of the findings and the most training runs are open.
    told = [dict(re.findall(r"(fraction|n_train) ([\d.]+)", heading)) for heading, _ in parts]
    at = [i for i, names in enumerate(told) if names.get("fraction") == f"{fraction:.4g}"]
    runs = {i: int(told[i].get("n_train", 0)) for i in at}
    open_parts = [i for i in runs if runs[i] == max(runs.values())][:_OPEN] or [0]
    csv = path.with_suffix(".csv")
    attached = csv.is_file() and csv.stat().st_size <= _LARGEST_ATTACHMENT
    return {
        "kind": "table",
        "title": title,
        "intro": intro,
        "table": rows,
        "parts": [
            {"heading": heading, "html": html, "open": i in open_parts}
            for i, (heading, html) in enumerate(parts)
        ],
        "csv": documents.attachment(csv) if attached else "",
        "file": csv.name,
    }


def usage(folder: str | Path) -> pd.DataFrame:
    """Run time and memory of the last run of the jobs of each rule, the most costly rule first.

    Columns: `rule, jobs`, `seconds` and `longest job, s` (wall time), `processor, s`, and
    `peak memory, MB` (the largest resident set of a job). The folder has Snakemake's benchmark
    files `{rule}/.../{job}.tsv` or `{rule}.tsv`. Raises DataError for another file.
    """
    columns = ["s", "max_rss", "cpu_time"]
    rows = []
    for path in sorted(Path(folder).rglob("*.tsv")):
        frame = pd.read_csv(path, sep="\t")
        for column in columns:
            if column not in frame or not len(frame):
                raise DataError("not a benchmark file", file=path, column=column)
        # A job of a few milliseconds ends before its memory is measured: "-" in the file.
        numbers = frame[columns].apply(pd.to_numeric, errors="coerce")
        rule = Path(path.relative_to(folder).parts[0]).stem
        rows.append({"rule": rule, **numbers.iloc[-1].to_dict()})
    named = {
        "jobs": ("s", "size"),
        "seconds": ("s", "sum"),
        "longest job, s": ("s", "max"),
        "processor, s": ("cpu_time", "sum"),
        "peak memory, MB": ("max_rss", "max"),
    }
    jobs = pd.DataFrame(rows, columns=["rule", *columns])
    result = jobs.groupby("rule", as_index=False).agg(**named)
    return result.sort_values("seconds", ascending=False, ignore_index=True)


def versions() -> dict[str, str]:
    """Versions of the packages that numbers depend on, as far as they are installed."""
    installed = {distribution.name.lower() for distribution in metadata.distributions()}
    return {name: metadata.version(name) for name in _PACKAGES if name in installed}


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
