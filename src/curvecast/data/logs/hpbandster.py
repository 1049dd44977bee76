"""hpbandster: `configs.json` and `results.json` of a study, a value per evaluation and budget."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from curvecast.data.cells import flat
from curvecast.data.logs import EPOCH, RUN, Log
from curvecast.data.logs._parts import epochs_of_budgets, lines_of, table_of
from curvecast.files import DataError

Item = TypeVar("Item")


def recognises(path: Path) -> bool:
    """Whether the folder has both files."""
    return (path / "configs.json").is_file() and (path / "results.json").is_file()


def read(path: Path) -> Log:
    """Read the study; a failed evaluation ends its configuration, which keeps earlier values."""
    settings = dict(_lines(path / "configs.json", _config))
    rows = _lines(path / "results.json", _result)
    ended = {row[RUN] for row in rows if np.isnan(row["loss"])}
    table = pd.DataFrame(rows, columns=[RUN, EPOCH, "loss"])
    table[EPOCH], notes = epochs_of_budgets(table[EPOCH].to_numpy())
    return Log("hpbandster", table, table_of(settings), ended=frozenset(ended), notes=tuple(notes))


def _name(identity: list[int]) -> str:
    return "-".join(map(str, identity))


def _config(line: Any) -> tuple[str, dict[str, Any]]:
    """A configuration's name and settings."""
    identity, config, *_ = line
    return _name(identity), flat(config)


def _result(line: Any) -> dict[str, Any]:
    """A row of the log: inf is a loss that was logged as NaN, NaN that of a failed evaluation."""
    identity, budget, _, result, _ = line
    loss = None if result is None else result["loss"]
    value = np.nan if loss is None else np.inf if loss != loss else float(loss)
    return {RUN: _name(identity), EPOCH: float(budget), "loss": value}


def _lines(file: Path, read_line: Callable[[Any], Item]) -> list[Item]:
    out = []
    for number, line in enumerate(lines_of(file), start=1):
        try:
            out.append(read_line(json.loads(line)))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise DataError(f"not a line of hpbandster ({error})", file=file, row=number) from error
    return out
