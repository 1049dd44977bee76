"""Tables for people: Markdown made of the frames of `curvecast.report.tables.results`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import collection_of
from curvecast.report.tables.results import COLLECTIONS, FEATURE_ORDER, MODEL_ORDER, in_order

_SE_NOTE = (
    "mean ± standard error over the repeats (standard deviation / √repeats). The repeats draw "
    "their training runs from the same runs and overlap, so this understates the uncertainty; "
    "differences.csv corrects for it."
)
_TAIL_NOTE = (
    "Where the mean lies more than 0.05 below the median, median and minimum follow in brackets."
)


def table(frame: pd.DataFrame) -> str:
    """A Markdown table of the frame's cells as text; pipes in a cell are escaped."""

    def line(cells: Iterable[Any]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    rows = [line(row) for row in frame.itertuples(index=False)]
    return "\n".join([line(frame.columns), line(["---"] * frame.shape[1]), *rows]) + "\n"


def number(value: float, digits: int = 3) -> str:
    """A number for people: fixed digits, three significant ones from 100 on, "" for NaN."""
    if np.isnan(value):
        return ""
    if abs(value) >= 100:
        return f"{value:.3g}"
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def r2(summary: pd.DataFrame) -> str:
    """R² for people: per fraction and collection, data sets × models, the best in bold."""
    return _document(
        "R² by data set and model",
        f"{_SE_NOTE} {_TAIL_NOTE} The best mean of a row is bold.",
        _grids(summary, sections=["fraction"], rows=["dataset"], across="model", bold=True),
    )


def ablation(summary: pd.DataFrame) -> str:
    """R² of the feature blocks: per fraction and model, data sets × blocks."""
    return _document(
        "R² by feature blocks",
        "TS: values and their first and second differences; AP: architecture parameters; HP: "
        f"training hyper-parameters. {_SE_NOTE} {_TAIL_NOTE} The best mean of a row is bold; an "
        "empty cell: the data set has no column of such a block.",
        _grids(
            summary, sections=["fraction", "model"], rows=["dataset"], across="features", bold=True
        ),
    )


def training_size(summary: pd.DataFrame) -> str:
    """R² over the number of training runs: per fraction and data set, models × sizes."""
    return _document(
        "R² by number of training runs",
        f"All sizes of a repeat share their test runs. {_SE_NOTE} {_TAIL_NOTE}",
        _grids(summary, sections=["fraction", "dataset"], rows=["model"], across="n_train"),
    )


def depth(summary: pd.DataFrame) -> str:
    """R² across depths: per fraction, data sets and models × depth limits."""
    return _document(
        "R² across depths",
        "Trained on networks with fewer than d layers, tested on all others. "
        f"{_SE_NOTE} {_TAIL_NOTE}",
        _grids(summary, sections=["fraction"], rows=["dataset", "model"], across="depth"),
    )


def _document(title: str, note: str, sections: Iterable[str]) -> str:
    return "\n".join([f"# {title}\n", note + "\n", *sections])


def _grids(
    summary: pd.DataFrame,
    *,
    sections: list[str],
    rows: list[str],
    across: str,
    bold: bool = False,
) -> list[str]:
    """A heading and a table per combination of `sections`, the collection among them."""
    spread = [
        column
        for column in ("n_train", "features")
        if column not in (*sections, *rows, across) and summary[column].nunique() > 1
    ]
    sections = [*sections, *spread, *(() if "dataset" in sections else ["collection"])]
    frame = summary.assign(
        collection=[COLLECTIONS.get(c, c) for c in map(collection_of, summary["dataset"])],
        cell=[_cell(row) for row in summary.itertuples()],
    )
    columns = _values_in_order(frame, across)
    result = []
    for key, part in _ordered_groups(frame, sections):
        lines = []
        for label, of_row in _ordered_groups(part, rows):
            cells = dict(zip(of_row[across], of_row["cell"], strict=True))
            if bold and of_row["r2_mean"].notna().any():
                best = of_row[across].iloc[int(np.nanargmax(of_row["r2_mean"]))]
                cells[best] = f"**{cells[best]}**"
            lines.append([*label, *(cells.get(column, "") for column in columns)])
        names = [c if across != "depth" else f"d = {c}" for c in columns]
        heading = ", ".join(
            str(value) if name in ("collection", "model", "dataset") else f"{name} {value}"
            for name, value in zip(sections, key, strict=True)
        )
        result.append(f"## {heading}\n\n" + table(pd.DataFrame(lines, columns=[*rows, *names])))
    return result


def _values_in_order(frame: pd.DataFrame, column: str) -> list[Any]:
    if column == "model":
        return in_order(frame[column], MODEL_ORDER)
    if column == "features":
        return in_order(frame[column], FEATURE_ORDER)
    return sorted(set(frame[column]))


def _ordered_groups(
    frame: pd.DataFrame, columns: list[str]
) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    position = {c: {v: i for i, v in enumerate(_values_in_order(frame, c))} for c in columns}
    groups = [
        (key if isinstance(key, tuple) else (key,), part) for key, part in frame.groupby(columns)
    ]
    return sorted(
        groups, key=lambda g: [position[c][v] for c, v in zip(columns, g[0], strict=True)]
    )


def _cell(row: Any) -> str:
    if np.isnan(row.r2_mean):
        return "not defined"
    text = number(row.r2_mean)
    if not np.isnan(row.r2_se):
        text += f" ± {number(row.r2_se)}"
    if row.r2_median - row.r2_mean > 0.05:
        text += f" ({number(row.r2_median)}; {number(row.r2_min)})"
    return text


def averages(frame: pd.DataFrame) -> str:
    """Averages over data sets for people, a table per collection and fraction."""
    columns = ["model", "features", "r2_mean", "r2_median", "r2_min", "rank_r2", "rank_mae"]
    result = []
    for (collection, fraction, n_train), part in frame.groupby(
        ["collection", "fraction", "n_train"], sort=True
    ):
        shown = part.sort_values(["rank_r2", "model"])[[*columns, "best_on"]].copy()
        for column in columns[2:]:
            shown[column] = shown[column].map(lambda v: number(v, 2 if v >= 1 else 3))
        name = COLLECTIONS.get(str(collection), collection)
        sets = int(part["datasets"].iloc[0])
        heading = f"## {name}, {sets} data sets, fraction {fraction}, n_train {n_train}"
        result.append(f"{heading}\n\n" + table(shown))
    return _document(
        "Averages over data sets",
        "Mean, median and lowest R² over data sets, mean ranks by R² and by mean absolute error "
        "(1 = best), and the number of data sets on which a model is best. Collections are kept "
        "apart; the LCBench sets share their 2000 configurations and are not independent.",
        result,
    )


def ranks(frame: pd.DataFrame, uncounted: pd.DataFrame) -> str:
    """Average ranks for people, a table per collection and fraction.

    `frame` and `uncounted` are those of `ranks.average_ranks` and `ranks.uncounted`.
    """
    keys = ["collection", "fraction", "n_train"]
    result = []
    for (collection, fraction, n_train), part in frame.groupby(keys, sort=True):
        gap, sets = part["critical_difference"].iloc[0], int(part["sets"].iloc[0])
        columns: dict[str, pd.Series] = {}
        for metric, mine in part.set_index("model").groupby("metric", sort=False):
            columns[f"rank by {metric}"] = mine["average_rank"].map(lambda v: number(v, 2))
            if not np.isnan(gap):
                columns[f"group by {metric}"] = mine["group"]
        shown = pd.DataFrame(columns).loc[part["model"].unique()].reset_index()
        said = (
            "no critical difference: too few data sets for ranks to tell models apart"
            if np.isnan(gap)
            else f"critical difference {gap:.2f}"
        )
        name = COLLECTIONS.get(str(collection), collection)
        counted = f"{sets} data set" + "s" * (sets != 1)
        heading = f"## {name}, fraction {fraction}, n_train {n_train}"
        result.append(f"{heading}\n\n{counted}; {said}.\n\n" + table(shown))
    if len(uncounted):
        left_out = uncounted.assign(best_r2=uncounted["best_r2"].map(number))[
            ["dataset", "fraction", "n_train", "best_model", "best_r2"]
        ]
        result.append("## Not counted\n\n" + table(left_out))
    return _document(
        "Average ranks",
        "Models ranked on every data set by their mean over repeats, 1 = best, and averaged over "
        "the data sets of a collection. Models that share a letter are not told apart: their "
        "ranks are closer than the critical difference of the Nemenyi test at the level .05 "
        "(Demšar 2006). Data sets on which the best R² is under .1, where nobody predicts "
        "anything, or a model has none, are listed at the end and not counted. The LCBench sets "
        "share their 2000 configurations and are not independent: their critical difference is "
        "too small, and says how steady ranks are over those data sets rather than over new "
        "configurations.",
        result,
    )


def differences(frame: pd.DataFrame) -> str:
    """Differences from the best model for people, a table per fraction and data set."""
    result = []
    for (fraction, dataset, n_train), part in frame.groupby(
        ["fraction", "dataset", "n_train"], sort=True
    ):
        ordered = part.sort_values("difference", ascending=False)
        shown = pd.DataFrame(
            {
                "model": ordered["model"],
                "R²": ordered["r2_mean"].map(number),
                "difference": ordered["difference"].map(number),
                "corrected se": ordered["se"].map(number),
                "95 % interval": [
                    "" if np.isnan(low) else f"{number(low)} .. {number(high)}"
                    for low, high in zip(ordered["low"], ordered["high"], strict=True)
                ],
                "p (Holm)": ordered["p_holm"].map(lambda p: number(p, 4)),
                "resolved": ordered["resolved"].map({True: "yes", False: "no"}),
            }
        )
        best = f"{part['best_model'].iloc[0]} ({number(part['best_r2_mean'].iloc[0])})"
        heading = f"## fraction {fraction}, {dataset}, n_train {n_train}: best is {best}"
        result.append(f"{heading}\n\n" + table(shown))
    return _document(
        "Differences from the best model",
        "R² minus that of the model with the highest mean, paired over repeats, with the standard "
        "error of Nadeau and Bengio (2003), which allows for overlapping training sets. The "
        "intervals are for one comparison each; p is adjusted for all comparisons with the best "
        "model in a table (Holm). Resolved: it is under .05.",
        result,
    )


def datasets(frame: pd.DataFrame) -> str:
    """The data sets for people."""
    shown = frame.assign(
        epochs=[f"{a}..{b}" for a, b in zip(frame["first_epoch"], frame["last_epoch"], strict=True)]
    )
    finals = ["final_best", "final_median", "final_worst"]
    for column in finals:
        shown[column] = shown[column].map(lambda value: number(value, 4))
    columns = ["dataset", "runs", "groups", "diverged", "epochs", "metric", "direction", *finals]
    return _document(
        "Data sets",
        "Groups are distinct configurations; diverged runs have no finite final value and are "
        "left out of splits; finals are over the others.",
        [table(shown[[*columns, "notes", "source", "licence"]])],
    )


def timings(frame: pd.DataFrame) -> str:
    """Seconds per model for people: per experiment and collection, data sets × models."""
    result = []
    for experiment, part in frame.groupby("experiment", sort=True):
        models = in_order(part["model"], MODEL_ORDER)
        wide = part.pivot(index="dataset", columns="model", values="seconds")[models]
        wide.loc["sum"] = wide.sum(axis=0)
        wide["sum"] = wide.sum(axis=1)
        text = wide.map(lambda v: "" if np.isnan(v) else f"{v:.1f}").reset_index()
        result.append(f"## {experiment}\n\n" + table(text))
        each = part.assign(collection=part["dataset"].map(collection_of))
        totals = each.groupby(["collection", "model"])[["seconds", "cells"]].sum()
        per_cell = (totals["seconds"] / totals["cells"]).unstack("model")[models]
        text = per_cell.map(lambda v: "" if np.isnan(v) else f"{v:.3f}").reset_index()
        result.append(f"## {experiment}, per cell\n\n" + table(text))
    return _document(
        "Seconds of fitting and predicting",
        "Seconds of one core: summed over all cells of a model on a data set, and per cell (one "
        "split at one fraction).",
        result,
    )


def published(frame: pd.DataFrame, missing: pd.DataFrame) -> str:
    """Our R² beside the published ones for people, a table per source.

    `frame` and `missing` are those of `published.compare` and `published.missing`.
    """
    sections = []
    for source, part in frame.groupby("source", sort=True):
        shown = pd.DataFrame(
            {
                "data set": part["dataset"],
                "model": part["model"],
                "features": part["features"],
                "fraction": part["fraction"],
                "d": ["" if np.isnan(d) else f"{d:g}" for d in part["depth"]],
                "published": _with_se(part["published"], part["published_se"]),
                "ours": _with_se(part["ours"], part["ours_se"]),
                "difference": _with_se(part["difference"], part["difference_se"]),
                "beyond 2 se": part["beyond_2se"].map({True: "**yes**", False: "no"}),
                "note": part["note"],
            }
        )
        sections.append(f"## {source}\n\n" + table(shown))
    if len(missing):
        counts = missing.groupby(["source", "dataset", "model"]).size().reset_index(name="values")
        lines = []
        for source, part in counts.groupby("source", sort=True):
            named = [f"{r.model} on {r.dataset} ({r.values})" for r in part.itertuples()]
            lines.append(f"- {source}: {', '.join(named)}")
        text = "Published values of what this run did not compute, with their number:\n\n"
        sections.append("## Not compared\n\n" + text + "\n".join(lines) + "\n")
    if frame.empty:
        note = "This run has computed nothing that was published."
    else:
        note = (
            f"{int(frame['beyond_2se'].sum())} of {len(frame)} differences are beyond two standard "
            "errors; about one in twenty would be by chance alone. A note says what is known about "
            'the cell; "not explained": a difference is beyond two standard errors and nothing is '
            "known.\n\n"
            "Difference: ours minus published, ± its standard error. Where no standard error was "
            "published, the published mean is given ours; a value read from a figure carries its "
            "reading error. Both means are over repeated splits of the same runs."
        )
    return _document("Published R² and ours", note, sections)


def _with_se(values: pd.Series, errors: pd.Series) -> list[str]:
    return [
        number(value, 4) + ("" if np.isnan(se) else f" ± {number(se, 4)}")
        for value, se in zip(values, errors, strict=True)
    ]
