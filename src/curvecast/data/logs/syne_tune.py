"""syne-tune: `results.csv.zip` of an experiment."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curvecast.data.cells import header_of, read_table
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import metrics_in, run_files, whole
from curvecast.files import DataError

_FILE = "results.csv*"
_RESOURCES = (EPOCH, "epochs", "resource", "iter", "step")
_SETTING = "config_"


def recognises(path: Path) -> bool:
    """Whether there are results with the columns `trial_id` and `st_...`."""
    return any({"trial_id", "st_decision"} <= set(header_of(file)) for file in _files(path))


def _files(path: Path) -> list[Path]:
    return [f for f in run_files(path, _FILE).values() if f.stat().st_size]


def read(path: Path) -> Log:
    """Read one experiment; trials whose last decision is to stop have ended.

    Raises DataError for a folder of several experiments and where no column counts epochs.
    """
    files = _files(path)
    if len(files) != 1:
        raise DataError(f"there are {len(files)} experiments here, give one of them", file=path)
    table = read_table(files[0])
    at = next((c for c in _RESOURCES if c in table), None)
    if at is None:
        raise DataError(f"no column counts epochs ({', '.join(_RESOURCES)})", file=files[0])
    columns = list(map(str, table.columns))
    settings = [c for c in columns if c.startswith(_SETTING)]
    others = [c for c in columns if c.startswith("st_") or c in ("trial_id", "elapsed_time", at)]
    runs = "trial " + table["trial_id"].astype(str)
    rows = pd.DataFrame({RUN: runs, EPOCH: whole(table[at], files[0])})
    rows = rows.assign(**metrics_in(table, [*settings, *others]))
    first = table[settings].groupby(runs.to_numpy(), sort=False).first()
    stopped = table["st_decision"].groupby(runs).last() == "STOP"
    return Log(
        "syne-tune",
        rows,
        first.rename(columns=lambda name: name[len(_SETTING) :]),
        ended=frozenset(stopped.index[stopped]),
    )
