"""Ray Tune: `result.json` of each trial, its settings in `params.json` or in the results."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from curvecast.data.cells import header_of, read_table
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import joined, metrics_in, run_files, settings_of, table_of, whole
from curvecast.files import DataError

_AT = "training_iteration"
_KINDS = {"result.json": ".jsonl", "progress.csv": ".csv"}
_NO_METRIC = re.compile(
    r"training_iteration|time(stamp|_.*|steps_.*)?|pid|done|date|hostname|node_ip|trial_id"
    r"|iterations_since_restore|episodes_total|experiment_.*|warmup_time|config[./].*"
    r"|should_checkpoint|checkpoint_dir_name"
)


def recognises(path: Path) -> bool:
    """Whether a trial's `result.json` or `progress.csv` counts `training_iteration`."""
    return any(_AT in header_of(file) for file in _files(path).values())


def _files(path: Path) -> dict[str, Path]:
    return next(filter(None, (run_files(path, name) for name in _KINDS)), {})


def read(path: Path) -> Log:
    """Read the trials; a trial whose last result is `done` before its last epoch has ended."""
    parts, notes, settings, ended = [], [], {}, set()
    for run, file in _files(path).items():
        table = read_table(file, growing=True, kind=_KINDS[file.name])
        if not len(table):
            notes.append(f"{run}: {file.name} has no row yet, the trial is left out")
            continue
        if _AT not in table:
            raise DataError("no result counts the epochs", file=file, column=_AT)
        columns = [str(c) for c in table if _NO_METRIC.fullmatch(str(c))]
        metrics = metrics_in(table, columns)
        parts.append(pd.DataFrame({RUN: run, EPOCH: whole(table[_AT], file), **metrics}))
        own = [str(c) for c in table if str(c).startswith(("config.", "config/"))]
        logged = {c[len("config.") :]: table[c].iloc[-1] for c in own}
        settings[run] = settings_of("", file.parent) or logged
        if "done" in table and str(table["done"].iloc[-1]).lower() == "true":
            ended.add(run)
    rows = joined(parts, path)
    return Log("Ray Tune", rows, table_of(settings), ended=frozenset(ended), notes=tuple(notes))
