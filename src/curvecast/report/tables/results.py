"""Tables of a run: what is written to `tables/`, and how.

Each name below is a CSV file and a Markdown file made of it:

- `r2`: `summarise`; from the scores of the main protocol.
- `averages`: `averages`; from the frame of `r2`.
- `differences`: `differences`; from the scores of the main protocol.
- `ranks`: `ranks.average_ranks`; from the frame of `r2`.
- `ablation`, `training_size`, `depth`: `summarise`; from the scores of the experiment so named.
- `published`: `published.compare`; from the frames of `r2`, `ablation` and `depth` and the folder
  resources/published.
- `datasets`: `datasets`; from curve files and their registry stanzas.
- `timings`: `timings`; from the files {dataset}/{model}[.{experiment}].csv of the folder timings.

The Markdown of each is made of its frame by the function of the same name in
`curvecast.report.tables.markdown`. A script reads with `load_scores(paths)` and writes with
`write_csv(frame, path)` and `write_text(text, path)`:

    scores = tables.load_scores(snakemake.input)
    summary = tables.summarise(scores)
    tables.write_csv(summary, snakemake.output.csv)
    write_text(markdown.r2(summary), snakemake.output.markdown)

CSV files have six significant digits, empty cells for NaN, and rows ordered by their keys, so
that the same scores give the same bytes in whatever order they were computed. `timings.csv` has
the same form but holds seconds, which no two runs share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from curvecast.curves import CurveSet, DataError, collection_of, read_parquet, write_text

CELL = ("dataset", "model", "features", "tau", "fraction", "n_train")
SUMMARY_COLUMNS = (
    *CELL,
    "repeats",
    "r2_mean",
    "r2_se",
    "r2_median",
    "r2_min",
    "mse_mean",
    "mae_mean",
    "spearman_mean",
    "kendall_mean",
    "nll_mean",
    "crps_mean",
    "cover50",
    "cover80",
    "cover95",
    "width80",
)
DIFFERENCE_COLUMNS = (
    "dataset",
    "fraction",
    "tau",
    "n_train",
    "n_test",
    "repeats",
    "model",
    "features",
    "best_model",
    "best_features",
    "r2_mean",
    "best_r2_mean",
    "difference",
    "se",
    "low",
    "high",
    "p",
    "p_holm",
    "resolved",
)

# The order of models in tables and in legends; others follow by name.
MODEL_ORDER = (
    "mean",
    "last_value",
    "ols",
    "ridge",
    "nusvr_linear",
    "nusvr_rbf",
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "gp",
    "lce",
    "lcnet",
    "cnn",
    "lstm",
    "cnn_lstm",
    "ensemble",
)
FEATURE_ORDER = ("TS", "AP", "HP", "TS+AP", "TS+HP", "AP+HP", "TS+AP+HP")
# What the first parts of data set names stand for.
COLLECTIONS = {"baker": "Baker et al.", "lcbench": "LCBench", "lcbench_full": "LCBench (all logs)"}


def in_order(names: Iterable[str], order: Sequence[str]) -> list[str]:
    """Distinct names, those in `order` first and in that order, the others by name."""
    distinct = set(names)
    return [n for n in order if n in distinct] + sorted(distinct - set(order))


# Reading and writing


def load_scores(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read score files into one frame in a fixed row order.

    Raises
    ------
    DataError : a damaged file, a file without the columns of scores, or a cell that occurs twice.
    """
    frames = []
    for path in sorted(map(str, paths)):
        frame, _ = read_parquet(path)
        for column in (*CELL, "experiment", "repeat", "n_test", "r2"):
            if column not in frame:
                raise DataError("missing column in scores", file=path, column=column)
        frames.append(frame)
    if not frames:
        raise DataError("no score files given")
    return order_scores(pd.concat(frames, ignore_index=True))


def order_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Sort scores by their keys. Raises DataError for a cell that occurs twice."""
    keys = [*_keys(scores), "repeat"]
    ordered = scores.sort_values(keys, ignore_index=True)
    twice = ordered.duplicated(keys)
    if twice.any():
        row = ordered.loc[twice].iloc[0]
        raise DataError("two scores for one cell: " + ", ".join(f"{k} {row[k]}" for k in keys))
    return ordered


def _keys(frame: pd.DataFrame) -> list[str]:
    extra = [column for column in ("experiment", "depth") if column in frame]
    return [*CELL[:3], *extra, "n_train", "tau", "fraction"]


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a frame with six significant digits; nothing half-written ever has the name."""
    write_text(frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"), path)


# Summaries over repeats


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per cell over its repeats, with the columns of `r2.csv`.

    `r2_se` is the standard deviation over repeats divided by the root of their number; the
    repeats overlap, so it understates. It is NaN for a single repeat. The column `depth` follows
    the others where the scores have it. Scores of several experiments must not be mixed.

    Raises
    ------
    DataError : scores of more than one experiment.
    """
    if "experiment" in scores and scores["experiment"].nunique() > 1:
        raise DataError(f"scores of several experiments: {sorted(set(scores['experiment']))}")
    keys = [key for key in _keys(scores) if key != "experiment"]
    groups = order_scores(scores).groupby(keys, sort=True)
    r2 = groups["r2"]
    repeats = groups.size()
    columns = {
        "repeats": repeats,
        "r2_mean": _mean(r2),
        "r2_se": r2.std(ddof=1) / np.sqrt(repeats),
        "r2_median": r2.median(),
        "r2_min": r2.min(),
        **{f"{s}_mean": _mean(groups[s]) for s in ("mse", "mae", "spearman", "kendall")},
        **{f"{s}_mean": _mean(groups[s]) for s in ("nll", "crps")},
        **{s: _mean(groups[s]) for s in ("cover50", "cover80", "cover95", "width80")},
    }
    frame = pd.DataFrame(columns).reset_index()
    return frame[[*SUMMARY_COLUMNS, *(["depth"] if "depth" in frame else [])]]


def _mean(groups: Any) -> pd.Series:
    """Mean of each group; NaN where one of its values is, so that no repeat drops out unseen."""
    return groups.agg(lambda values: np.mean(values.to_numpy()))


def differences(scores: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """R² of each model against the best one of its data set and fraction, paired over repeats.

    The standard error is that of Nadeau and Bengio (2003, Inference for the generalization
    error, section 3): s² (1 / J + n_test / n_train) for J repeats with variance s² of the
    difference, which allows for overlapping training sets. The interval is Student's t with
    J - 1 degrees of freedom. The best model is the one with the highest mean R² and is compared
    with nothing; as it was chosen for being best, small differences are flattered.

    Returns
    -------
    The columns `DIFFERENCE_COLUMNS`; `difference` = model - best; `low` and `high` bound the
    interval of this one comparison and `p` is its two-sided p-value; `p_holm` is adjusted for all
    comparisons with the best model of the data set and fraction (Holm 1979), and `resolved` tells
    whether it is under 1 - `level`. `n_test` is the mean over the repeats (groups of repeated
    configurations make it vary a little).

    Raises
    ------
    DataError : a model without R² in a repeat that another model has.
    """
    keys = ["dataset", "fraction", "tau", "n_train"]
    parts = []
    for _, part in order_scores(scores).groupby(keys, sort=True):
        table = part.pivot(index=["model", "features"], columns="repeat", values="r2")
        r2 = table.to_numpy()
        labels = table.index.to_frame(index=False)
        if np.isnan(r2).any():
            row = int(np.flatnonzero(np.isnan(r2).any(axis=1))[0])
            raise DataError(
                f"{labels['model'][row]} on {labels['features'][row]} has no R² in a repeat of "
                + ", ".join(f"{key} {part[key].iloc[0]}" for key in keys)
            )
        means = r2.mean(axis=1)
        best = int(means.argmax())
        gaps = r2 - r2[best]
        n_train = int(part["n_train"].iloc[0])
        n_test = float(part.drop_duplicates("repeat")["n_test"].mean())
        repeats = r2.shape[1]
        se = np.array([corrected_se(gap, n_train=n_train, n_test=n_test) for gap in gaps])
        reach = stdtrit(repeats - 1, 0.5 + level / 2) * se if repeats > 1 else se
        difference = gaps.mean(axis=1)
        others = np.arange(len(means)) != best
        p, p_holm = np.full((2, len(means)), np.nan)
        p[others] = paired_p(difference[others], se[others], repeats)
        p_holm[others] = holm(p[others])
        frame = labels.assign(
            **{key: part[key].iloc[0] for key in keys},
            n_test=n_test,
            repeats=repeats,
            best_model=labels["model"][best],
            best_features=labels["features"][best],
            r2_mean=means,
            best_r2_mean=means[best],
            difference=difference,
            se=se,
            low=difference - reach,
            high=difference + reach,
            p=p,
            p_holm=p_holm,
            resolved=p_holm < 1 - level,
        )
        parts.append(frame.drop(index=best))
    return pd.concat(parts, ignore_index=True)[list(DIFFERENCE_COLUMNS)]


def corrected_se(gap: np.ndarray, *, n_train: int, n_test: float) -> float:
    """Nadeau-Bengio standard error of a mean paired difference; NaN for a single repeat."""
    if len(gap) < 2:
        return float("nan")
    return float(np.sqrt((1 / len(gap) + n_test / n_train) * np.var(gap, ddof=1)))


def paired_p(difference: np.ndarray, se: np.ndarray, repeats: int) -> np.ndarray:
    """Two-sided p-values of Student's t with repeats - 1 degrees of freedom; NaN for one repeat.

    A difference that is the same in every repeat (`se` 0) has p = 0, or 1 where it is 0.
    """
    if repeats < 2:
        return np.full(len(difference), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(difference == 0, 0.0, np.abs(difference) / se)
    return 2 * stdtr(repeats - 1, -t)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values adjusted by Holm's step-down method; all NaN where they are."""
    if not len(p) or np.isnan(p).any():
        return p
    # Imported here: it takes a second, and every job that writes a table imports this module.
    from statsmodels.stats.multitest import multipletests

    return multipletests(p, method="holm")[1]


# Averages over data sets


def averages(summary: pd.DataFrame) -> pd.DataFrame:
    """Averages and ranks of models over the data sets of each collection apart.

    Only data sets on which every model of the collection has an R² at that fraction count, so
    that all are averaged over the same ones. The LCBench sets share their 2000 configurations:
    they are not independent replicates, and no standard error over data sets is given.

    Returns
    -------
    One row per (collection, fraction, n_train, model, features): `datasets` (their number),
    `r2_mean`, `r2_median` and `r2_min` over data sets of the mean over repeats, `rank_r2` and
    `rank_mae` (mean rank, 1 = best, ties share the average) and `best_on` (data sets on which
    its R² is the highest).
    """
    frame = summary.assign(collection=summary["dataset"].map(collection_of))
    parts = []
    for (collection, fraction, n_train), part in frame.groupby(
        ["collection", "fraction", "n_train"], sort=True
    ):
        by_dataset = {"index": ["model", "features"], "columns": "dataset"}
        r2_table = part.pivot(values="r2_mean", **by_dataset)
        r2_table = r2_table.loc[:, r2_table.notna().all(axis=0)]
        mae_table = part.pivot(values="mae_mean", **by_dataset)[r2_table.columns]
        if r2_table.empty:
            continue
        ranks = r2_table.rank(ascending=False, axis=0)
        result = pd.DataFrame(
            {
                "datasets": r2_table.shape[1],
                "r2_mean": r2_table.mean(axis=1),
                "r2_median": r2_table.median(axis=1),
                "r2_min": r2_table.min(axis=1),
                "rank_r2": ranks.mean(axis=1),
                "rank_mae": mae_table.rank(axis=0).mean(axis=1),
                "best_on": (ranks == ranks.min(axis=0)).sum(axis=1),
            }
        ).reset_index()
        keys: dict[str, Any] = {
            "collection": collection,
            "fraction": fraction,
            "n_train": n_train,
        }
        parts.append(result.assign(**keys)[[*keys, *result.columns]])
    return pd.concat(parts, ignore_index=True)


# Data sets and seconds


def datasets(
    curve_files: Iterable[str | Path], stanzas: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """What each data set holds.

    Parameters
    ----------
    curve_files : files as `CurveSet.to_parquet` writes them.
    stanzas : registry entries by data set name; `licence` is taken from there ("" where a data
        set has none).

    Returns
    -------
    One row per data set, sorted by name: `dataset, runs, groups, diverged` (runs without a finite
    final value), `first_epoch, last_epoch, metric, direction, final_best, final_median,
    final_worst` (over finite finals), `notes` (what the reader did: duplicates dropped, ...),
    `source, licence`.
    """
    rows = []
    for path in curve_files:
        curves = CurveSet.from_parquet(path)
        finite = np.sort(curves.sign * curves.final[np.isfinite(curves.final)])[::-1] * curves.sign
        rows.append(
            {
                "dataset": curves.name,
                "runs": len(curves),
                "groups": len(np.unique(curves.groups)),
                "diverged": len(curves) - len(finite),
                "first_epoch": int(curves.epochs[0]),
                "last_epoch": curves.last_epoch,
                "metric": curves.metric,
                "direction": curves.direction,
                "final_best": finite[0] if len(finite) else np.nan,
                "final_median": np.median(finite) if len(finite) else np.nan,
                "final_worst": finite[-1] if len(finite) else np.nan,
                "notes": "; ".join(curves.notes),
                "source": curves.source,
                "licence": stanzas.get(curves.name, {}).get("licence", ""),
            }
        )
    return pd.DataFrame(rows).sort_values("dataset", ignore_index=True)


_SECONDS = ["seconds_fit", "seconds_predict"]


def timings(folder: str | Path, paths: Iterable[str | Path]) -> pd.DataFrame:
    """Seconds per model and data set, from `{folder}/{dataset}/{model}[.{experiment}].csv`.

    Returns
    -------
    One row per (experiment, dataset, model): `cells`, the sums over cells `seconds_fit`,
    `seconds_predict` and `seconds` (both), `seconds_per_cell`, and the mean over cells of every
    further numeric column (the diagnostics of a model, such as its share of unconverged draws),
    empty where a model has none.

    Raises
    ------
    DataError : a file without the columns of timings.
    """
    frames = []
    for path in sorted(map(Path, paths)):
        frame = pd.read_csv(path)
        for column in _SECONDS:
            if column not in frame:
                raise DataError("missing column in timings", file=path, column=column)
        model, _, experiment = path.stem.partition(".")
        dataset = path.relative_to(folder).parent.as_posix()
        frames.append(frame.assign(dataset=dataset, model=model, experiment=experiment or "main"))
    if not frames:
        raise DataError("no timing files given")
    cells = pd.concat(frames, ignore_index=True)
    groups = cells.groupby(["experiment", "dataset", "model"], sort=True)
    sums = groups[_SECONDS].sum()
    known = {"features", "n_train", "repeat", "tau", "depth", *_SECONDS}
    further = [column for column in cells.select_dtypes("number") if column not in known]
    seconds = sums.sum(axis=1)
    sums = sums.assign(seconds=seconds, seconds_per_cell=seconds / groups.size())
    result = sums.join(groups[further].mean())
    result.insert(0, "cells", groups.size())
    return result.reset_index()
