"""A long table: a row per run and epoch, or per metric of these; CSV, JSON lines or Parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curvecast.data.cells import floats, kind_of, read_or_header, read_table
from curvecast.data.logs import EPOCH, RUN, STATES, Log, is_metric
from curvecast.data.logs._parts import (
    EPOCHS,
    epochs_in,
    first_of,
    names_in,
    no_metric,
    spread,
    whole,
)

GENERAL = True
_RUNS = (
    *(RUN, "run_id", "run_name", "run_uuid", "trial", "trial_id", "config_id", "dir_name"),
    *("experiment", "name", "id"),
)

_WITHIN = ("batch", "batch_idx", "batch_id")  # count within an epoch and name no run


def recognises(path: Path) -> bool:
    """Whether the file is such a table."""
    return path.is_file() and bool(kind_of(path)) and suits(read_or_header(path))


def suits(table: pd.DataFrame) -> bool:
    """Whether a column names runs and one counts epochs."""
    table = _by_metric(table)
    return _run(table) is not None and first_of(EPOCHS, list(table.columns)) is not None


def _by_metric(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column per metric."""
    return spread(table, first_of(_RUNS, list(table.columns)))


def _run(table: pd.DataFrame) -> str | None:
    """The column that names the runs: by its name, else the first that tells equal epochs apart.

    Such a column is full, has three rows per value or more, and each epoch once per value; text
    comes before numbers. An `experiment` or the like that is one in all rows names no runs.
    """
    columns = list(table.columns)
    epoch, names = epochs_in([table]), [first_of([name], columns) for name in _RUNS]
    named = next(filter(None, names), None)
    if epoch is None or not table[epoch].duplicated().any():
        return named
    for column in filter(None, names):
        if column.lower() == RUN or table[column].nunique() > 1:
            return column
    others = [c for c in columns if str(c).lower() not in (*EPOCHS, *_WITHIN)]
    numeric = {c: floats(pd.Series(table[c])) is not None for c in others}
    for column in sorted(others, key=numeric.__getitem__):
        cells = table[column].astype(str).str.strip()
        full = 3 * cells.nunique() <= len(cells) and cells.ne("").all()
        if full and not pd.DataFrame({0: cells, 1: table[epoch]}).duplicated().any():
            return str(column)
    return named


def read(path: Path) -> Log:
    """Read the file."""
    return of(read_table(path), path)


def of(table: pd.DataFrame, path: Path) -> Log:
    """Columns that are constant in every run are settings, others metrics; of a state the last.

    Where no number has changed within a run yet, the names of metrics tell them from settings.
    """
    table = _by_metric(table)
    run, epoch = str(_run(table)), str(epochs_in([table]))
    names = names_in(table[run], path)
    rows = {RUN: names, EPOCH: whole(table[epoch], path)}
    settings, notes = {}, [f"column {run} names the runs, {epoch} counts the epochs"]
    columns = [c for c in table if c not in (run, epoch) and str(c).lower() not in STATES]
    numbers = {c: values for c in columns if (values := floats(table[c])) is not None}
    fixed = {c for c in columns if _is_fixed(table[c], names)}
    if fixed >= set(numbers):
        metrics = {c for c in numbers if is_metric(str(c))}
        others = {c for c in numbers if not no_metric(str(c))}
        fixed -= metrics or (set() if names.duplicated().any() else others)
    for column in table:
        if str(column).lower() in STATES:
            settings[column] = table[column].groupby(names, sort=False).last()
        elif column in fixed:
            settings[column] = table[column].groupby(names, sort=False).first()
        elif column in numbers and not no_metric(str(column)):
            rows[str(column)] = numbers[column]
        elif column in columns and column not in numbers:
            notes.append(f"column {column} is text that changes within a run: left out")
    return Log("long table", pd.DataFrame(rows), pd.DataFrame(settings), notes=tuple(notes))


def _is_fixed(cells: pd.Series, names: pd.Series) -> bool:
    """Whether a column has one value per run."""
    return bool(cells.astype(str).groupby(names).nunique(dropna=False).max() == 1)
