"""The speedup tables: what the searches of all data sets save, beside what they lose by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import collection_of
from curvecast.protocol import seed_from
from curvecast.report.tables import published_speedups
from curvecast.report.tables.markdown import Columns, Table, document, show, table
from curvecast.stopping.frames import KEYS

READERS = {"published": lambda files: Path(files[0]).parent}
# A search loses nothing that counts up to this much: of accuracy, or of the distance between the
# median and the best run where the metric is a loss.
_NOT_WORSE = {"maximize": ("loss_mean", 0.001), "minimize": ("loss_relative_mean", 0.01)}
_SPEEDUP = ("speedup", "speedup_low", "speedup_high")
_RESAMPLES = 2000


def speedup_tables(name: str, outcomes: pd.DataFrame, published: Path) -> dict[str, Table]:
    """Speedup and loss of the searches of one kind, and the same over data sets.

    `name` is "speedup_sequential" or "speedup_hyperband", `published` the folder of resources.
    """
    search = name.removeprefix("speedup_")
    ours = {"sequential": speedup_sequential, "hyperband": speedup_hyperband}[search](outcomes)
    frame = published_speedups.add(ours, published_speedups.load(published, search), search)
    summary = over_data_sets(frame)
    return {name: (frame, text(search, frame, summary)), f"{name}_summary": (summary, "")}


def stopping_timings_tables(timings: pd.DataFrame) -> dict[str, Table]:
    """Seconds of fitting and asking the predictors per data set, predictor and search."""
    groups = timings.groupby(["dataset", "predictor", "search"], sort=True)
    sums = groups[["fits", "fit_seconds", "ask_seconds"]].sum()
    frame = sums.assign(seconds=sums["fit_seconds"] + sums["ask_seconds"]).reset_index()
    note = "On one core, summed over all orderings or repeats."
    return {"stopping_timings": (frame, document("Seconds of early stopping", note, table(frame)))}


def ratio_of_sums(
    numerators: pd.Series, denominators: pd.Series | float = 1.0
) -> tuple[float, float, float]:
    """Ratio of sums over the n orderings of a search, and its 95 % interval.

    The interval is that of the percentile bootstrap: orderings are drawn with replacement, the same
    draws for all searches of n orderings (Efron and Tibshirani 1993, section 13.3). NaN bounds for
    one ordering.
    """
    pairs = np.array([numerators, np.broadcast_to(denominators, len(numerators))], dtype=float)
    n = pairs.shape[1]
    rng = np.random.default_rng(seed_from("orderings", n))
    drawn = pairs[:, rng.integers(n, size=(_RESAMPLES, n))].sum(axis=2)
    low, high = np.quantile(drawn[0] / drawn[1], [0.025, 0.975]) if n > 1 else (np.nan, np.nan)
    return float(pairs[0].sum() / pairs[1].sum()), float(low), float(high)


def _speedups(group: pd.DataFrame) -> dict[str, float]:
    everything = group["speedup"] * group["epochs"]
    seconds = group["speedup_seconds"] * group["seconds"]
    return {
        **dict(zip(_SPEEDUP, ratio_of_sums(everything, group["epochs"]), strict=True)),
        "speedup_seconds": ratio_of_sums(seconds, group["seconds"])[0],
        "oracle_bound": ratio_of_sums(everything, everything / group["oracle_speedup"])[0],
    }


def speedup_sequential(outcomes: pd.DataFrame) -> pd.DataFrame:
    """One row per data set, predictor, setting and Delta of the frames `outcomes`.

    Columns: the keys, `default` (the fixed setting), `orderings`, `speedup` (ratio of sums) with
    `speedup_low` and `speedup_high`, `speedup_seconds`, `oracle_bound` (of the oracle that loses
    nothing, after as many full runs), `recovered` and `exactly_recovered` (numbers of orderings),
    `recovered_share`, `regret_mean`, `regret_low`, `regret_high`, `beating`, `lost_share`.
    """
    keys = [*KEYS, "default"]
    rows = []
    for key, group in outcomes.groupby(keys, sort=True, dropna=False):
        beating = int(group["beating"].sum())
        row = dict(zip(keys, key, strict=True)) | {"orderings": len(group), **_speedups(group)}
        row |= {
            "recovered": int(group["recovered"].sum()),
            "exactly_recovered": int(group["exactly"].sum()),
            "recovered_share": float(group["recovered"].mean()),
        }
        names = ("regret_mean", "regret_low", "regret_high")
        row |= dict(zip(names, ratio_of_sums(group["regret"]), strict=True))
        lost = float(group["lost"].sum()) / beating if beating else float("nan")
        rows.append(row | {"beating": beating, "lost_share": lost})
    return pd.DataFrame(rows)


def speedup_hyperband(outcomes: pd.DataFrame) -> pd.DataFrame:
    """One row per data set, predictor, setting, Delta and window.

    Columns: the keys, `window`, `first` and `last` Hyperband of it, `default`, `budget` (R),
    `repeats`, `speedup` (ratio of sums) with `speedup_low` and `speedup_high`, `speedup_seconds`,
    `oracle_bound`, `loss_mean` (unit of the metric, positive is worse than vanilla Hyperband),
    `loss_relative_mean`, `loss_relative_high` (unit: distance between median and best run),
    `not_worse` (by at most .001 of accuracy, or .01 of that distance where smaller is better) and
    `share_of_bound`.
    """
    rows = []
    keys = [*KEYS, "window", "first", "last", "default", "budget"]
    for key, group in outcomes.groupby(keys, sort=True):
        loss = ratio_of_sums(group["loss_relative"])
        row: dict[str, Any] = {
            **dict(zip(keys, key, strict=True)),
            **{"repeats": len(group), **_speedups(group)},
            "loss_mean": group["loss"].mean(),
            "loss_relative_mean": loss[0],
            "loss_relative_high": loss[2],
        }
        column, limit = _NOT_WORSE[str(group["direction"].iloc[0])]
        row |= {"not_worse": bool(row[column] <= limit)}
        rows.append({**row, "share_of_bound": row["speedup"] / row["oracle_bound"]})
    return pd.DataFrame(rows)


def over_data_sets(frame: pd.DataFrame) -> pd.DataFrame:
    """Over the data sets of each collection, from the rows of one of the two functions above.

    Columns: `collection, predictor, setting, delta, default`, for Hyperband `window`, then
    `datasets, speedup` (geometric mean) and `oracle_bound` (the same). Sequential search:
    `recovered_datasets` (in more than half of the orderings), `regret_mean`, `regret_max` and
    `lost_share` (mean over data sets where any run could be lost); settings that are named after
    the length of the curves (patience) go together. Hyperband: `share_of_bound` (mean),
    `not_worse_datasets`, `reached_datasets` (not worse, with at least 60 % of the bound) and
    `loss_relative_mean`.
    """
    patience = frame["predictor"] == "patience"
    frame = frame.assign(
        collection=frame["dataset"].map(collection_of),
        setting=frame["setting"].where(~patience, "a tenth of the epochs"),
    )
    keys = ["collection", "predictor", "setting", "delta", "default"]
    columns: dict[str, tuple[str, Any]] = {
        "datasets": ("dataset", "size"),
        "speedup": ("speedup", _geometric_mean),
        "oracle_bound": ("oracle_bound", _geometric_mean),
    }
    if "window" in frame:
        keys.append("window")
        frame["reached"] = frame["not_worse"] & (frame["share_of_bound"] >= 0.6)
        columns |= {
            "share_of_bound": ("share_of_bound", "mean"),
            "not_worse_datasets": ("not_worse", "sum"),
            "reached_datasets": ("reached", "sum"),
            "loss_relative_mean": ("loss_relative_mean", "mean"),
        }
    else:
        frame["most"] = 2 * frame["recovered"] > frame["orderings"]
        columns |= {
            "recovered_datasets": ("most", "sum"),
            "regret_mean": ("regret_mean", "mean"),
            "regret_max": ("regret_mean", "max"),
            "lost_share": ("lost_share", "mean"),
        }
    return frame.groupby(keys, dropna=False).agg(**columns).reset_index()


def _geometric_mean(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))


# Per search: title and note of the document, and of its rows the columns that say what was lost.
_DOCUMENTS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "sequential": (
        "Speedup of sequential search",
        "Speedup: epochs of training everything / epochs used, the first full runs included, both "
        "summed over orderings. "
        "Regret: distance of the best run of the search to the best of all, in units of the "
        "distance from the median to the best run; recovered: orderings with a regret of at most "
        "0.005. Lost: share of "
        "the runs that would have beaten the best so far and were stopped. Bound: speedup of an "
        "oracle that stops every other run at the first decision epoch and loses nothing. "
        "Intervals: 95 %, by resampling orderings. Over data sets: geometric means "
        "of speedups and bounds, means of the rest; recovered_datasets: those on which more than "
        "half of the orderings recovered the best run.",
        ("recovered_share", "regret_mean"),
        ("orderings", "recovered", "exactly_recovered", "lost_share"),
    ),
    "hyperband": (
        "Speedup of f-Hyperband",
        "Speedup: epochs of vanilla Hyperband (rungs resume) / those of f-Hyperband, same draws, "
        "both summed over repeats. "
        "Loss: best final value of vanilla Hyperband minus ours, positive is worse, relative in "
        "units of the distance from the median to the best run at R epochs. Not worse: by at most "
        "0.001 of accuracy, or by 0.01 of that distance where the metric is a loss. Bound: speedup "
        "of an oracle that ends every run that is not promoted after its first epoch in a rung. "
        "Intervals: 95 %, by resampling repeats. Over data sets: geometric means "
        "of speedups and bounds, means of the rest; reached_datasets: not worse, with 60 % of the "
        "bound. Settled: without the first Hyperbands, in which rungs have no predictor yet.",
        ("share_of_bound", "loss_relative_mean"),
        ("loss_mean", "not_worse"),
    ),
}


def text(search: str, frame: pd.DataFrame, summary: pd.DataFrame) -> str:
    """The fixed setting, each collection, published rows beside ours, and every setting.

    `frame` is that of `published_speedups.add`.
    """
    title, note, losses, further = _DOCUMENTS[search]
    place = [name for name in ("budget", "window", "first", "last") if name in frame]
    parts = []
    fixed = frame[frame["default"]]
    if len(fixed):
        first = fixed.iloc[0]
        name = f"{first['setting']}, {first['predictor']}, Delta {first['delta']:g}"
        columns: Columns = {
            **{name: name for name in ("dataset", *place)},
            "speedup": _SPEEDUP,
            **{name: name for name in ("speedup_seconds", "oracle_bound", *losses, *further)},
        }
        parts.append(f"## The fixed setting: {name}\n\n{table(fixed, columns)}")
    parts.append(f"## Over data sets\n\n{table(summary)}")
    compared = frame[frame["published"].notna()]
    if len(compared):
        columns = {
            **{name: name for name in ("dataset", "predictor", "setting", "delta", *place)},
            **{"published": "published", "nothing lost": "published_recovered"},
            **{"ours": _SPEEDUP, **{name: name for name in losses}},
            **{"ours / published": "ratio", "note": "note"},
        }
        parts.append(f"## Beside published speedups\n\n{table(compared, columns)}")
    cells = f"Cells: {' / '.join(('speedup', *losses))}."
    parts.append(f"## Every setting\n\n{cells}\n\n{_every_setting(frame, place, losses)}")
    return document(title, note, *parts)


def _every_setting(frame: pd.DataFrame, place: list[str], losses: tuple[str, ...]) -> str:
    """A column per Delta with the speedup and what was lost by it."""
    cell = [
        " / ".join(show(row, name) for name in ("speedup", *losses))
        for row in frame.to_dict("records")
    ]
    index = ["dataset", *place, "predictor", "setting"]
    wide = frame.assign(cell=cell).pivot(index=index, columns="delta", values="cell")
    wide.columns = [
        "no Delta" if np.isnan(delta) else f"Delta {delta:g}" for delta in wide.columns.tolist()
    ]
    return table(wide.reset_index())
