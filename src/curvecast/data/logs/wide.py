"""A wide table: a row per run, a column per epoch."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.data.cells import counted, kind_of, logged, read_or_header, read_table
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import names_in
from curvecast.files import DataError

GENERAL = True
_NUMBERED = re.compile(r"(|.*?\D)(\d+)(\D*)")
_LEAST = 4


def recognises(path: Path) -> bool:
    """Whether the file is such a table."""
    return path.is_file() and bool(kind_of(path)) and suits(read_or_header(path))


def suits(table: pd.DataFrame) -> bool:
    """Whether at least four columns differ in one number only."""
    return bool(_curves(table))


def _curves(table: pd.DataFrame) -> dict[str, list[tuple[int, str]]]:
    """Epochs and columns by metric, in order."""
    groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for column in table.columns:
        if match := _NUMBERED.fullmatch(str(column)):
            name = (match[1] + match[3]).strip("_-.:/@ []()") or "value"
            groups[name].append((int(match[2]), str(column)))
    return {name: sorted(at) for name, at in groups.items() if len(at) >= _LEAST}


def read(path: Path) -> Log:
    """Read the file. Raises DataError for text in a curve, and for a run or an epoch twice."""
    return of(read_table(path), path)


def of(table: pd.DataFrame, path: Path) -> Log:
    """Columns that belong to no curve are settings; empty cells, and columns, are to come."""
    curves = _curves(table)
    name = next((c for c in (RUN, "id", "name", "Name", "trial_id") if c in table), None)
    runs = names_in(table[name] if name else pd.Series(table.index, table.index), path)
    for row in runs.index[runs.duplicated()][:1]:
        raise DataError(f"duplicate run {runs[row]!r}", file=path, row=counted(row), column=name)
    parts = []
    for metric, at in curves.items():
        for (epoch, column), (after, second) in pairwise(at):
            if epoch == after:
                problem = f"a second column for epoch {epoch} beside {column}"
                raise DataError(problem, file=path, column=second)
        for epoch, column in at:
            values = logged(table, [column], path)[:, 0]
            written = ~np.isnan(values)
            content = {RUN: runs[written], EPOCH: epoch, metric: values[written]}
            parts.append(pd.DataFrame(content))
    used = {column for at in curves.values() for _, column in at} | {name}
    settings = table[[column for column in table if column not in used]].set_axis(runs, axis=0)
    rows = pd.concat(parts, ignore_index=True)
    shown = ", ".join(f"{m} at {at[0][0]} to {at[-1][0]}" for m, at in curves.items())
    lasts = {at[-1][0] for at in curves.values()}
    ahead = len(lasts) == 1 and max(lasts) > rows[EPOCH].max()
    planned = dict.fromkeys(runs, max(lasts)) if ahead else {}
    return Log("wide table", rows, settings, planned, notes=(f"curves: {shown}",))
