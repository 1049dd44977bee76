"""Tables of R²: of the main protocol, its averages, ranks and differences, and of experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from curvecast.benchmark import comparisons
from curvecast.benchmark.comparisons import METRICS
from curvecast.benchmark.ranks import average, average_ranks, uncounted
from curvecast.curves import collection_of
from curvecast.report.names import FEATURE_ORDER, collection_title, in_order
from curvecast.report.tables.markdown import (
    Table,
    document,
    number,
    plus_minus,
    sections,
    table,
    text,
)

READERS = {"scores": comparisons.load_scores, "draws": comparisons.load_draws}

_SPREAD = (
    "Mean ± standard error over the repeats. Where the repeats have training runs of their own and "
    "share their test runs, it holds the choice of both; elsewhere repeats overlap and it is too "
    "small. Where the mean lies more than 0.05 below the median, median and minimum follow in "
    "brackets."
)


def r2_tables(
    scores: pd.DataFrame, draws: pd.DataFrame, ranked: Sequence[str], ranked_sets: int
) -> dict[str, Table]:
    """`r2`, `averages`, `differences` and `ranks`.

    `ranked` are the collections whose models are ranked, `ranked_sets` is the number of data sets
    from which on they are. Without such collections there is no table of ranks.
    """
    summary = comparisons.summarise(scores)
    largest = comparisons.largest(summary)
    averages = average(_at_protocol(summary))
    differences = comparisons.differences(scores, draws)
    tables = {
        "r2": (summary, r2_text(largest)),
        "averages": (averages, averages_text(averages)),
        "differences": (differences, differences_text(differences)),
    }
    rows = _at_protocol(largest[largest["dataset"].map(collection_of).isin(ranked)])
    if len(rows):
        ranks = average_ranks(rows, ranked_sets)
        tables["ranks"] = (ranks, ranks_text(ranks, uncounted(rows)))
    return tables


def _at_protocol(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with one number of training runs in the main protocol of a collection.

    A small data set trains on half of its runs, and counts in averages like the others.
    """
    of_set = frame.groupby("dataset")["n_train"].transform("max")
    of_collection = of_set.groupby(frame["dataset"].map(collection_of)).transform("max")
    runs = frame["n_train"].mask(frame["n_train"] == of_set, of_collection)
    return frame.assign(n_train=runs)


def experiment_tables(scores: pd.DataFrame, name: str) -> dict[str, Table]:
    """R² of the feature blocks, or across depths: `name`."""
    summary = comparisons.summarise(scores)
    return {name: (summary, r2_text(summary, name))}


def training_size_tables(
    scores: pd.DataFrame, draws: pd.DataFrame, fractions: Sequence[float]
) -> dict[str, Table]:
    """Errors over the number of training runs at some `fractions`, beside those of last_value."""
    scores, draws = (
        frame[np.isclose(frame["fraction"].to_numpy()[:, None], fractions).any(axis=1)]
        for frame in (scores, draws)
    )
    frame = comparisons.over_last_value(scores, draws)
    return {"training_size": (frame, training_size_text(frame))}


def training_size_text(frame: pd.DataFrame) -> str:
    """Ratios of the MAE, a table per fraction and collection, models × numbers of runs."""
    frame = frame.assign(collection=frame["dataset"].map(collection_of).map(collection_title))
    parts = []
    for (fraction, collection), part in frame.groupby(["fraction", "collection"]):
        cells = part.groupby(["model", "n_train"])[["mae_ratio", "mae_ratio_se"]].apply(_ratio)
        wide = cells.unstack("n_train").fillna("").loc[in_order(part["model"])]
        sets = part["dataset"].nunique()
        parts.append(
            f"## {collection}, {sets} data set{'s' * (sets > 1)}, fraction {fraction:.4g}\n\n"
            + table(wide.reset_index())
        )
    return document(
        "How many finished runs does it take?",
        "Mean absolute error over that of `last_value` on the same test runs, by the number of "
        "training runs: under 1 a model beats the assumption that nothing changes. Over several "
        "data sets the median and in brackets the quartiles, on one data set ± standard error (of "
        "`differences`). Without training runs only models that need none have a number. A run "
        "without the model `last_value` has no table.",
        *parts,
    )


def _ratio(rows: pd.DataFrame) -> str:
    if len(rows) == 1:
        return plus_minus(*rows.iloc[0])
    low, middle, high = rows["mae_ratio"].quantile([0.25, 0.5, 0.75])
    return f"{number(middle)} [{number(low)}, {number(high)}]"


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
    note += " The best mean of a row is bold." * bold
    return document(title, note + _left_out(summary), *parts)


def _left_out(summary: pd.DataFrame) -> str:
    """Which scores leave out runs that have not come far enough, "" for none."""
    some = summary.loc[summary["unseen"] > 0, ["dataset", "tau", "unseen"]].drop_duplicates()
    texts = [f"{int(u)} of {name} at epoch {tau}" for name, tau, u in some.itertuples(index=False)]
    if not texts:
        return ""
    return f" Runs without a value so far are in no score: {', '.join(texts)}."


def _grids(
    summary: pd.DataFrame, keys: Sequence[str], rows: Sequence[str], across: str, bold: bool
) -> list[str]:
    """A heading and a table per combination of `keys`."""
    features, dataset = summary["features"], summary["dataset"]
    if summary["n_train"].nunique() > 1:  # small data sets train on half of their runs
        dataset = dataset + ", n_train " + summary["n_train"].astype(str)
    frame = summary.assign(
        dataset=dataset,
        collection=summary["dataset"].map(collection_of).map(collection_title),
        model=pd.Categorical(summary["model"], in_order(summary["model"]), ordered=True),
        features=pd.Categorical(features, in_order(features, FEATURE_ORDER), ordered=True),
        cell=[_cell(row) for row in summary.to_dict("records")],
    )
    keys = [*keys, *["features"] * (across != "features" and features.nunique() > 1)]
    if bold:
        best = frame.groupby([*keys, *rows], observed=True)["r2_mean"].transform("max")
        frame["cell"] = frame["cell"].where(frame["r2_mean"] != best, "**" + frame["cell"] + "**")
    columns = frame[across].sort_values().unique()
    parts = []
    for key, part in frame.groupby(keys, observed=True):
        heading = ", ".join(
            f"{name} {text(value)}" if name in ("fraction", "features") else str(value)
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
        "(1 = best), and the number of data sets on which a model is best. Small data sets, which "
        "train on half of their runs, count among the others. Collections are kept apart; the sets "
        "of LCBench and those of TaskSet share their configurations and are not "
        "independent.",
        *sections(
            _sorted(frame, *by, "rank_r2", "model"),
            by,
            "{0}, {3} data sets, fraction {1:.4g}, n_train {2}",
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
        "{0}, fraction {1:.4g}, n_train {2}, by {3}: data sets {4}, {5}",
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
    """How often models are behind the best one, and ahead of or behind last_value."""
    by = ["fraction", "collection", "metric", "n_train"]
    # Of one model alone there are no differences, and no column has a type.
    difference = frame["difference"].astype(np.float64)
    sign = np.array([-1.0 if METRICS[metric][1] else 1.0 for metric in frame["metric"]])
    frame = _at_protocol(frame).assign(
        collection=frame["dataset"].map(collection_of).map(collection_title),
        better=sign * difference > 0,
        worse=sign * difference < 0,
    )
    parts = []
    for (fraction, collection, metric, runs), part in frame.groupby(by):
        best, last = (part[part["reference"] == name] for name in ("best", "last_value"))
        cells = {
            "best on": best.drop_duplicates("dataset")["reference_model"].value_counts(),
            "behind the best (resolved)": _counts(best, "worse"),
            "ahead of last_value (resolved)": _counts(last, "better"),
            "behind last_value (resolved)": _counts(last, "worse"),
        }
        models = in_order([*part["model"], *part["reference_model"]])
        rows = pd.DataFrame(cells).reindex(models).fillna({"best on": 0}).astype({"best on": int})
        sets = part.drop_duplicates("dataset")["error"].value_counts()
        heading = (
            f"{metric}, {collection}, fraction {fraction:.4g}, n_train {runs}: data sets by error: "
        )
        heading += ", ".join(f"{count} {name}" for name, count in sets.items())
        parts.append(f"## {heading}\n\n{table(rows.rename_axis('model').reset_index())}")
    return document(
        "Which differences are resolved",
        "Numbers of data sets. Models are compared on the same splits; resolved: p under .05, "
        "adjusted for all comparisons with the same model (Holm). Error: *disjoint* where the "
        "repeats have training runs of their own and share their test runs, with the variance over "
        "repeats and that of the bootstrap over test runs; *Nadeau-Bengio* (2003) where there are "
        "too few runs for that, which assumes fewer test than training runs. Every difference with "
        "its interval is in differences.csv.",
        *parts,
    )


def _counts(rows: pd.DataFrame, column: str) -> pd.Series:
    """Data sets per model on which a column is true, and on how many of them it is resolved."""
    true = rows[rows[column]]
    counts = true.groupby("model")["resolved"].agg(["size", "sum"]).reindex(rows["model"].unique())
    return counts.fillna(0).astype(int).apply(lambda row: f"{row['size']} ({row['sum']})", axis=1)
