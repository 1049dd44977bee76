"""Speedup tables for people: Markdown made of the frames of `curvecast.report.tables.speedups`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from curvecast.report.tables.markdown import number, table

_READ = (
    "Speedup: epochs of training everything / epochs used, the first full runs included. Regret: "
    "distance of the best found run to the best of all, in units of the distance from the median "
    "to the best run; recovered: regret at most 0.005. Lost: share of the runs that would have "
    "beaten the best so far and were stopped. Bound: speedup of an oracle that stops every "
    "other run at the first look and loses nothing. Intervals: 95 % of the mean over orderings "
    "(Student's t)."
)
_READ_HYPERBAND = (
    "Speedup: epochs of vanilla Hyperband (rungs resume) / those of f-Hyperband, same draws. "
    "Loss: best final value of vanilla Hyperband minus ours, positive is worse, in units of the "
    "distance from the median to the best run at R epochs. Bound: speedup of an oracle that ends "
    "every run that is not promoted after its first epoch in a rung. Intervals: 95 % of the mean "
    "over repeats (Student's t)."
)


def speedup_sequential(frame: pd.DataFrame, summary: pd.DataFrame, left: pd.DataFrame) -> str:
    """The fixed setting, each collection, published rows beside ours, and every grid.

    `frame`, `summary` and `left` are those of `tables.speedup_sequential`,
    `tables.summary_sequential` and `tables.without_counterpart`.
    """
    return "\n".join(
        [
            "# Speedup of sequential search\n",
            _READ + "\n",
            *_fixed_sequential(frame[frame["default"]]),
            *_summary_sequential(summary),
            *_published(frame, left, "recovered_share"),
            *_grids(frame, ["recovered_share", "regret_mean"]),
        ]
    )


def _fixed_sequential(frame: pd.DataFrame) -> list[str]:
    if not len(frame):
        return []
    shown = pd.DataFrame(
        {
            "data set": frame["dataset"],
            "speedup": _intervals(frame, "speedup"),
            "in seconds": [number(v, 2) for v in frame["speedup_seconds_mean"]],
            "bound": [number(v, 2) for v in frame["oracle_bound"]],
            "recovered": _percents(frame["recovered_share"]),
            "exactly": _percents(frame["exactly_recovered_share"]),
            "regret": [number(v, 4) for v in frame["regret_mean"]],
            "lost": _percents(frame["lost_share"]),
        }
    )
    title = _fixed_title(frame)
    return [title, table(shown)]


def _fixed_title(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    words = f"{first['setting']}, {first['predictor']}, Delta {first['delta']:g}"
    return f"## The fixed setting: {words}\n"


def _summary_sequential(summary: pd.DataFrame) -> list[str]:
    shown = pd.DataFrame(
        {
            "collection": summary["collection"],
            "predictor": summary["predictor"],
            "setting": summary["setting"],
            "Delta": [number(v, 2) for v in summary["delta"]],
            "data sets": summary["datasets"],
            "speedup": [number(v, 2) for v in summary["speedup"]],
            "bound": [number(v, 2) for v in summary["oracle_bound"]],
            "mostly recovered": summary["recovered_datasets"],
            "regret": [number(v, 4) for v in summary["regret_mean"]],
            "largest regret": [number(v, 4) for v in summary["regret_max"]],
            "lost": _percents(summary["lost_share"]),
        }
    )
    note = (
        "Geometric means of speedups and bounds, means of the rest; mostly recovered: data sets on "
        "which more than half of the orderings recovered the best run.\n"
    )
    return ["## Over data sets\n", note, table(shown)]


def speedup_hyperband(frame: pd.DataFrame, summary: pd.DataFrame, left: pd.DataFrame) -> str:
    """The same for Hyperband, with the frames of the functions of that name."""
    return "\n".join(
        [
            "# Speedup of f-Hyperband\n",
            _READ_HYPERBAND + "\n",
            *_fixed_hyperband(frame[frame["default"]]),
            *_summary_hyperband(summary),
            *_published(frame, left, "not_worse"),
            *_grids(frame, ["share_of_bound", "loss_relative_mean"], ["window"]),
        ]
    )


def _fixed_hyperband(frame: pd.DataFrame) -> list[str]:
    if not len(frame):
        return []
    shown = pd.DataFrame(
        {
            "data set": frame["dataset"],
            "R": frame["budget"],
            "Hyperbands": _ranges(frame),
            "speedup": _intervals(frame, "speedup"),
            "in seconds": [number(v, 2) for v in frame["speedup_seconds_mean"]],
            "bound": [number(v, 2) for v in frame["oracle_bound"]],
            "of bound": _percents(frame["share_of_bound"]),
            "loss": [number(v, 4) for v in frame["loss_relative_mean"]],
            "loss in the unit of the metric": [number(v, 5) for v in frame["loss_mean"]],
            "not worse": frame["not_worse"].map({True: "yes", False: "**no**"}),
        }
    )
    title = _fixed_title(frame)
    note = (
        "Not worse: by at most 0.001 of accuracy, or by 0.01 of the distance from the median to "
        "the best run where the metric is a loss.\n"
    )
    return [title, note, table(shown)]


def _ranges(frame: pd.DataFrame) -> list[str]:
    return [f"{a}..{b}" for a, b in zip(frame["first"], frame["last"], strict=True)]


def _summary_hyperband(summary: pd.DataFrame) -> list[str]:
    shown = pd.DataFrame(
        {
            "collection": summary["collection"],
            "predictor": summary["predictor"],
            "setting": summary["setting"],
            "Delta": [number(v, 2) for v in summary["delta"]],
            "Hyperbands": summary["window"],
            "data sets": summary["datasets"],
            "speedup": [number(v, 2) for v in summary["speedup"]],
            "bound": [number(v, 2) for v in summary["oracle_bound"]],
            "of bound": _percents(summary["share_of_bound"]),
            "not worse": summary["not_worse_datasets"],
            "and 60 % of bound": summary["reached_datasets"],
            "loss": [number(v, 4) for v in summary["loss_relative_mean"]],
        }
    )
    note = "Settled: without the first Hyperbands, in which rungs have no predictor yet.\n"
    return ["## Over data sets\n", note, table(shown)]


def _published(frame: pd.DataFrame, left: pd.DataFrame, kept: str) -> list[str]:
    """Published speedups beside ours, and those that have none beside them."""
    parts = ["## Beside published speedups\n"]
    compared = frame[frame["published"].notna()]
    if len(compared):
        ours = compared[kept]
        shares = (
            _percents(ours) if kept == "recovered_share" else ["yes" if v else "no" for v in ours]
        )
        shown = pd.DataFrame(
            {
                "data set": compared["dataset"],
                "predictor": compared["predictor"],
                "setting": compared["setting"],
                **({"Hyperbands": _ranges(compared)} if "window" in compared else {}),
                "Delta": [number(v, 2) for v in compared["delta"]],
                "published": [number(v, 2) for v in compared["published"]],
                "nothing lost": ["yes" if v else "no" for v in compared["published_recovered"]],
                "ours": _intervals(compared, "speedup"),
                "recovered" if kept == "recovered_share" else "not worse": shares,
                "ours / published": [number(v, 2) for v in compared["ratio"]],
                "note": compared["note"],
            }
        )
        parts.append(table(shown))
    if len(left):
        parts += [
            "Published without a counterpart here; a star: the best run was lost, or the final "
            "value was worse.\n",
            _wide(left),
        ]
    return parts if len(parts) > 1 else []


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


def _grids(frame: pd.DataFrame, second: Sequence[str], sections: Sequence[str] = ()) -> list[str]:
    """Per data set, predictors and settings x Delta; a cell holds the speedup and its losses."""
    explained = " / ".join(
        ["speedup", *(c.removesuffix("_mean").replace("_", " ") for c in second)]
    )
    parts = ["## Every setting\n", f"Cells: {explained}.\n"]
    cells = frame.assign(
        cell=[
            " / ".join(
                [
                    number(values[0], 2),
                    *(_second(c, v) for c, v in zip(second, values[1:], strict=True)),
                ]
            )
            for values in frame[["speedup_mean", *second]].itertuples(index=False)
        ],
        column=["no Delta" if np.isnan(d) else f"Delta {d:g}" for d in frame["delta"]],
    )
    for keys, part in cells.groupby(["dataset", *sections], sort=True):
        wide = part.pivot(index=["predictor", "setting"], columns="column", values="cell")
        parts.append(f"### {', '.join(map(str, keys))}\n\n" + table(wide.fillna("").reset_index()))
    return parts


def _second(column: str, value: float | bool) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return f"{100 * float(value):.0f} %" if "share" in column else number(float(value), 3)


def timings(frame: pd.DataFrame) -> str:
    """Seconds of fitting and asking predictors."""
    shown = frame.assign(
        **{c: [number(v, 1) for v in frame[c]] for c in ("fit_seconds", "ask_seconds", "seconds")}
    )
    note = "On one core, summed over all orderings or repeats.\n"
    return "\n".join(["# Seconds of early stopping\n", note, table(shown)])


def _intervals(frame: pd.DataFrame, name: str) -> list[str]:
    return [
        number(mean, 2) + ("" if np.isnan(low) else f" [{number(low, 2)}, {number(high, 2)}]")
        for mean, low, high in zip(
            frame[f"{name}_mean"], frame[f"{name}_low"], frame[f"{name}_high"], strict=True
        )
    ]


def _percents(shares: pd.Series) -> list[str]:
    return ["" if np.isnan(v) else f"{100 * v:.0f} %" for v in shares]
