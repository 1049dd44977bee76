"""One table per run, a row per epoch: CSVLogger of Lightning and Keras, Ultralytics, JSON lines.

A run may have a table for each part of its data: `train.csv` and `val.csv`. DVCLive has one per
metric, `plots/metrics/val/acc.tsv`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast.data.cells import header_of, kind_of, read_table
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import (
    EPOCHS,
    PARTS,
    epochs_in,
    first_of,
    joined,
    metrics_in,
    no_metric,
    run_files,
    settings_of,
    spread,
    table_of,
    trained,
    whole,
)

GENERAL = True
_TOOLS = {
    "metrics.csv": "Lightning",
    "results.csv": "Ultralytics",
    "scalars.json": "MMEngine",
    "metrics.json": "Detectron2",
}
_STEPS = ("total_steps", "max_steps")  # a column that plans how many there will be
_PART = re.compile(rf"(?<![a-z])({'|'.join(PARTS)})(?![a-z\d])", re.I)
_PATTERNS = (*_TOOLS, "*.csv", "*.log", "*.tsv", "*.jsonl")


def recognises(path: Path) -> bool:
    """Whether the files have a column that counts epochs or steps and none that names runs."""
    if path.is_file() and not kind_of(path) and path.name not in _TOOLS:
        return False
    return bool(_files(path)[1])


def _counts(file: Path) -> bool:
    """Whether a table has a column that counts epochs or steps and none that names runs."""
    columns = header_of(file)
    return RUN not in columns and first_of(EPOCHS, columns) is not None


def _table(file: Path) -> pd.DataFrame:
    """The table of a run; a file *.json holds an object per line."""
    return read_table(file, growing=True, kind=".jsonl" if file.suffix == ".json" else "")


def _files(path: Path) -> tuple[str, dict[str, Path]]:
    """The tool, and the file of each run, if one of them counts epochs."""
    for pattern in (path.name,) if path.is_file() else _PATTERNS:
        files = run_files(path, pattern)
        if any(map(_counts, files.values())):
            return _TOOLS.get(pattern, "one table per run"), files
    return "", {}


def _homes(files: dict[str, Path], path: Path) -> dict[str, tuple[str, str, Path]]:
    """The run of each table, what stands before the names of its metrics, and the run's folder.

    Tables of a folder belong to one run where their names differ by what part of the data they
    are of, and by nothing else.
    """
    alike: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    homes = {}
    for name, file in files.items():
        homes[name] = _of_dvclive(file, path) or (name, "", file.parent)
        folder, _, stem = name.rpartition("/")
        if homes[name][0] == name and (match := _PART.search(stem)):
            rest = stem[: match.start()] + stem[match.end() :]
            alike[folder][rest.strip("-_. ")][match[0].lower()] = name
    for folder, several in alike.items():
        for rest, parts in several.items():
            run = "/".join(filter(None, (folder, rest if len(several) > 1 else ""))) or path.name
            if len(parts) > 1:
                homes |= {n: (run, f"{part}/", files[n].parent) for part, n in parts.items()}
    return homes


def _of_dvclive(file: Path, path: Path) -> tuple[str, str, Path] | None:
    """What `_homes` says of a table below `plots/metrics`, None for another one."""
    for metrics in file.parents:
        if metrics.parts[-2:] == ("plots", "metrics") and metrics.is_relative_to(path):
            folder, group = metrics.parents[1], file.parent.relative_to(metrics).as_posix()
            run = "." if path.is_relative_to(folder) else folder.relative_to(path).as_posix()
            before = "" if group == "." else f"{group}/"
            return path.name if run == "." else run, before, folder
    return None


def read(path: Path) -> Log:
    """Read the log; settings are in the folder's name or in a file beside the table."""
    tool, files = _files(path)
    parts, notes, planned = [], [], {}
    tables = {run: spread(_table(file), None) for run, file in files.items()}
    counts = epochs_in(tables.values())
    homes = _homes(files, path)
    if any(_of_dvclive(file, path) for file in files.values()):
        tool = "DVCLive"
    for run, file in files.items():
        table = tables[run]
        at = counts if counts in table else first_of(EPOCHS, list(table.columns))
        if at is None or not len(table):
            why = "has no row yet" if not len(table) else "has no column that counts epochs"
            notes.append(f"{run}: {file.name} {why}, it is left out")
            continue
        # What a validation of MMEngine calls a step is its epoch.
        if tool == "MMEngine" and at == EPOCH and "step" in table:
            table[at] = table[at].fillna(table["step"])
        counted = table[at].notna() & (table[at].astype(str).str.strip() != "")
        if not counted.all():
            notes.append(f"{run}: {(~counted).sum()} rows without {at} were left out")
        table = table[counted]
        plan = first_of(_STEPS, list(table.columns)) if "step" in at.lower() else None
        if plan is not None and len(table):
            planned[homes[run][0]] = int(whole(table[plan].tail(1), file)[0])
        columns = metrics_in(table, [str(name) for name in table if no_metric(str(name))])
        epochs = whole(table[at], file)
        if not columns:
            notes.append(f"{run}: {file.name} has no metric, it is left out")
            continue
        home, before, _ = homes[run]
        named = {before + name: values for name, values in columns.items()}
        parts.append(pd.DataFrame({RUN: home, EPOCH: epochs, **named}))
    rows = joined(parts, path)
    rows[EPOCH] = trained(rows[EPOCH].to_numpy(dtype=np.int64))
    settings = {home: settings_of(home, folder) for home, _, folder in homes.values()}
    return Log(tool, rows, table_of(settings), planned, notes=tuple(notes))
