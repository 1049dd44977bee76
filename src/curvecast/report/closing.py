"""Sums up a finished run for the terminal: where its results are, and what it reached."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from curvecast.files import read_csv


def closing_text(
    results: str | Path, fraction: float, *, left_out: Iterable[str] = (), best: int = 5
) -> str:
    """What a finished run reached: incumbents, networks, and the `best` models at a fraction.

    Models are those per collection at the largest number of training runs. Where a run trains
    networks, the R² of a single data set is not its subject and is left out. Where `results` has no
    tables (only some files were asked for) the text names the folder alone. `left_out` are data
    sets without files.
    """
    averages, studies, networks = (
        read_csv(path) if (path := Path(results, f"tables/{name}.csv")).is_file() else None
        for name in ("averages", "studies", "networks")
    )
    if averages is None and studies is None and networks is None:
        return f"Done. What was asked for is in {results}."
    lines = [f"Done. Tables are in {results}/tables, figures in {results}/figures."]
    trained = pd.DataFrame() if studies is None else studies.dropna(subset="validation")
    for row in trained.to_dict("records"):
        test = "" if pd.isna(row["test"]) else f", test {row['test']:.4g}"
        setting = ", ".join(f"{key} {value}" for key, value in json.loads(row["incumbent"]).items())
        lines += [
            f"study {row['study']}, {row['optimizer']}: the incumbent has loss "
            f"{row['best_loss']:.4g}, validation {row['validation']:.4g}{test}",
            f"  {setting}",
        ]
    for row in [] if networks is None else networks.to_dict("records"):
        spreads = {"repeats": row["test_sd"], "study seeds": row["test_study_sd"]}
        known = [f" ± {sd:.2g} ({of})" for of, sd in spreads.items() if pd.notna(sd)]
        lines.append(f"network {row['network']}: test {row['test']:.4g}{''.join(known)}")
    if averages is not None and (len(lines) == 1 or averages["datasets"].max() > 1):
        lines += _models(averages[averages["fraction"] == fraction], best)
    if missing := ", ".join(left_out):
        lines.append(f"LEFT OUT: {missing}")
    report = Path(results, "report.html")
    return "\n".join([*lines, f"Report: {report}"] if report.is_file() else lines)


def _models(averages: pd.DataFrame, best: int) -> list[str]:
    lines = []
    for collection, rows in averages.groupby("collection"):
        rows = rows[rows["n_train"] == rows["n_train"].max()].dropna(subset="r2_median")
        sets = rows["datasets"].max() if len(rows) else 0
        share = 100 * averages["fraction"].iloc[0]
        text = f"{collection}: R² at {share:g} % of the curve, median over {sets} data sets"
        top = rows.sort_values("r2_median", ascending=False, kind="stable").head(best)
        lines += [text, *(f"  {row.model:<18} {row.r2_median:6.3f}" for row in top.itertuples())]
    return lines
