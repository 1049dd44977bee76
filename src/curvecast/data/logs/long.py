"""A long table: a row per run and epoch, CSV, JSON lines or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from curvecast.data.cells import kind_of, read_table
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import floats, whole

GENERAL = True
_RUNS = (RUN, "run_id", "run_name", "trial", "trial_id", "config_id", "experiment", "name", "id")
_EPOCHS = (
    *(EPOCH, "step", "iteration", "iter", "training_iteration", "global_step", "budget"),
    *("tokens", "n_samples", "train_size"),
)


def recognises(path: Path) -> bool:
    """Whether the file is such a table."""
    return path.is_file() and bool(kind_of(path)) and suits(read_table(path))


def suits(table: pd.DataFrame) -> bool:
    """Whether a column names runs and one counts epochs."""
    columns = list(table.columns)
    return _first(_RUNS, columns) is not None and _first(_EPOCHS, columns) is not None


def _first(names: Sequence[str], columns: Sequence[str]) -> str | None:
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), None)


def read(path: Path) -> Log:
    """Read the file."""
    return of(read_table(path), path)


def of(table: pd.DataFrame, path: Path) -> Log:
    """Columns that are constant in every run are settings, others metrics."""
    run, epoch = (str(_first(names, list(table.columns))) for names in (_RUNS, _EPOCHS))
    names = table[run].astype(str).str.strip()
    rows = {RUN: names, EPOCH: whole(table[epoch], path)}
    longest = names.value_counts().max()
    settings, notes = {}, [f"column {run} names the runs, {epoch} counts the epochs"]
    for column in table:
        if column in (run, epoch):
            continue
        cells = table[column]
        values = floats(cells)
        if longest > 1 and cells.astype(str).groupby(names).nunique().max() == 1:
            settings[column] = cells.groupby(names, sort=False).first()
        elif values is not None:
            rows[str(column)] = values
        else:
            notes.append(f"column {column} is text that changes within a run: left out")
    return Log("long table", pd.DataFrame(rows), pd.DataFrame(settings), notes=tuple(notes))
