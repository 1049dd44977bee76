"""Published speedups, and their places beside the speedups of this run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curvecast.report.tables.published import NOT_EXPLAINED, load_notes, note_of, read_columns

# The predictor of the published f-Hyperband; its tables do not name it.
_HYPERBAND_PREDICTOR = "nusvr_rbf"
# Differences from published speedups up to this share count as agreement.
_AGREES = 0.1
_KEYS = ["search", "dataset", "method"]
_CELL = ["dataset", "method", "delta"]


def load(folder: str | Path, search: str) -> pd.DataFrame:
    """Read `baker2017_thesis_speedups.csv` and `speedup_notes.csv` of resources/published.

    One row per published value of a search: `dataset`, `method` (predictor and setting, or the
    setting of Hyperband), `delta`, `published`, `published_recovered` and `note` (what is known
    about a difference from ours). Raises DataError for a missing column.
    """
    lost = "not_recovered_or_worse_at"
    wide = read_columns(Path(folder, "baker2017_thesis_speedups.csv"), (*_KEYS, lost))
    notes = load_notes(Path(folder, "speedup_notes.csv"), (*_KEYS, "delta"))
    wide = wide[wide["search"] == search]
    deltas = [column for column in wide if str(column).startswith("delta_")]
    rows = wide.melt([*_KEYS, lost], deltas, "delta", "published").dropna(subset="published")
    rows["delta"] = rows["delta"].str.removeprefix("delta_").astype(float)
    lost_at = [[float(x) for x in str(text).split()] for text in rows[lost].fillna("")]
    rows["published_recovered"] = [
        d not in values for d, values in zip(rows["delta"], lost_at, strict=True)
    ]
    rows["note"] = [note_of(row, notes) for row in rows.to_dict("records")]
    return rows.drop(columns=["search", lost])


def add(table: pd.DataFrame, published: pd.DataFrame, search: str) -> pd.DataFrame:
    """`table` (of a `search`) with the columns `published, published_recovered, ratio, note`.

    `ratio` is ours / published. All are empty where nothing was published; `note` is "not
    explained" where the two differ by more than a tenth and nothing is known.
    """
    merged = _keys(table, search).merge(_rounded(published), on=_CELL, how="left")
    ratio = (table["speedup"] / merged["published"]).rename("ratio")
    note = merged["note"].fillna("")
    note = note.mask((note == "") & ((ratio - 1).abs() > _AGREES), NOT_EXPLAINED)
    return pd.concat([table, merged[["published", "published_recovered"]], ratio, note], axis=1)


def _keys(table: pd.DataFrame, search: str) -> pd.DataFrame:
    """What the published tables call data set, predictor and setting of our rows."""
    predictor, setting = table["predictor"], table["setting"]
    if search == "hyperband":
        method = setting.replace("kappa=1", "kappa=1.0").where(predictor == _HYPERBAND_PREDICTOR)
    else:
        method = predictor.where(setting == "baker", predictor + " " + setting)
    dataset = table["dataset"].str.removeprefix("baker/")
    return _rounded(pd.DataFrame({"dataset": dataset, "method": method, "delta": table["delta"]}))


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(delta=frame["delta"].astype(float).round(4))
