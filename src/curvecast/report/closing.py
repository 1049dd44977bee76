"""Sums up a finished run for the terminal: where its results are, and what it reached."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.benchmark.comparisons import largest
from curvecast.curves import collection_of
from curvecast.files import read_csv
from curvecast.report.tables.markdown import text

_BEST = 5


def closing_text(results: str | Path, fraction: float, *, left_out: Iterable[str] = ()) -> str:
    """What a finished run reached: incumbents, networks, and the best models at a fraction.

    Models are those per collection at the largest number of training runs of each data set. Where
    a run trains networks, the R² of a single data set is not its subject and is left out. Where
    `results` has no tables (only some files were asked for) the text names the folder alone.
    `left_out` are data sets, studies and networks without files.
    """
    r2, studies, networks = (
        read_csv(path) if (path := Path(results, f"tables/{name}.csv")).is_file() else None
        for name in ("r2", "studies", "networks")
    )
    if r2 is None and studies is None and networks is None:
        return f"Done. What was asked for is in {results}."
    lines = [f"Done. Tables are in {results}/tables, figures in {results}/figures."]
    trained = pd.DataFrame() if studies is None else studies.dropna(subset="validation")
    for row in trained.to_dict("records"):
        test = "" if pd.isna(row["test"]) else f", test {row['test']:.4g}"
        incumbent = json.loads(row["incumbent"])
        lines += [
            f"study {row['study']}, {row['optimizer']}: the incumbent has loss "
            f"{row['best_loss']:.4g}, validation {row['validation']:.4g}{test}",
            "  " + ", ".join(f"{key} {text(value)}" for key, value in incumbent.items()),
        ]
    for row in [] if networks is None else networks.to_dict("records"):
        spreads = {"repeats": row["test_sd"], "study seeds": row["test_study_sd"]}
        known = [f" ± {sd:.2g} ({of})" for of, sd in spreads.items() if pd.notna(sd)]
        lines.append(f"network {row['network']}: test {row['test']:.4g}{''.join(known)}")
    if r2 is not None and (len(lines) == 1 or r2["dataset"].nunique() > 1):
        lines += _models(largest(r2[np.isclose(r2["fraction"], fraction)]), fraction)
    if missing := ", ".join(left_out):
        lines.append(f"LEFT OUT: {missing}")
    report = Path(results, "report.html")
    return "\n".join([*lines, f"Report: {report}"] if report.is_file() else lines)


def _models(r2: pd.DataFrame, fraction: float) -> list[str]:
    """The best models of each collection, by error where the run has last_value to compare with.

    Where errors have heavy tails a few runs decide R², so it stands second.
    """
    lines = []
    for collection, rows in r2.groupby(r2["dataset"].map(collection_of)):
        # Only data sets on which every model has an R²: others would favour those without.
        table = rows.pivot(index="model", columns="dataset", values="r2_mean").dropna(axis=1)
        best = table.median(axis=1).dropna().to_frame("R²")
        if "last_value" in table.index:
            errors = rows.pivot(index="model", columns="dataset", values="mae_mean")[table.columns]
            ratios = (errors / errors.loc["last_value"]).median(axis=1)
            best.insert(0, "error over last_value's", ratios)
        by = best.columns[0]
        best = best.sort_values(by, ascending=by != "R²", kind="stable").head(_BEST)
        sets = table.shape[1]
        over = f"median over {sets} data sets" if sets != 1 else "one data set"
        share = f"{100 * fraction:g} % of the curve"
        lines.append(f"{collection}, {share}, {over}: {', '.join(best.columns)}")
        for model, values in zip(best.index, best.to_numpy(), strict=True):
            lines.append(f"  {model:<18}" + "".join(f" {value:6.3f}" for value in values))
    return lines
