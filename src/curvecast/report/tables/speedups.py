"""The speedup tables: what the searches of all data sets saved, beside what they lost for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import DataError, read_parquet
from curvecast.report.tables import Inputs, Table
from curvecast.report.tables import speedups_markdown as markdown
from curvecast.stopping.accounting import Outcome, mean_interval, summarise
from curvecast.stopping.rows import KEYS

# What a published f-Hyperband was made with; its tables do not name it.
PUBLISHED_HYPERBAND = "nusvr_rbf"
# Differences from published speedups up to this share are taken as agreement.
AGREES = 0.1
NOT_EXPLAINED = "not explained"
# A search loses nothing that counts up to this much: of accuracy, or of the distance between the
# median and the best run where the metric is a loss.
NOT_WORSE = {"maximize": ("loss_mean", 0.001), "minimize": ("loss_relative_mean", 0.01)}

Key = tuple[str, str, float]


def speedup_sequential(
    outcomes: pd.DataFrame, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The table `speedup_sequential`: one row per data set, predictor, setting and Delta.

    Parameters
    ----------
    outcomes : rows of `SearchStudy.outcomes` of any searches and data sets.
    published : see `load_published`.

    Returns
    -------
    Frame with the keys, `default` (the fixed setting), the columns of `accounting.summarise`,
    `oracle_bound` (mean speedup of the oracle that loses nothing, after as many full runs),
    `published`, `published_recovered` (empty where nothing was published), `ratio` (ours /
    published) and `note`.
    """
    known = _published(published, "sequential")
    rows = []
    for keys, group in outcomes.groupby(KEYS, sort=True, dropna=False):
        cell: dict[str, Any] = dict(zip(KEYS, keys, strict=True))
        dataset, predictor, setting, delta = cell.values()
        results = [
            Outcome(**{name: row[name] for name in Outcome.__dataclass_fields__})
            for row in group.to_dict("records")
        ]
        key = _key(dataset, _method("sequential", predictor, setting), delta)
        ours = summarise(results)
        rows.append(
            {
                **cell,
                "default": bool(group["default"].iloc[0]),
                **ours,
                "oracle_bound": group["oracle_speedup"].mean(),
                **_beside(known, key, ours["speedup_mean"]),
            }
        )
    return pd.DataFrame(rows)


def speedup_hyperband(
    outcomes: pd.DataFrame, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The table `speedup_hyperband`: one row per data set, predictor, setting, Delta and window.

    Columns: the keys, `window`, `first` and `last` Hyperband of it, `default`, `budget` (R),
    `repeats`, `speedup_mean`, `speedup_low`, `speedup_high`, `speedup_seconds_mean`,
    `loss_mean` (unit of the metric, positive is worse than vanilla Hyperband),
    `loss_relative_mean`, `loss_relative_high` (unit: distance between median and best run),
    `not_worse` (by at most .001 of accuracy, or .01 of that distance where smaller is better),
    `oracle_bound`, `share_of_bound`, `published`, `published_recovered`, `ratio` and `note`.
    """
    known = _published(published, "hyperband")
    rows = []
    columns = [*KEYS, "window", "first", "last", "default", "budget"]
    for keys, group in outcomes.groupby(columns, sort=True):
        cell: dict[str, Any] = dict(zip(columns, keys, strict=True))
        speedup = mean_interval(group["speedup"].to_numpy(dtype=np.float64))
        loss = mean_interval(group["loss_relative"].to_numpy(dtype=np.float64))
        bound = float(group["oracle_speedup"].mean())
        method = _method("hyperband", cell["predictor"], cell["setting"])
        key = _key(cell["dataset"], method, cell["delta"])
        ours: dict[str, Any] = {
            "repeats": len(group),
            "speedup_mean": speedup[0],
            "speedup_low": speedup[1],
            "speedup_high": speedup[2],
            "speedup_seconds_mean": group["speedup_seconds"].mean(),
            "loss_mean": group["loss"].mean(),
            "loss_relative_mean": loss[0],
            "loss_relative_high": loss[2],
        }
        column, limit = NOT_WORSE[str(group["direction"].iloc[0])]
        comparable = known if cell["predictor"] == PUBLISHED_HYPERBAND else {}
        rows.append(
            {
                **cell,
                **ours,
                "not_worse": bool(ours[column] <= limit),
                "oracle_bound": bound,
                "share_of_bound": speedup[0] / bound,
                **_beside(comparable, key, speedup[0]),
            }
        )
    return pd.DataFrame(rows)


def summary_sequential(table: pd.DataFrame) -> pd.DataFrame:
    """Over the data sets of each collection, from the rows of `speedup_sequential`.

    Columns: `collection, predictor, setting, delta, default, datasets, speedup` (geometric
    mean), `oracle_bound` (the same), `recovered_datasets` (in more than half of the orderings),
    `regret_mean`, `regret_max` and `lost_share` (mean over data sets where any run could be
    lost). Settings that are named after the length of the curves (patience) go together.
    """
    frame = table.assign(
        collection=table["dataset"].str.split("/").str[0],
        setting=table["setting"].where(table["predictor"] != "patience", "a tenth of the epochs"),
        log_speedup=np.log(table["speedup_mean"]),
        log_bound=np.log(table["oracle_bound"]),
        most=table["recovered_share"] > 0.5,
    )
    keys = ["collection", "predictor", "setting", "delta", "default"]
    groups = frame.groupby(keys, sort=True, dropna=False)
    return pd.DataFrame(
        {
            "datasets": groups.size(),
            "speedup": np.exp(groups["log_speedup"].mean()),
            "oracle_bound": np.exp(groups["log_bound"].mean()),
            "recovered_datasets": groups["most"].sum(),
            "regret_mean": groups["regret_mean"].mean(),
            "regret_max": groups["regret_mean"].max(),
            "lost_share": groups["lost_share"].mean(),
        }
    ).reset_index()


def summary_hyperband(table: pd.DataFrame) -> pd.DataFrame:
    """Over the data sets of each collection, from the rows of `speedup_hyperband`.

    Columns: `collection, predictor, setting, delta, default, window, datasets, speedup`
    (geometric mean), `oracle_bound` (the same), `share_of_bound` (mean), `not_worse_datasets`,
    `reached_datasets` (not worse, with at least 60 % of the bound) and `loss_relative_mean`.
    """
    frame = table.assign(
        collection=table["dataset"].str.split("/").str[0],
        log_speedup=np.log(table["speedup_mean"]),
        log_bound=np.log(table["oracle_bound"]),
        reached=table["not_worse"] & (table["share_of_bound"] >= 0.6),
    )
    keys = ["collection", "predictor", "setting", "delta", "default", "window"]
    groups = frame.groupby(keys, sort=True)
    return pd.DataFrame(
        {
            "datasets": groups.size(),
            "speedup": np.exp(groups["log_speedup"].mean()),
            "oracle_bound": np.exp(groups["log_bound"].mean()),
            "share_of_bound": groups["share_of_bound"].mean(),
            "not_worse_datasets": groups["not_worse"].sum(),
            "reached_datasets": groups["reached"].sum(),
            "loss_relative_mean": groups["loss_relative_mean"].mean(),
        }
    ).reset_index()


def timings(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Seconds of fitting and asking the predictors per data set, predictor and search."""
    together = pd.concat(list(frames), ignore_index=True)
    groups = together.groupby(["dataset", "predictor", "search"], sort=True)
    sums = groups[["fits", "fit_seconds", "ask_seconds"]].sum()
    return sums.assign(seconds=sums["fit_seconds"] + sums["ask_seconds"]).reset_index()


# Published speedups


def load_published(folder: str | Path) -> pd.DataFrame:
    """Read `baker2017_thesis_speedups.csv` and `speedup_notes.csv` of resources/published.

    Returns
    -------
    One row per published value: `search`, `dataset`, `method` (predictor and setting, or the
    setting of Hyperband), `delta`, `published`, `published_recovered` and `note` (what is known
    about a difference from ours, "" for nothing).

    Raises
    ------
    DataError : a missing column.
    """
    path, notes_path = (
        Path(folder, "baker2017_thesis_speedups.csv"),
        Path(folder, "speedup_notes.csv"),
    )
    wide, notes = pd.read_csv(path), pd.read_csv(notes_path)
    keys = ["search", "dataset", "method"]
    for file, frame, needed in (
        (path, wide, [*keys, "not_recovered_or_worse_at"]),
        (notes_path, notes, [*keys, "delta", "note"]),
    ):
        for column in needed:
            if column not in frame:
                raise DataError("missing column", file=file, column=column)
    rows: list[dict[str, Any]] = []
    for row in wide.to_dict("records"):
        lost = row["not_recovered_or_worse_at"]
        lost_at = set() if pd.isna(lost) else {float(x) for x in str(lost).split()}
        for name, value in row.items():
            if str(name).startswith("delta_") and not pd.isna(value):
                delta = float(str(name).removeprefix("delta_"))
                cell: dict[str, Any] = {key: row[key] for key in keys}
                cell["delta"] = delta
                rows.append(
                    {
                        **cell,
                        "published": float(value),
                        "published_recovered": delta not in lost_at,
                        "note": " ".join(_notes_on(cell, notes)),
                    }
                )
    return pd.DataFrame(rows)


def _notes_on(cell: dict[str, Any], notes: pd.DataFrame) -> list[str]:
    """Notes whose keys, where they are not empty, are those of the cell."""
    fits = np.ones(len(notes), dtype=bool)
    for key, value in cell.items():
        fits &= (notes[key].isna() | (notes[key] == value)).to_numpy()
    return [str(note) for note in notes.loc[fits, "note"]]


def without_counterpart(table: pd.DataFrame, published: pd.DataFrame, search: str) -> pd.DataFrame:
    """Published rows of a search that `table` has nothing beside, with the `reason`."""
    here = set(table["dataset"].map(_bare))
    beside = {
        _key(row["dataset"], _method(search, row["predictor"], row["setting"]), row["delta"])
        for row in table[table["published"].notna()].to_dict("records")
    }
    left = published[published["search"] == search]
    keys = zip(left["dataset"], left["method"], left["delta"], strict=True)
    left = left[[_key(*key) not in beside for key in keys]]
    absent = "the data set is not in this run: files not at hand, or not asked for"
    reasons = [
        "predictor, setting or Delta not in this run" if d in here else absent
        for d in left["dataset"]
    ]
    return left.drop(columns=["search", "note"]).assign(reason=reasons)


def _bare(dataset: str) -> str:
    return dataset.removeprefix("baker/")


def _method(search: str, predictor: str, setting: str) -> str:
    """What the published tables call a predictor and its setting."""
    if search == "hyperband":
        return setting.replace("kappa=1", "kappa=1.0")
    return predictor if setting == "baker" else f"{predictor} {setting}"


def _key(dataset: str, method: str, delta: float) -> Key:
    return _bare(dataset), method, round(float(delta), 4)


def _published(published: pd.DataFrame | None, search: str) -> dict[Key, dict[str, Any]]:
    if published is None:
        return {}
    found: dict[Key, dict[str, Any]] = {}
    for row in published[published["search"] == search].to_dict("records"):
        named = {str(name): value for name, value in row.items()}
        found[_key(named["dataset"], named["method"], named["delta"])] = named
    return found


def _beside(known: dict[Key, dict[str, Any]], key: Key, ours: float) -> dict[str, Any]:
    """The columns that set a published speedup beside ours."""
    if key not in known:
        return {"published": np.nan, "published_recovered": None, "ratio": np.nan, "note": ""}
    row = known[key]
    ratio = ours / row["published"]
    note = row["note"] or (NOT_EXPLAINED if abs(ratio - 1) > AGREES else "")
    kept = {name: row[name] for name in ("published", "published_recovered")}
    return {**kept, "ratio": ratio, "note": note}


def speedup_sequential_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Speedup and regret of the sequential searches, and the same over data sets."""
    outcomes, published = _outcomes(inputs), load_published(Path(inputs["published"][0]).parent)
    frame = speedup_sequential(outcomes, published)
    summary = summary_sequential(frame)
    left = without_counterpart(frame, published, "sequential")
    return {
        "speedup_sequential": (frame, markdown.speedup_sequential(frame, summary, left)),
        "speedup_sequential_summary": (summary, ""),
    }


def speedup_hyperband_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Speedup and loss inside Hyperband, and the same over data sets."""
    outcomes, published = _outcomes(inputs), load_published(Path(inputs["published"][0]).parent)
    frame = speedup_hyperband(outcomes, published)
    summary = summary_hyperband(frame)
    left = without_counterpart(frame, published, "hyperband")
    return {
        "speedup_hyperband": (frame, markdown.speedup_hyperband(frame, summary, left)),
        "speedup_hyperband_summary": (summary, ""),
    }


def _outcomes(inputs: Inputs) -> pd.DataFrame:
    return pd.concat([read_parquet(path)[0] for path in inputs["outcomes"]])


def stopping_timings_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Seconds of the predictors of early stopping."""
    frame = timings(pd.read_csv(path) for path in inputs["timings"])
    return {"stopping_timings": (frame, markdown.timings(frame))}
