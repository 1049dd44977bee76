"""What a run says when it is done: where its results lie, and the best few models."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path


def closing_words(
    results: str | Path, fraction: float, *, left_out: Iterable[str] = (), best: int = 5
) -> str:
    """Headline numbers of a finished run, for the terminal.

    Parameters
    ----------
    results : the run's folder. Without `tables/averages.csv` (only some files were asked for)
        there is nothing to tell but where it is.
    fraction : of the curve, at which the numbers are.
    left_out : data sets that the run had to do without.
    best : number of models per collection.
    """
    averages = Path(results, "tables", "averages.csv")
    if not averages.is_file():
        return f"Done. What was asked for is in {results}."
    with averages.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if float(row["fraction"]) == fraction]
    lines = [f"Done. Tables are in {results}/tables, figures in {results}/figures."]
    for collection in sorted({row["collection"] for row in rows}):
        mine = [row for row in rows if row["collection"] == collection and row["r2_median"]]
        mine.sort(key=lambda row: -float(row["r2_median"]))
        sets = mine[0]["datasets"] if mine else "0"
        lines.append(
            f"{collection}: R² at {100 * fraction:g} % of the curve, median over {sets} data sets"
        )
        lines += [f"  {row['model']:<18} {float(row['r2_median']):6.3f}" for row in mine[:best]]
    missing = ", ".join(left_out)
    lines += [f"LEFT OUT: {missing}"] if missing else []
    report = Path(results, "report.html")
    return "\n".join([*lines, f"Report: {report}"] if report.is_file() else lines)
