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
from curvecast.report.tables.markdown import Columns, document, number, plus_minus, sections, table

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


# Per table: title, note, keys of its sections, keys of its rows, and what its columns are.
_GRIDS = {
    "r2": ("R² by data set and model", _SPREAD, ("fraction", "collection"), ("dataset",), "model"),
    "ablation": (
        "R² by feature blocks",
        "TS: values and their first and second differences; AP: architecture parameters; HP: "
        f"training hyper-parameters. {_SPREAD} An empty cell: the data set has no column of such "
        "a block.",
        ("fraction", "model", "collection"),
        ("dataset",),
        "features",
    ),
    "training_size": (
        "R² by number of training runs",
        f"All sizes of a repeat share their test runs. {_SPREAD}",
        ("fraction", "dataset"),
        ("model",),
        "n_train",
    ),
    "depth": (
        "R² across depths",
        f"Trained on networks with fewer layers than the column, tested on all others. {_SPREAD}",
        ("fraction", "collection"),
        ("dataset", "model"),
        "depth",
    ),
}


def r2_text(summary: pd.DataFrame, name: str = "r2") -> str:
    """R² of the main protocol or of the experiment `name`, laid out as `_GRIDS` says.

    The best mean of a row is bold in the tables that compare models or feature blocks.
    """
    title, note, sections, rows, across = _GRIDS[name]
    bold = across in ("model", "features")
    parts = _grids(summary, sections, rows, across, bold)
    return document(title, note + " The best mean of a row is bold." * bold, *parts)


def _grids(
    summary: pd.DataFrame, keys: Sequence[str], rows: Sequence[str], across: str, bold: bool
) -> list[str]:
    """A heading and a table per combination of `keys`."""
    features = summary["features"]
    frame = summary.assign(
        collection=summary["dataset"].map(collection_of).map(collection_title),
        model=pd.Categorical(summary["model"], in_order(summary["model"]), ordered=True),
        features=pd.Categorical(features, in_order(features, FEATURE_ORDER), ordered=True),
        cell=[_cell(row) for row in summary.to_dict("records")],
    )
    further = [
        name
        for name in ("n_train", "features")
        if name not in (*keys, *rows, across) and summary[name].nunique() > 1
    ]
    keys = [*keys, *further]
    if bold:
        best = frame.groupby([*keys, *rows], observed=True)["r2_mean"].transform("max")
        frame["cell"] = frame["cell"].where(frame["r2_mean"] != best, "**" + frame["cell"] + "**")
    columns = frame[across].sort_values().unique()
    parts = []
    for key, part in frame.groupby(keys, observed=True):
        heading = ", ".join(
            f"{name} {value}" if name in ("fraction", *further) else str(value)
            for name, value in zip(keys, key, strict=True)
        )
        wide = part.pivot(index=list(rows), columns=across, values="cell")
        wide = pd.DataFrame({column: wide.get(column, "") for column in columns}).fillna("")
        parts.append(f"## {heading}\n\n{table(wide.reset_index())}")
    return parts


def _cell(row: Mapping[Any, Any]) -> str:
    if np.isnan(row["r2_mean"]):
        return "not defined"
    text = plus_minus(row["r2_mean"], row["r2_se"])
    if row["r2_median"] - row["r2_mean"] > 0.05:
        text += f" ({number(row['r2_median'])}; {number(row['r2_min'])})"
    return text


def _sorted(frame: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Rows in the order of `by`, collections with their titles."""
    frame = frame.sort_values(list(by), kind="stable")
    return frame.assign(collection=frame["collection"].map(collection_title))


def averages_text(frame: pd.DataFrame) -> str:
    """Averages over data sets, a table per collection and fraction."""
    by = ["collection", "fraction", "n_train", "datasets"]
    return document(
        "Averages over data sets",
        "Mean, median and lowest R² over data sets, mean ranks by R² and by mean absolute error "
        "(1 = best), and the number of data sets on which a model is best. Collections are kept "
        "apart; the sets of LCBench and those of TaskSet share their configurations and are not "
        "independent.",
        *sections(
            _sorted(frame, *by, "rank_r2", "model"),
            by,
            "{0}, {3} data sets, fraction {1}, n_train {2}",
            [str(column) for column in frame if column not in by],
        ),
    )


def ranks_text(frame: pd.DataFrame, uncounted: pd.DataFrame) -> str:
    """Average ranks, a table per collection, fraction and metric, and the data sets not counted."""
    by = ["collection", "fraction", "n_train"]
    gap = frame["critical_difference"]
    told = gap.map("critical difference {:.2f}".format).where(
        gap.notna(), "no critical difference: too few data sets for ranks to tell models apart"
    )
    parts = sections(
        _sorted(frame.assign(told=told), *by),
        [*by, "metric", "sets", "told"],
        "{0}, fraction {1}, n_train {2}, by {3}: data sets {4}, {5}",
        ["model", "average_rank", "group"],
    )
    if len(uncounted):
        columns = ["dataset", "fraction", "n_train", "best_model", "best_r2"]
        parts.append("## Not counted\n\n" + table(uncounted, columns))
    return document(
        "Average ranks",
        "Models ranked on every data set by their mean over repeats, 1 = best, and averaged over "
        "the data sets of a collection. Models that share a letter are not told apart: their "
        "ranks are closer than the critical difference of the Nemenyi test at the level .05 "
        "(Demšar 2006). Data sets on which the best R² is under .1, where no model predicts "
        "anything, or a model has none, are listed at the end and not counted. The sets of "
        "LCBench and of TaskSet share their configurations, so their critical difference is "
        "too small; it tells how steady ranks are over those data sets, not over new "
        "configurations.",
        *parts,
    )


def differences_text(frame: pd.DataFrame) -> str:
    """Differences from the best model, a table per fraction and data set."""
    by = ["fraction", "dataset", "n_train"]
    ordered = frame.sort_values([*by, "difference"], ascending=[True] * 3 + [False])
    columns: Columns = {
        "model": "model",
        "R²": "r2_mean",
        "difference": ("difference", "low", "high"),
        "corrected se": "se",
        "p (Holm)": "p_holm",
        "resolved": "resolved",
    }
    return document(
        "Differences from the best model",
        "R² minus that of the model with the highest mean, paired over repeats, with its 95 % "
        "interval and the standard error of Nadeau and Bengio (2003), which allows for "
        "overlapping training sets. The intervals are for one comparison each; p is adjusted for "
        "all comparisons with the best model in a table (Holm). Resolved: it is under .05.",
        *sections(
            ordered,
            [*by, "best_model", "best_r2_mean"],
            "fraction {0}, {1}, n_train {2}: best is {3} ({4:.3f})",
            columns,
        ),
    )
