"""Published speedups, and their places beside the speedups of this run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.report.tables.published import NOT_EXPLAINED, read_columns

# The predictor of the published f-Hyperband; its tables do not name it.
_HYPERBAND_PREDICTOR = "nusvr_rbf"
# Differences from published speedups up to this share count as agreement.
_AGREES = 0.1
_KEYS = ("search", "dataset", "method")


def load(folder: str | Path) -> pd.DataFrame:
    """Read `baker2017_thesis_speedups.csv` and `speedup_notes.csv` of resources/published.

    One row per published value: `search`, `dataset`, `method` (predictor and setting, or the
    setting of Hyperband), `delta`, `published`, `published_recovered` and `note` (what is known
    about a difference from ours). Raises DataError for a missing column.
    """
    path = Path(folder, "baker2017_thesis_speedups.csv")
    wide = read_columns(path, (*_KEYS, "not_recovered_or_worse_at"))
    notes = read_columns(Path(folder, "speedup_notes.csv"), (*_KEYS, "delta", "note"))
    rows: list[dict[str, Any]] = []
    for row in wide.to_dict("records"):
        lost = row["not_recovered_or_worse_at"]
        lost_at = set() if pd.isna(lost) else {float(x) for x in str(lost).split()}
        for name, value in row.items():
            if not str(name).startswith("delta_") or pd.isna(value):
                continue
            delta = float(str(name).removeprefix("delta_"))
            cell = {**{key: row[key] for key in _KEYS}, "delta": delta}
            columns = {"published": float(value), "published_recovered": delta not in lost_at}
            rows.append({**cell, **columns, "note": _notes_on(cell, notes)})
    return pd.DataFrame(rows)


def _notes_on(cell: Mapping[str, Any], notes: pd.DataFrame) -> str:
    """Notes whose keys, where they are not empty, are those of the cell."""
    fits = np.ones(len(notes), dtype=bool)
    for key, value in cell.items():
        fits &= (notes[key].isna() | (notes[key] == value)).to_numpy()
    return " ".join(notes.loc[fits, "note"])


def add(table: pd.DataFrame, published: pd.DataFrame | None, search: str) -> pd.DataFrame:
    """`table` (of a `search`) with the columns `published, published_recovered, ratio, note`.

    `ratio` is ours / published. All are empty where nothing was published; `note` is "not
    explained" where the two differ by more than a tenth and nothing is known.
    """
    known = {}
    if published is not None:
        for row in published[published["search"] == search].to_dict("records"):
            known[_key(row["dataset"], row["method"], row["delta"])] = row
    columns = []
    for row in table.to_dict("records"):
        comparable = search != "hyperband" or row["predictor"] == _HYPERBAND_PREDICTOR
        theirs = known.get(_key_of(row, search)) if comparable else None
        if theirs is None:
            columns.append((np.nan, None, np.nan, ""))
            continue
        ratio = row["speedup_mean"] / theirs["published"]
        note = theirs["note"] or (NOT_EXPLAINED if abs(ratio - 1) > _AGREES else "")
        columns.append((theirs["published"], theirs["published_recovered"], ratio, note))
    names = ["published", "published_recovered", "ratio", "note"]
    return pd.concat([table, pd.DataFrame(columns, columns=names, index=table.index)], axis=1)


def without_counterpart(table: pd.DataFrame, published: pd.DataFrame, search: str) -> pd.DataFrame:
    """Published rows of a search that `table` has nothing beside, with the `reason`."""
    here = {_bare(dataset) for dataset in table["dataset"]}
    compared = table[table["published"].notna()].to_dict("records")
    beside = {_key_of(row, search) for row in compared}
    left = published[published["search"] == search]
    keys = zip(left["dataset"], left["method"], left["delta"], strict=True)
    left = left[[_key(*key) not in beside for key in keys]]
    absent = "the data set is not in this run: files not at hand, or not asked for"
    reasons = [
        "predictor, setting or Delta not in this run" if d in here else absent
        for d in left["dataset"]
    ]
    return left.drop(columns=["search", "note"]).assign(reason=reasons)


def _key_of(row: Mapping[Any, Any], search: str) -> tuple[str, str, float]:
    """What the published tables call the predictor and the setting of a row."""
    predictor, setting = row["predictor"], row["setting"]
    if search == "hyperband":
        method = setting.replace("kappa=1", "kappa=1.0")
    else:
        method = predictor if setting == "baker" else f"{predictor} {setting}"
    return _key(row["dataset"], method, row["delta"])


def _key(dataset: str, method: str, delta: float) -> tuple[str, str, float]:
    return _bare(dataset), method, round(float(delta), 4)


def _bare(dataset: str) -> str:
    return dataset.removeprefix("baker/")
