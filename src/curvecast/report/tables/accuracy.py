"""Tables of R²: of the main protocol, its averages, ranks and differences, and of experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from curvecast.benchmark import comparisons
from curvecast.curves import collection_of
from curvecast.report.names import FEATURE_ORDER, collection_title, in_order
from curvecast.report.tables import Inputs, Table
from curvecast.report.tables.markdown import (
    document,
    fixed,
    number,
    plus_minus,
    sections,
    table,
    yes_no,
)

_SPREAD = (
    "mean ± standard error over the repeats (standard deviation / √repeats). The repeats draw "
    "their training runs from the same runs and overlap, so this understates the uncertainty; "
    "differences.csv corrects for it. "
    "Where the mean lies more than 0.05 below the median, median and minimum follow in brackets."
)


def r2_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """`r2`, `averages`, `differences` and `ranks`; `params`: `ranked_sets`."""
    scores = comparisons.load_scores(inputs["scores"])
    summary = comparisons.summarise(scores)
    averages, differences = comparisons.averages(summary), comparisons.differences(scores)
    ranks = comparisons.average_ranks(summary, params["ranked_sets"])
    return {
        "r2": (summary, r2_text(summary)),
        "averages": (averages, averages_text(averages)),
        "differences": (differences, differences_text(differences)),
        "ranks": (ranks, ranks_text(ranks, comparisons.uncounted(summary))),
    }


def experiment_tables(inputs: Inputs, params: Mapping[str, Any]) -> dict[str, Table]:
    """R² of the feature blocks, by the number of training runs, or across depths: `name`."""
    summary = comparisons.summarise(comparisons.load_scores(inputs["scores"]))
    return {params["name"]: (summary, r2_text(summary, params["name"]))}


# Per table: title, note, sections, rows, what the columns are, whether the best of a row is bold.
_GRIDS = {
    "r2": (
        "R² by data set and model",
        f"{_SPREAD} The best mean of a row is bold.",
        ("fraction",),
        ("dataset",),
        "model",
        True,
    ),
    "ablation": (
        "R² by feature blocks",
        "TS: values and their first and second differences; AP: architecture parameters; HP: "
        f"training hyper-parameters. {_SPREAD} The best mean of a row is bold; an "
        "empty cell: the data set has no column of such a block.",
        ("fraction", "model"),
        ("dataset",),
        "features",
        True,
    ),
    "training_size": (
        "R² by number of training runs",
        f"All sizes of a repeat share their test runs. {_SPREAD}",
        ("fraction", "dataset"),
        ("model",),
        "n_train",
        False,
    ),
    "depth": (
        "R² across depths",
        f"Trained on networks with fewer than d layers, tested on all others. {_SPREAD}",
        ("fraction",),
        ("dataset", "model"),
        "depth",
        False,
    ),
}


def r2_text(summary: pd.DataFrame, name: str = "r2") -> str:
    """R² of the main protocol or of the experiment `name`, laid out as `_GRIDS` says."""
    title, note, *grid = _GRIDS[name]
    return document(title, note, *_tables(summary, *grid))


def _tables(
    summary: pd.DataFrame, sections: Sequence[str], rows: Sequence[str], across: str, bold: bool
) -> list[str]:
    """A heading and a table per combination of `sections`, the collection among them."""
    spread = [
        column
        for column in ("n_train", "features")
        if column not in (*sections, *rows, across) and summary[column].nunique() > 1
    ]
    sections = [*sections, *spread, *(() if "dataset" in sections else ["collection"])]
    frame = summary.assign(
        collection=[collection_title(collection_of(name)) for name in summary["dataset"]],
        cell=[_cell(row) for row in summary.to_dict("records")],
    )
    columns = _in_order(frame[across])
    names = [f"d = {c}" if across == "depth" else c for c in columns]
    result = []
    for key, part in _groups(frame, sections):
        heading = ", ".join(
            str(value) if name in ("collection", "model", "dataset") else f"{name} {value}"
            for name, value in zip(sections, key, strict=True)
        )
        lines = []
        for label, of_row in _groups(part, rows):
            cells = dict(zip(of_row[across], of_row["cell"], strict=True))
            if bold and of_row["r2_mean"].notna().any():
                best = of_row[across].iloc[int(np.nanargmax(of_row["r2_mean"]))]
                cells[best] = f"**{cells[best]}**"
            lines.append([*label, *(cells.get(column, "") for column in columns)])
        result.append(f"## {heading}\n\n" + table(pd.DataFrame(lines, columns=[*rows, *names])))
    return result


def _in_order(values: pd.Series) -> list[Any]:
    if values.name == "model":
        return in_order(values)
    return in_order(values, FEATURE_ORDER) if values.name == "features" else sorted(set(values))


def _groups(frame: pd.DataFrame, columns: Sequence[str]) -> list[tuple[Any, pd.DataFrame]]:
    """The groups of a frame in the order of its names."""
    position = {c: {v: i for i, v in enumerate(_in_order(frame[c]))} for c in columns}
    return sorted(
        frame.groupby(list(columns)),
        key=lambda group: [position[c][v] for c, v in zip(columns, group[0], strict=True)],
    )


def _cell(row: Mapping[Any, Any]) -> str:
    if np.isnan(row["r2_mean"]):
        return "not defined"
    text = plus_minus(row["r2_mean"], row["r2_se"])
    if row["r2_median"] - row["r2_mean"] > 0.05:
        text += f" ({number(row['r2_median'])}; {number(row['r2_min'])})"
    return text


def averages_text(frame: pd.DataFrame) -> str:
    """Averages over data sets, a table per collection and fraction."""
    numbers = ["r2_mean", "r2_median", "r2_min", "rank_r2", "rank_mae"]
    columns = {
        "model": "model",
        "features": "features",
        # A rank needs two digits, R² three.
        **{c: lambda row, c=c: number(row[c], 2 if row[c] >= 1 else 3) for c in numbers},
        "best_on": "best_on",
    }

    def heading(collection: str, fraction: float, n_train: int, part: pd.DataFrame) -> str:
        title = f"{collection_title(collection)}, {part['datasets'].iloc[0]} data sets"
        return f"{title}, fraction {fraction}, n_train {n_train}"

    ordered = frame.sort_values(["rank_r2", "model"], kind="stable")
    return document(
        "Averages over data sets",
        "Mean, median and lowest R² over data sets, mean ranks by R² and by mean absolute error "
        "(1 = best), and the number of data sets on which a model is best. Collections are kept "
        "apart; the LCBench sets share their 2000 configurations and are not independent.",
        *sections(ordered, ["collection", "fraction", "n_train"], heading, columns),
    )


def ranks_text(frame: pd.DataFrame, uncounted: pd.DataFrame) -> str:
    """Average ranks, a table per collection and fraction, and the data sets not counted."""
    parts = []
    for key, part in frame.groupby(["collection", "fraction", "n_train"], sort=True):
        collection, fraction, n_train = key
        gap, sets = part["critical_difference"].iloc[0], int(part["sets"].iloc[0])
        columns: dict[str, pd.Series] = {}
        for metric, ranked in part.set_index("model").groupby("metric", sort=False):
            columns[f"rank by {metric}"] = ranked["average_rank"].map(lambda v: number(v, 2))
            if not np.isnan(gap):
                columns[f"group by {metric}"] = ranked["group"]
        shown = pd.DataFrame(columns).loc[part["model"].unique()].reset_index()
        note = (
            "no critical difference: too few data sets for ranks to tell models apart"
            if np.isnan(gap)
            else f"critical difference {gap:.2f}"
        )
        heading = f"## {collection_title(collection)}, fraction {fraction}, n_train {n_train}"
        counted = f"{sets} data set" + "s" * (sets != 1)
        parts.append(f"{heading}\n\n{counted}; {note}.\n\n" + table(shown))
    if len(uncounted):
        columns = {c: c for c in ("dataset", "fraction", "n_train", "best_model")}
        left_out = table(uncounted, {**columns, "best_r2": fixed("best_r2")})
        parts.append("## Not counted\n\n" + left_out)
    return document(
        "Average ranks",
        "Models ranked on every data set by their mean over repeats, 1 = best, and averaged over "
        "the data sets of a collection. Models that share a letter are not told apart: their "
        "ranks are closer than the critical difference of the Nemenyi test at the level .05 "
        "(Demšar 2006). Data sets on which the best R² is under .1, where nobody predicts "
        "anything, or a model has none, are listed at the end and not counted. The LCBench sets "
        "share their 2000 configurations and are not independent: their critical difference is "
        "too small, and says how steady ranks are over those data sets rather than over new "
        "configurations.",
        *parts,
    )


def differences_text(frame: pd.DataFrame) -> str:
    """Differences from the best model, a table per fraction and data set."""

    def ends(row: Mapping[str, Any]) -> str:
        return "" if np.isnan(row["low"]) else f"{number(row['low'])} .. {number(row['high'])}"

    columns = {
        "model": "model",
        "R²": fixed("r2_mean"),
        "difference": fixed("difference"),
        "corrected se": fixed("se"),
        "95 % interval": ends,
        "p (Holm)": fixed("p_holm", 4),
        "resolved": yes_no("resolved"),
    }

    def heading(fraction: float, dataset: str, n_train: int, part: pd.DataFrame) -> str:
        best = f"{part['best_model'].iloc[0]} ({number(part['best_r2_mean'].iloc[0])})"
        return f"fraction {fraction}, {dataset}, n_train {n_train}: best is {best}"

    ordered = frame.sort_values("difference", ascending=False)
    return document(
        "Differences from the best model",
        "R² minus that of the model with the highest mean, paired over repeats, with the standard "
        "error of Nadeau and Bengio (2003), which allows for overlapping training sets. The "
        "intervals are for one comparison each; p is adjusted for all comparisons with the best "
        "model in a table (Holm). Resolved: it is under .05.",
        *sections(ordered, ["fraction", "dataset", "n_train"], heading, columns),
    )
