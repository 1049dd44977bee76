"""MLflow: its file store (`mlruns/`) or its SQLite database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import lines_of, table_of, trained, unique
from curvecast.data.logs._restarts import row_per_epoch
from curvecast.data.logs._sqlite import is_sqlite, opened, tables
from curvecast.files import DataError, read_text, read_yaml

_ENDED = ("FINISHED", "FAILED", "KILLED", 3, 4, 5)
_NEEDED = {"runs", "metrics", "params"}


def recognises(path: Path) -> bool:
    """Whether there are runs with `metrics/` and `params/`, or the tables of a database."""
    database = _database(path)
    if database.is_file():
        return is_sqlite(database) and tables(database) >= _NEEDED
    return any(_run_folders(path))


def _database(path: Path) -> Path:
    """The database: the path itself, or the one of this usual name in the folder."""
    return path / "mlflow.db" if path.is_dir() else path


def _run_folders(path: Path) -> list[Path]:
    metas = (path.glob(f"{'*/' * depth}meta.yaml") for depth in range(4))
    return sorted(m.parent for some in metas for m in some if (m.parent / "metrics").is_dir())


def read(path: Path) -> Log:
    """Read all runs that were not deleted; a run without steps has no curve and is left out."""
    file = _database(path)
    entries, settings, states = _of_database(file) if file.is_file() else _of_folders(path)
    if not entries:
        raise DataError("no run has logged a metric", file=path)
    table = pd.DataFrame(entries, columns=[RUN, EPOCH, "metric", "value"])
    lengths = table.groupby("metric")[EPOCH].nunique()
    table = table[table["metric"].map(lengths) > 1]
    if not len(table):
        raise DataError("no metric was logged at more than one step", file=path)
    rows, notes = row_per_epoch(table, RUN, EPOCH)
    rows[EPOCH] = trained(rows[EPOCH].to_numpy())
    ended = frozenset(run for run, state in states.items() if state in _ENDED)
    return Log("MLflow", rows, table_of(settings), ended=ended, notes=notes)


def _of_database(path: Path) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    with opened(path) as database:
        runs = database.execute(
            "select run_uuid, coalesce(name, run_uuid), status from runs "
            "where lifecycle_stage = 'active' order by start_time"
        ).fetchall()
        metrics = database.execute(
            "select run_uuid, step, key, case when is_nan then null else value end "
            "from metrics order by timestamp"
        ).fetchall()
        params = database.execute("select run_uuid, key, value from params").fetchall()
    names = unique({key: name for key, name, _ in runs})
    settings: dict[str, dict[str, Any]] = {name: {} for name in names.values()}
    for key, name, value in params:
        if key in names:
            settings[names[key]][name] = value
    entries = [(names[key], *rest) for key, *rest in metrics if key in names]
    return entries, settings, {names[key]: state for key, _, state in runs}


def _of_folders(path: Path) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    metas = {f: read_yaml(f / "meta.yaml") or {} for f in _run_folders(path)}
    active = {f: meta for f, meta in metas.items() if meta.get("lifecycle_stage") != "deleted"}
    names = unique({str(f): str(meta.get("run_name") or f.name) for f, meta in active.items()})
    entries, settings, states = [], {}, {}
    for folder, meta in active.items():
        run = names[str(folder)]
        states[run] = meta.get("status")
        settings[run] = {name: read_text(p) for name, p in _files(folder / "params").items()}
        for metric, file in _files(folder / "metrics").items():
            for number, line in enumerate(lines_of(file), start=1):
                try:
                    _, value, step = line.split()[:3]
                    entries.append((run, int(step), metric, float(value)))
                except ValueError as error:
                    raise DataError("not `time value step`", file=file, row=number) from error
    return entries, settings, states


def _files(folder: Path) -> dict[str, Path]:
    """The files below a folder by their path in it, which is the name of a metric or a setting."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file for file in files}
