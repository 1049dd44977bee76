"""Sums up a finished run for the terminal: where its results are, and the best few models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd


def closing_text(
    results: str | Path, fraction: float, *, left_out: Iterable[str] = (), best: int = 5
) -> str:
    """Headline numbers of a finished run: the `best` models per collection at a fraction.

    Where `results` has no `tables/averages.csv` (only some files were asked for) the text names
    the folder alone. `left_out` are data sets without files.
    """
    path = Path(results, "tables", "averages.csv")
    if not path.is_file():
        return f"Done. What was asked for is in {results}."
    averages = pd.read_csv(path)
    lines = [f"Done. Tables are in {results}/tables, figures in {results}/figures."]
    for collection, rows in averages[averages["fraction"] == fraction].groupby("collection"):
        rows = rows.dropna(subset="r2_median")
        sets = rows["datasets"].max() if len(rows) else 0
        lines.append(
            f"{collection}: R² at {100 * fraction:g} % of the curve, median over {sets} data sets"
        )
        top = rows.sort_values("r2_median", ascending=False, kind="stable").head(best)
        lines += [f"  {row.model:<18} {row.r2_median:6.3f}" for row in top.itertuples()]
    if missing := ", ".join(left_out):
        lines.append(f"LEFT OUT: {missing}")
    report = Path(results, "report.html")
    return "\n".join([*lines, f"Report: {report}"] if report.is_file() else lines)
