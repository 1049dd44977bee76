"""SMAC: `runhistory.json` of a multi-fidelity optimisation, a cost per configuration and budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.data.cells import flat
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import epochs_of_budgets, joined, run_files, table_of
from curvecast.files import DataError, read_text

_FILE = "runhistory.json"
# A row of SMAC before 2.2 is a list that begins with these.
_ROW = ("config_id", "instance", "seed", "budget", "cost")


def recognises(path: Path) -> bool:
    """Whether the file has that name, or one below the folder."""
    return bool(run_files(path, _FILE))


def read(path: Path) -> Log:
    """Read the trials with a budget; costs of several seeds or instances are averaged.

    A run is a configuration, `12`, or `NAME/12` where the folder holds several optimisations.
    """
    files = run_files(path, _FILE)
    parts: list[pd.DataFrame] = []
    settings: dict[str, dict[str, Any]] = {}
    for name, file in files.items():
        before = f"{name}/" if len(files) > 1 else ""
        table, configs = _trials(file)
        parts.append(table.assign(**{RUN: before + table[RUN]}))
        settings |= {f"{before}{key}": flat(config) for key, config in configs.items()}
    rows = joined([part for part in parts if len(part)], path)
    epochs, notes = epochs_of_budgets(rows[EPOCH].to_numpy(dtype=np.float64))
    return Log("SMAC", rows.assign(**{EPOCH: epochs}), table_of(settings), notes=tuple(notes))


def _trials(file: Path) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """A row per configuration and budget with the mean cost, and the configurations by name."""
    try:
        content = json.loads(read_text(file))
        trials = [
            trial if isinstance(trial, dict) else dict(zip(_ROW, trial, strict=False))
            for trial in content["data"]
        ]
        rows = [_row(trial) for trial in trials if trial["budget"] is not None]
        configs = {str(key): dict(config) for key, config in content["configs"].items()}
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"not a history of SMAC ({error})", file=file) from error
    table = pd.DataFrame(rows, columns=None if rows else [RUN, EPOCH])
    return table.groupby([RUN, EPOCH], sort=False).mean().reset_index(), configs


def _row(trial: dict[str, Any]) -> dict[str, Any]:
    """A row of the log; several objectives are `cost 1`, `cost 2`, ..."""
    cost = trial["cost"]
    several = enumerate(cost, start=1) if isinstance(cost, list) else ()
    costs = {f"cost {i}": one for i, one in several} or {"cost": cost}
    finite = {k: float(v) if np.isfinite(float(v)) else np.inf for k, v in costs.items()}
    return {RUN: str(int(trial["config_id"])), EPOCH: float(trial["budget"]), **finite}
