"""hpbandster: `configs.json` and `results.json` of a study, a value per evaluation and budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.data.cells import flat
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import lines_of, table_of
from curvecast.files import DataError

_PARTS = 100


def recognises(path: Path) -> bool:
    """Whether the folder has both files."""
    return (path / "configs.json").is_file() and (path / "results.json").is_file()


def read(path: Path) -> Log:
    """Read the study; a failed evaluation ends its configuration, which keeps earlier values."""
    settings = {_name(i): flat(config) for i, config, *_ in _lines(path / "configs.json")}
    rows, ended = [], set()
    for config, budget, _, result, _ in _lines(path / "results.json"):
        run = _name(config)
        loss = None if result is None else result["loss"]
        if loss is None:
            ended.add(run)
        value = np.nan if loss is None else np.inf if loss != loss else float(loss)
        rows.append({RUN: run, EPOCH: float(budget), "loss": value})
    table, notes = pd.DataFrame(rows, columns=[RUN, EPOCH, "loss"]), []
    budgets = table[EPOCH].to_numpy()
    if np.any(budgets != np.round(budgets)):
        budgets = budgets * _PARTS
        notes.append(f"budgets are not whole numbers: epochs are 1/{_PARTS} of a budget")
    table[EPOCH] = np.round(budgets).astype(np.int64)
    return Log("hpbandster", table, table_of(settings), ended=frozenset(ended), notes=tuple(notes))


def _name(identity: list[int]) -> str:
    return "-".join(map(str, identity))


def _lines(file: Path) -> list[Any]:
    out = []
    for number, line in enumerate(lines_of(file), start=1):
        try:
            out.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON ({error.msg})", file=file, row=number) from error
    return out
