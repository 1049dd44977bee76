"""Reads tasks of TaskSet (Metz et al. 2020, arXiv 2002.11887), in the JSON of DyHPO."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, group_equal_rows
from curvecast.data import stanza as stanzas
from curvecast.files import DataError


class Stanza(stanzas.Stanza):
    """The keys of TaskSet's stanzas.

    `target` is the part (train, valid or test) whose loss is the curve; the other losses become
    series named `{part}_loss`. `columns` names the settings. Those under `one_minus` were drawn
    as 1 - x with x on a log scale and become `hp_one_minus_{column}`; `log` lists columns as they
    are named then. A curve holds the epochs 0 (untrained) to `last_epoch`.
    """

    metric: str
    direction: stanzas.Direction
    columns: stanzas.Names
    one_minus: stanzas.Names = ()
    log: stanzas.Names = ()
    target: str = "valid"
    series: stanzas.Names = ()
    last_epoch: int


def read(name: str, stanza: Stanza, files: Sequence[Path]) -> CurveSet:
    """Read one task: a list of `{hp: {...}, train: {loss: [...]}, valid: ..., test: ...}`.

    NaN (and null) is a value that was not recorded, because the run diverged; finite explosions
    stay as they are.

    Raises
    ------
    DataError : names file, run (from 1) and key where something is missing or no number.
    """
    path = files[0]
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not JSON ({error})", file=path) from error
    if not isinstance(records, list) or not records:
        raise DataError("not a list of runs", file=path)
    epochs = np.arange(stanza.last_epoch + 1)
    settings = _numbers(records, "hp", stanza.columns, path)
    parts = (stanza.target, *stanza.series)
    losses = {p: _numbers(records, p, "loss", path, len(epochs)) for p in parts}
    frame = pd.DataFrame(settings, columns=[f"hp_{c}" for c in stanza.columns])
    for column in stanza.one_minus:
        frame[f"hp_{column}"] = 1 - frame[f"hp_{column}"]
    frame = frame.rename(columns={f"hp_{c}": f"hp_one_minus_{c}" for c in stanza.one_minus})
    identity = {"id": [str(i) for i in range(len(frame))], "group": group_equal_rows(frame)}
    return CurveSet(
        configs=pd.concat([pd.DataFrame(identity), frame], axis=1),
        values=losses[stanza.target],
        epochs=epochs,
        metric=stanza.metric,
        direction=stanza.direction,
        name=name,
        source=stanza.citation,
        log_columns=tuple(f"hp_{column}" for column in stanza.log),
        series={f"{part}_loss": losses[part] for part in stanza.series},
    )


def _numbers(
    records: Sequence[Any], part: str, key: str | Sequence[str], path: Path, length: int = 1
) -> np.ndarray:
    """The values under `part` of every run, shape (n_runs, n); null is NaN.

    `key` names one list of `length` numbers, or several single numbers.
    """
    rows = []
    for run, record in enumerate(records, start=1):
        held = record.get(part) if isinstance(record, dict) else None
        if not isinstance(held, dict):
            raise DataError("the run lacks this", file=path, row=run, column=part)
        row = held.get(key) if isinstance(key, str) else [held.get(column) for column in key]
        names = [f"{part}/{key}"] * length if isinstance(key, str) else [f"{part}/{c}" for c in key]
        if not isinstance(row, list) or len(row) != len(names):
            problem = f"not a list of {length} values"
            raise DataError(problem, file=path, row=run, column=names[0])
        for value, name in zip(row, names, strict=True):
            missing = value is None and isinstance(key, str)
            if not missing and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise DataError(f"{value!r} is not a number", file=path, row=run, column=name)
        rows.append(row)
    return np.array(rows, dtype=np.float64)
