"""The speedup tables: what the searches of all data sets save, beside what they lose by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import collection_of
from curvecast.files import read_parquet
from curvecast.report.tables import Inputs, Table, published_speedups
from curvecast.report.tables.markdown import (
    Cell,
    Columns,
    document,
    fixed,
    interval,
    number,
    share,
    table,
    yes_no,
)
from curvecast.stopping.accounting import mean_interval, summarise
from curvecast.stopping.frames import KEYS

# A search loses nothing that counts up to this much: of accuracy, or of the distance between the
# median and the best run where the metric is a loss.
_NOT_WORSE = {"maximize": ("loss_mean", 0.001), "minimize": ("loss_relative_mean", 0.01)}
_SPEEDUP = interval("speedup_mean", "speedup_low", "speedup_high")
_SEARCH: Columns = {"predictor": "predictor", "setting": "setting"}


def speedup_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Speedup and loss of the searches of one kind, and the same over data sets.

    `params`: `name`, "speedup_sequential" or "speedup_hyperband".
    """
    name = params["name"]
    make, sum_up, text = {
        "speedup_sequential": (speedup_sequential, summary_sequential, sequential_text),
        "speedup_hyperband": (speedup_hyperband, summary_hyperband, hyperband_text),
    }[name]
    outcomes = pd.concat([read_parquet(path)[0] for path in inputs["outcomes"]])
    published = published_speedups.load(Path(inputs["published"][0]).parent)
    frame = make(outcomes, published)
    summary = sum_up(frame)
    search = name.removeprefix("speedup_")
    left = published_speedups.without_counterpart(frame, published, search)
    return {name: (frame, text(frame, summary, left)), f"{name}_summary": (summary, "")}


def stopping_timings_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """Seconds of fitting and asking the predictors per data set, predictor and search."""
    together = pd.concat([pd.read_csv(path) for path in inputs["timings"]], ignore_index=True)
    groups = together.groupby(["dataset", "predictor", "search"], sort=True)
    sums = groups[["fits", "fit_seconds", "ask_seconds"]].sum()
    frame = sums.assign(seconds=sums["fit_seconds"] + sums["ask_seconds"]).reset_index()
    columns = {name: fixed(name, 1) if "seconds" in name else name for name in frame}
    note = "On one core, summed over all orderings or repeats."
    return {
        "stopping_timings": (
            frame,
            document("Seconds of early stopping", note, table(frame, columns)),
        )
    }


# The sequential searches


def speedup_sequential(
    outcomes: pd.DataFrame, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per data set, predictor, setting and Delta of the frames `outcomes`.

    Columns: the keys, `default` (the fixed setting), those of `accounting.summarise`,
    `oracle_bound` (mean speedup of the oracle that loses nothing, after as many full runs), and
    those of `published_speedups.add`.
    """
    rows = []
    for keys, group in outcomes.groupby(KEYS, sort=True, dropna=False):
        rows.append(
            {
                **dict(zip(KEYS, keys, strict=True)),
                "default": bool(group["default"].iloc[0]),
                **summarise(group),
                "oracle_bound": group["oracle_speedup"].mean(),
            }
        )
    return published_speedups.add(pd.DataFrame(rows), published, "sequential")


def summary_sequential(frame: pd.DataFrame) -> pd.DataFrame:
    """Over the data sets of each collection, from the rows of `speedup_sequential`.

    Columns: `collection, predictor, setting, delta, default, datasets, speedup` (geometric
    mean), `oracle_bound` (the same), `recovered_datasets` (in more than half of the orderings),
    `regret_mean`, `regret_max` and `lost_share` (mean over data sets where any run could be
    lost). Settings that are named after the length of the curves (patience) go together.
    """
    patience = frame["predictor"] == "patience"
    groups = frame.assign(
        collection=frame["dataset"].map(collection_of),
        setting=frame["setting"].where(~patience, "a tenth of the epochs"),
        most=frame["recovered_share"] > 0.5,
    ).groupby(["collection", "predictor", "setting", "delta", "default"], dropna=False)
    return groups.agg(
        datasets=("dataset", "size"),
        speedup=("speedup_mean", _geometric_mean),
        oracle_bound=("oracle_bound", _geometric_mean),
        recovered_datasets=("most", "sum"),
        regret_mean=("regret_mean", "mean"),
        regret_max=("regret_mean", "max"),
        lost_share=("lost_share", "mean"),
    ).reset_index()


def _geometric_mean(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))


_SEQUENTIAL: Columns = {
    "data set": "dataset",
    "speedup": _SPEEDUP,
    "in seconds": fixed("speedup_seconds_mean", 2),
    "bound": fixed("oracle_bound", 2),
    "recovered": share("recovered_share"),
    "exactly": share("exactly_recovered_share"),
    "regret": fixed("regret_mean", 4),
    "lost": share("lost_share"),
}
_SEQUENTIAL_SUMMARY: Columns = {
    "collection": "collection",
    **_SEARCH,
    "Delta": fixed("delta", 2),
    "data sets": "datasets",
    "speedup": fixed("speedup", 2),
    "bound": fixed("oracle_bound", 2),
    "mostly recovered": "recovered_datasets",
    "regret": fixed("regret_mean", 4),
    "largest regret": fixed("regret_max", 4),
    "lost": share("lost_share"),
}


def sequential_text(frame: pd.DataFrame, summary: pd.DataFrame, left: pd.DataFrame) -> str:
    """The fixed setting, each collection, published rows beside ours, and every setting.

    `frame`, `summary` and `left` are those of `speedup_sequential`, `summary_sequential` and
    `published_speedups.without_counterpart`.
    """
    return document(
        "Speedup of sequential search",
        "Speedup: epochs of training everything / epochs used, the first full runs included. "
        "Regret: distance of the best run of the search to the best of all, in units of the "
        "distance from the median to the best run; recovered: regret at most 0.005. Lost: share of "
        "the runs that would have beaten the best so far and were stopped. Bound: speedup of an "
        "oracle that stops every other run at the first decision epoch and loses nothing. "
        "Intervals: 95 % of the mean over orderings (Student's t).",
        *_fixed_setting(frame, _SEQUENTIAL),
        "## Over data sets\n",
        "Geometric means of speedups and bounds, means of the rest; mostly recovered: data sets on "
        "which more than half of the orderings recovered the best run.\n",
        table(summary, _SEQUENTIAL_SUMMARY),
        *_published(frame, left, {"recovered": share("recovered_share")}),
        *_every_setting(
            frame, {"recovered share": share("recovered_share"), "regret": fixed("regret_mean")}
        ),
    )


# Hyperband


def _hyperbands(row: Mapping[str, Any]) -> str:
    return f"{row['first']}..{row['last']}"


def speedup_hyperband(
    outcomes: pd.DataFrame, published: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per data set, predictor, setting, Delta and window.

    Columns: the keys, `window`, `first` and `last` Hyperband of it, `default`, `budget` (R),
    `repeats`, `speedup_mean`, `speedup_low`, `speedup_high`, `speedup_seconds_mean`,
    `loss_mean` (unit of the metric, positive is worse than vanilla Hyperband),
    `loss_relative_mean`, `loss_relative_high` (unit: distance between median and best run),
    `not_worse` (by at most .001 of accuracy, or .01 of that distance where smaller is better),
    `oracle_bound`, `share_of_bound`, and the columns of `published_speedups.add`.
    """
    rows = []
    columns = [*KEYS, "window", "first", "last", "default", "budget"]
    for keys, group in outcomes.groupby(columns, sort=True):
        speedup = mean_interval(group["speedup"].to_numpy(dtype=np.float64))
        loss = mean_interval(group["loss_relative"].to_numpy(dtype=np.float64))
        bound = float(group["oracle_speedup"].mean())
        row: dict[str, Any] = {
            **dict(zip(columns, keys, strict=True)),
            "repeats": len(group),
            **dict(zip(("speedup_mean", "speedup_low", "speedup_high"), speedup, strict=True)),
            "speedup_seconds_mean": group["speedup_seconds"].mean(),
            "loss_mean": group["loss"].mean(),
            "loss_relative_mean": loss[0],
            "loss_relative_high": loss[2],
        }
        column, limit = _NOT_WORSE[str(group["direction"].iloc[0])]
        row |= {"not_worse": bool(row[column] <= limit), "oracle_bound": bound}
        rows.append({**row, "share_of_bound": speedup[0] / bound})
    return published_speedups.add(pd.DataFrame(rows), published, "hyperband")


def summary_hyperband(frame: pd.DataFrame) -> pd.DataFrame:
    """Over the data sets of each collection, from the rows of `speedup_hyperband`.

    Columns: `collection, predictor, setting, delta, default, window, datasets, speedup`
    (geometric mean), `oracle_bound` (the same), `share_of_bound` (mean), `not_worse_datasets`,
    `reached_datasets` (not worse, with at least 60 % of the bound) and `loss_relative_mean`.
    """
    groups = frame.assign(
        collection=frame["dataset"].map(collection_of),
        reached=frame["not_worse"] & (frame["share_of_bound"] >= 0.6),
    ).groupby(["collection", "predictor", "setting", "delta", "default", "window"])
    return groups.agg(
        datasets=("dataset", "size"),
        speedup=("speedup_mean", _geometric_mean),
        oracle_bound=("oracle_bound", _geometric_mean),
        share_of_bound=("share_of_bound", "mean"),
        not_worse_datasets=("not_worse", "sum"),
        reached_datasets=("reached", "sum"),
        loss_relative_mean=("loss_relative_mean", "mean"),
    ).reset_index()


_HYPERBAND: Columns = {
    "data set": "dataset",
    "R": "budget",
    "Hyperbands": _hyperbands,
    "speedup": _SPEEDUP,
    "in seconds": fixed("speedup_seconds_mean", 2),
    "bound": fixed("oracle_bound", 2),
    "of bound": share("share_of_bound"),
    "loss": fixed("loss_relative_mean", 4),
    "loss in the unit of the metric": fixed("loss_mean", 5),
    "not worse": lambda row: "yes" if row["not_worse"] else "**no**",
}
_HYPERBAND_SUMMARY: Columns = {
    "collection": "collection",
    **_SEARCH,
    "Delta": fixed("delta", 2),
    "Hyperbands": "window",
    "data sets": "datasets",
    "speedup": fixed("speedup", 2),
    "bound": fixed("oracle_bound", 2),
    "of bound": share("share_of_bound"),
    "not worse": "not_worse_datasets",
    "and 60 % of bound": "reached_datasets",
    "loss": fixed("loss_relative_mean", 4),
}


def hyperband_text(frame: pd.DataFrame, summary: pd.DataFrame, left: pd.DataFrame) -> str:
    """As `sequential_text`, with the frames of Hyperband."""
    note = (
        "Not worse: by at most 0.001 of accuracy, or by 0.01 of the distance from the median to "
        "the best run where the metric is a loss.\n"
    )
    return document(
        "Speedup of f-Hyperband",
        "Speedup: epochs of vanilla Hyperband (rungs resume) / those of f-Hyperband, same draws. "
        "Loss: best final value of vanilla Hyperband minus ours, positive is worse, in units of "
        "the distance from the median to the best run at R epochs. Bound: speedup of an oracle "
        "that ends every run that is not promoted after its first epoch in a rung. Intervals: "
        "95 % of the mean over repeats (Student's t).",
        *_fixed_setting(frame, _HYPERBAND, note),
        "## Over data sets\n",
        "Settled: without the first Hyperbands, in which rungs have no predictor yet.\n",
        table(summary, _HYPERBAND_SUMMARY),
        *_published(frame, left, {"not worse": yes_no("not_worse")}),
        *_every_setting(
            frame,
            {
                "share of bound": share("share_of_bound"),
                "loss relative": fixed("loss_relative_mean"),
            },
            ["window"],
        ),
    )


# What both have


def _fixed_setting(frame: pd.DataFrame, columns: Columns, *notes: str) -> list[str]:
    frame = frame[frame["default"]]
    if frame.empty:
        return []
    first = frame.iloc[0]
    name = f"{first['setting']}, {first['predictor']}, Delta {first['delta']:g}"
    return [f"## The fixed setting: {name}\n", *notes, table(frame, columns)]


def _published(frame: pd.DataFrame, left: pd.DataFrame, losses: Columns) -> list[str]:
    """Published speedups beside ours, and those that have none beside them."""
    parts = []
    compared = frame[frame["published"].notna()]
    columns: Columns = {
        "data set": "dataset",
        **_SEARCH,
        **({"Hyperbands": _hyperbands} if "window" in compared else {}),
        "Delta": fixed("delta", 2),
        "published": fixed("published", 2),
        "nothing lost": yes_no("published_recovered"),
        "ours": _SPEEDUP,
        **losses,
        "ours / published": fixed("ratio", 2),
        "note": "note",
    }
    if len(compared):
        parts.append(table(compared, columns))
    if len(left):
        parts += [
            "Published without a counterpart here; a star: the best run was lost, or the final "
            "value was worse.\n",
            _wide(left),
        ]
    return ["## Beside published speedups\n", *parts] if parts else []


def _wide(left: pd.DataFrame) -> str:
    """Published speedups, a column per Delta."""
    cells = left.assign(
        cell=[
            number(value, 2) + ("" if recovered else "*")
            for value, recovered in zip(left["published"], left["published_recovered"], strict=True)
        ],
        column=[f"Delta {delta:g}" for delta in left["delta"]],
    ).rename(columns={"dataset": "data set"})
    keys = ["data set", "method", "reason"]
    wide = cells.pivot(index=keys, columns="column", values="cell").fillna("").reset_index()
    return table(wide[[c for c in wide if c != "reason"] + ["reason"]])


def _every_setting(
    frame: pd.DataFrame, losses: Mapping[str, Cell], sections: Sequence[str] = ()
) -> list[str]:
    """Per data set, predictors and settings x Delta; a cell holds the speedup and its losses."""
    parts = ["## Every setting\n", f"Cells: {' / '.join(['speedup', *losses])}.\n"]
    makers = [fixed("speedup_mean", 2), *losses.values()]
    cells = frame.assign(
        cell=[" / ".join(make(row) for make in makers) for row in frame.to_dict("records")],
        column=["no Delta" if np.isnan(d) else f"Delta {d:g}" for d in frame["delta"]],
    )
    for keys, part in cells.groupby(["dataset", *sections], sort=True):
        wide = part.pivot(index=["predictor", "setting"], columns="column", values="cell")
        parts.append(f"### {', '.join(map(str, keys))}\n\n" + table(wide.fillna("").reset_index()))
    return parts
