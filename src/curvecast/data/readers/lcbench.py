"""LCBench (Zimmer, Lindauer and Hutter 2021): as npz with one series, and its official JSON."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import ijson
import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError, group_equal_rows
from curvecast.data.readers.table import prefixed

REQUIRED = frozenset(
    {"metric", "direction", "columns", "architecture", "log", "first_epoch", "last_epoch"}
)
OPTIONAL = frozenset({"dataset", "member", "target", "series"})


def read(name: str, stanza: Mapping[str, Any], files: Sequence[str | Path]) -> CurveSet:
    """Read one data set of LCBench.

    An `.npz` holds X, shape (n_runs, 7), with the settings named by `columns`, and Y, shape
    (n_runs, n_epochs). A `.json`, or a `.zip` with the file `member`, holds all data sets with all
    logs; of `dataset` the log `target` becomes the curve and those in `series` (names, or name to
    log) further series. Epochs `first_epoch` to `last_epoch` are read; what is logged after them
    is a second evaluation after the last epoch.

    Raises
    ------
    DataError : names file, run and log (or array) where something is missing or no number.
    """
    path = Path(files[0])
    if path.suffix == ".npz":
        ids, settings, logs = _read_npz(path, stanza)
        values, series = logs, {}
    else:
        ids, settings, all_logs = _read_json(path, name, stanza)
        values = all_logs[stanza["target"]]
        series = {label: all_logs[log] for label, log in _series(stanza).items()}
    architecture = stanza["architecture"]
    labels = {
        column: prefixed("ap_" if column in architecture else "hp_", column)
        for column in stanza["columns"]
    }
    frame = pd.DataFrame(settings, columns=list(labels.values()))
    configs = pd.concat(
        [pd.DataFrame({"id": ids, "group": group_equal_rows(frame)}), frame], axis=1
    )
    return CurveSet(
        configs=configs,
        values=values,
        epochs=np.arange(stanza["first_epoch"], stanza["last_epoch"] + 1),
        metric=stanza["metric"],
        direction=stanza["direction"],
        name=name,
        source=str(stanza.get("citation", "")),
        log_columns=tuple(labels[column] for column in stanza["log"]),
        series=series,
    )


def _n_epochs(stanza: Mapping[str, Any]) -> int:
    return int(stanza["last_epoch"]) - int(stanza["first_epoch"]) + 1


def _read_npz(path: Path, stanza: Mapping[str, Any]) -> tuple[list[str], np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise DataError(f"not a complete npz file ({error})", file=path) from error
    for name in ("X", "Y"):
        if name not in arrays:
            raise DataError(f"the file has no array {name!r}", file=path)
    X, Y = arrays["X"], arrays["Y"]
    n_epochs = _n_epochs(stanza)
    if X.ndim != 2 or X.shape[1] != len(stanza["columns"]):
        raise DataError(
            f"the shape is {X.shape}, not (runs, {len(stanza['columns'])})", file=path, column="X"
        )
    if Y.ndim != 2 or len(Y) != len(X) or Y.shape[1] not in (n_epochs, n_epochs + 1):
        raise DataError(
            f"the shape is {Y.shape}, not ({len(X)}, {n_epochs} or {n_epochs + 1})",
            file=path,
            column="Y",
        )
    for column, array in (("X", X), ("Y", Y)):
        if not np.issubdtype(array.dtype, np.number):
            raise DataError(f"the type is {array.dtype}, not numbers", file=path, column=column)
    return [str(i) for i in range(len(X))], X, Y[:, :n_epochs].astype(np.float64)


# --- the official JSON --------------------------------------------------------------------------


def _series(stanza: Mapping[str, Any]) -> dict[str, str]:
    """Name of a series to its log; a log alone is named after its last part."""
    series = stanza.get("series") or {}
    if isinstance(series, Mapping):
        return dict(series)
    return {log.rpartition("/")[2]: log for log in series}


def _read_json(
    path: Path, name: str, stanza: Mapping[str, Any]
) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """Ids, settings of shape (n_runs, 7) and every wanted log of shape (n_runs, n_epochs).

    The file is streamed: of all that it holds only the wanted numbers stay in memory.
    """
    if "target" not in stanza:
        raise DataError(f"data set {name!r}: the JSON needs the key 'target', the name of a log")
    dataset = stanza.get("dataset", name.rpartition("/")[2])
    wanted = list(dict.fromkeys([stanza["target"], *_series(stanza).values()]))
    ids: list[str] = []
    settings: list[list[float]] = []
    logs: dict[str, list[np.ndarray]] = {log: [] for log in wanted}
    try:
        with _opened(path, stanza) as stream:
            for run, record in ijson.kvitems(stream, dataset, use_float=True):
                ids.append(str(run))
                settings.append(_settings(record, stanza["columns"], path, run))
                for log in wanted:
                    logs[log].append(_log(record, log, _n_epochs(stanza), path, run))
    except (ijson.JSONError, zipfile.BadZipFile, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"not a complete JSON file ({error})", file=path) from error
    if not ids:
        raise DataError(f"the file has no data set {dataset!r}", file=path)
    return ids, np.array(settings), {log: np.array(rows) for log, rows in logs.items()}


@contextmanager
def _opened(path: Path, stanza: Mapping[str, Any]) -> Iterator[IO[bytes]]:
    if path.suffix != ".zip":
        with path.open("rb") as stream:
            yield stream
        return
    member = stanza.get("member", f"{path.stem}.json")
    with zipfile.ZipFile(path) as archive:
        found = [entry for entry in archive.namelist() if Path(entry).name == member]
        if not found:
            raise DataError(f"the archive has no file {member!r}", file=path)
        with archive.open(found[0]) as stream:
            yield stream


def _settings(
    record: Mapping[str, Any], columns: Sequence[str], path: Path, run: str
) -> list[float]:
    config = record.get("config", {})
    for column in columns:
        value = config.get(column)
        if isinstance(value, bool) or not isinstance(value, int | float):
            problem = f"{value!r} is not a number" if column in config else "no such setting"
            raise DataError(problem, file=path, row=run, column=f"config/{column}")
    return [float(config[column]) for column in columns]


def _log(record: Mapping[str, Any], log: str, n_epochs: int, path: Path, run: str) -> np.ndarray:
    """One log of one run, shape (n_epochs,); null counts as not observed."""
    logs = record.get("log", {})
    if log not in logs:
        shown = ", ".join(sorted(logs))
        raise DataError(f"the run has no such log, it has {shown}", file=path, row=run, column=log)
    values = logs[log]
    if not isinstance(values, list) or len(values) not in (n_epochs, n_epochs + 1):
        length = len(values) if isinstance(values, list) else 0
        raise DataError(
            f"{length} values, not {n_epochs} or {n_epochs + 1}", file=path, row=run, column=log
        )
    for epoch, value in enumerate(values):
        if isinstance(value, bool | str | list | dict):
            raise DataError(
                f"{value!r} at position {epoch} is not a number", file=path, row=run, column=log
            )
    return np.array(values[:n_epochs], dtype=np.float64)
