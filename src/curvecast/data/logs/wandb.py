"""Weights & Biases: the CSV export of a chart, a row per step and three columns per run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.data.cells import header_of, kind_of, logged, read_table
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import trained, whole
from curvecast.files import DataError

_BOUNDS = ("__MIN", "__MAX")
# Beside every metric where the chart is drawn over another axis than steps.
_COUNTER = "_step"
_RUNS_TABLE = {"Name", "State", "Runtime"}


def recognises(path: Path) -> bool:
    """Whether a table has columns `run - metric` with their bounds, or is a table of runs."""
    if not path.is_file() or not kind_of(path):
        return False
    columns = set(header_of(path))
    return columns >= _RUNS_TABLE or any(f"{column}{_BOUNDS[0]}" in columns for column in columns)


def read(path: Path) -> Log:
    """Read the chart. Raises DataError for a table of runs, which holds no curves."""
    table = read_table(path)
    if set(table.columns) >= _RUNS_TABLE:
        raise DataError(
            "this is a table of runs, without curves: export a chart as CSV and give this table "
            "by --settings",
            file=path,
        )
    step = table.columns[0]
    at = trained(whole(table[step], path))
    parts = []
    for column in map(str, table.columns[1:]):
        if column.endswith(_BOUNDS):
            continue
        run, dash, metric = column.rpartition(" - ")
        if metric == _COUNTER:
            continue
        if not dash:
            raise DataError("not a column `run - metric`", file=path, column=column)
        values = logged(table, [column], path)[:, 0]
        known = ~np.isnan(values)
        parts.append(pd.DataFrame({RUN: run, EPOCH: at[known], metric: values[known]}))
    return Log("Weights & Biases chart", pd.concat(parts, ignore_index=True))
