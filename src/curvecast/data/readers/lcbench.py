"""Reads LCBench (Zimmer, Lindauer and Hutter 2021): npz with one series, or its official JSON."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import pandas as pd
from pydantic import model_validator

from curvecast.curves import CurveSet, group_equal_rows
from curvecast.data import stanza as stanzas
from curvecast.data.columns import prefixed
from curvecast.files import DataError


class Stanza(stanzas.Stanza):
    """The keys of LCBench's stanzas.

    `columns` names the settings in order, `architecture` and `log` some of them. For the JSON,
    `member` is the file in a zip, `dataset` the data set in it, `target` the log that becomes the
    curve and `series` (names, or name to log) further logs. Epochs `first_epoch` to `last_epoch`
    are read; what is logged after them is a second evaluation after the last epoch.
    """

    metric: str
    direction: stanzas.Direction
    columns: stanzas.Names
    architecture: stanzas.Names
    log: stanzas.Names
    first_epoch: int
    last_epoch: int
    dataset: str = ""
    member: str = ""
    target: str = ""
    series: Mapping[str, str] | stanzas.Names = ()

    @property
    def n_epochs(self) -> int:
        """Number of epochs that are read."""
        return self.last_epoch - self.first_epoch + 1

    @property
    def named_series(self) -> dict[str, str]:
        """Name of a series to its log; a log alone is named after its last part."""
        if isinstance(self.series, Mapping):
            return dict(self.series)
        return {log.rpartition("/")[2]: log for log in self.series}

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(self.named_series) < len(self.series):
            raise ValueError("two logs of `series` end alike, name them: {name: log}")
        return self


def read(name: str, stanza: Stanza, files: Sequence[Path]) -> CurveSet:
    """Read one data set of LCBench.

    An `.npz` holds X, shape (n_runs, 7), with the settings, and Y, shape (n_runs, n_epochs). A
    `.json`, or a `.zip` with one, holds all data sets with all logs.

    Raises
    ------
    DataError : names file, run and log (or array) where something is missing or no number.
    """
    path = files[0]
    series: dict[str, np.ndarray] = {}
    if path.suffix == ".npz":
        ids, settings, values = _read_npz(path, stanza)
    else:
        ids, settings, logs = _read_json(path, name, stanza)
        values = logs[stanza.target]
        series = {label: logs[log] for label, log in stanza.named_series.items()}
    labels = {
        column: prefixed("ap_" if column in stanza.architecture else "hp_", column)
        for column in stanza.columns
    }
    frame = pd.DataFrame(settings, columns=list(labels.values()))
    configs = pd.concat(
        [pd.DataFrame({"id": ids, "group": group_equal_rows(frame)}), frame], axis=1
    )
    return CurveSet(
        configs=configs,
        values=values,
        epochs=np.arange(stanza.first_epoch, stanza.last_epoch + 1),
        metric=stanza.metric,
        direction=stanza.direction,
        name=name,
        source=stanza.citation,
        log_columns=tuple(labels[column] for column in stanza.log),
        series=series,
    )


def _read_npz(path: Path, stanza: Stanza) -> tuple[list[str], np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise DataError(f"not a complete npz file ({error})", file=path) from error
    for name in ("X", "Y"):
        if name not in arrays:
            raise DataError(f"the file has no array {name!r}", file=path)
    X, Y = arrays["X"], arrays["Y"]
    n_epochs = stanza.n_epochs
    if X.ndim != 2 or X.shape[1] != len(stanza.columns):
        raise DataError(
            f"the shape is {X.shape}, not (runs, {len(stanza.columns)})", file=path, column="X"
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


def _read_json(
    path: Path, name: str, stanza: Stanza
) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """Ids, settings of shape (n_runs, 7) and every wanted log of shape (n_runs, n_epochs).

    The file is streamed: of all that it holds only the wanted numbers stay in memory.
    """
    import ijson

    if not stanza.target:
        raise DataError(f"data set {name!r}: the JSON needs the key 'target', the name of a log")
    dataset = stanza.dataset or name.rpartition("/")[2]
    wanted = list(dict.fromkeys([stanza.target, *stanza.named_series.values()]))
    ids: list[str] = []
    settings: list[list[float]] = []
    logs: dict[str, list[np.ndarray]] = {log: [] for log in wanted}
    try:
        with _opened(path, stanza) as stream:
            for run, record in ijson.kvitems(stream, dataset, use_float=True):
                ids.append(str(run))
                settings.append(_settings(record, stanza.columns, path, run))
                for log in wanted:
                    logs[log].append(_log(record, log, stanza.n_epochs, path, run))
    except (ijson.JSONError, zipfile.BadZipFile, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"not a complete JSON file ({error})", file=path) from error
    if not ids:
        raise DataError(f"the file has no data set {dataset!r}", file=path)
    return ids, np.array(settings), {log: np.array(rows) for log, rows in logs.items()}


@contextmanager
def _opened(path: Path, stanza: Stanza) -> Iterator[IO[bytes]]:
    if path.suffix != ".zip":
        with path.open("rb") as stream:
            yield stream
        return
    member = stanza.member or f"{path.stem}.json"
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.namelist() if Path(entry).name == member]
        if not entries:
            raise DataError(f"the archive has no file {member!r}", file=path)
        with archive.open(entries[0]) as stream:
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
