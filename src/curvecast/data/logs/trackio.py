"""Trackio, the tracker of Hugging Face: the database of a project."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd

from curvecast.data.cells import flat
from curvecast.data.logs import RUN, Log
from curvecast.data.logs._parts import logged_numbers, on_epochs, table_of, unique
from curvecast.data.logs._sqlite import is_sqlite, opened, tables
from curvecast.files import DataError

_NEEDED = {"configs", "metrics"}
_STEP = "_step"


def recognises(path: Path) -> bool:
    """Whether the file, or one of the folder, is the database of a project."""
    return bool(_databases(path))


def _databases(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(path.glob("*.db"))
    return [f for f in files if f.is_file() and is_sqlite(f) and tables(f) >= _NEEDED]


def read(path: Path) -> Log:
    """Read the runs of the one project, on epochs where they are logged, else steps."""
    files = _databases(path)
    if len(files) != 1:
        projects = ", ".join(file.name for file in files)
        raise DataError(f"it holds {len(files)} projects, not one: {projects}", file=path)
    with opened(files[0]) as database:
        database.row_factory = sqlite3.Row
        metrics = [dict(row) for row in database.execute("select * from metrics order by id")]
        configs = [dict(row) for row in database.execute("select * from configs order by id")]
    try:
        entries = [(_key(row), int(row["step"]), json.loads(row["metrics"])) for row in metrics]
        settings = {_key(row): _settings(json.loads(row["config"])) for row in configs}
        names = unique({_key(row): row["run_name"] for row in metrics})
        rows = [
            {**logged_numbers(entry), RUN: names[key], _STEP: step} for key, step, entry in entries
        ]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"not a database of Trackio ({error})", file=files[0]) from error
    table, notes = on_epochs(pd.DataFrame(rows), _STEP, path)
    known = {names[key]: config for key, config in settings.items() if key in names}
    return Log("Trackio", table, table_of(known), notes=notes)


def _key(row: dict[str, Any]) -> str:
    """What tells runs apart: earlier releases have their names alone."""
    return str(row.get("run_id") or row["run_name"])


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """A run's settings without Trackio's own."""
    return flat({name: value for name, value in config.items() if not name.startswith("_")})
