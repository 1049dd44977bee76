"""Compares models: means over repeats, averages and ranks over data sets, paired differences.

All functions take the scores of `benchmark.scores` or the frame that `summarise` makes of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit
from scipy.stats import studentized_range

from curvecast.curves import DataError, collection_of
from curvecast.files import read_parquet

CELL = ("dataset", "model", "features", "tau", "fraction", "n_train")
# Columns of `summarise` that are means of a score, by the name of the score.
_MEANS = {
    **{name: f"{name}_mean" for name in ("mse", "mae", "spearman", "kendall", "nll", "crps")},
    **{name: name for name in ("cover50", "cover80", "cover95", "width80")},
}
SUMMARY_COLUMNS = (
    *CELL,
    *("repeats", "r2_mean", "r2_se", "r2_median", "r2_min"),
    *_MEANS.values(),
)
# Metrics that models are ranked by: the column of `summarise`, and whether small is good.
METRICS = {"R²": ("r2_mean", False), "MAE": ("mae_mean", True)}
LEVEL = 0.05
LOWEST_R2 = 0.1
_GROUP = ["collection", "fraction", "n_train"]


# Means over repeats


def load_scores(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read score files into one frame, sorted by the keys of its rows.

    Raises
    ------
    DataError : a damaged file, a missing column, or a cell that occurs twice.
    """
    frames = []
    for path in sorted(map(str, paths)):
        frame, _ = read_parquet(path)
        for column in (*CELL, "experiment", "repeat", "n_test", "r2"):
            if column not in frame:
                raise DataError("missing column in scores", file=path, column=column)
        frames.append(frame)
    return _in_order(pd.concat(frames, ignore_index=True))


def _in_order(scores: pd.DataFrame) -> pd.DataFrame:
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


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per cell over its repeats, with the columns of `r2.csv`.

    `r2_se` is the standard deviation over repeats divided by the root of their number; the
    repeats overlap, so it understates. It is NaN for a single repeat. The column `depth` follows
    the others where the scores have it.

    Raises
    ------
    DataError : scores of several experiments, or two scores for one cell.
    """
    if "experiment" in scores and scores["experiment"].nunique() > 1:
        raise DataError(f"scores of several experiments: {sorted(set(scores['experiment']))}")
    keys = [key for key in _keys(scores) if key != "experiment"]
    groups = _in_order(scores).groupby(keys, sort=True)
    r2, repeats = groups["r2"], groups.size()
    columns = {
        "repeats": repeats,
        "r2_mean": _mean(r2),
        "r2_se": r2.std(ddof=1) / np.sqrt(repeats),
        "r2_median": r2.median(),
        "r2_min": r2.min(),
        **{column: _mean(groups[score]) for score, column in _MEANS.items()},
    }
    frame = pd.DataFrame(columns).reset_index()
    return frame[[*SUMMARY_COLUMNS, *(["depth"] if "depth" in frame else [])]]


def _mean(groups: Any) -> pd.Series:
    """Mean of each group; NaN where one of its values is, so that no repeat drops out unseen."""
    return groups.agg(lambda values: np.mean(values.to_numpy()))


# Paired differences


def differences(scores: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """R² of each model against the best one of its data set and fraction, paired over repeats.

    The standard error is that of Nadeau and Bengio (2003, Inference for the generalization
    error, section 3): s² (1 / J + n_test / n_train) for J repeats with variance s² of the
    difference, which allows for overlapping training sets. The interval is Student's t with
    J - 1 degrees of freedom. The best model is the one with the highest mean R² and is compared
    with nothing; it is selected for being best, so small differences are too large.

    Returns
    -------
    One row per data set, fraction, n_train and other model. `difference` = model - best; `low`
    and `high` bound the interval of this one comparison and `p` is its two-sided p-value;
    `p_holm` is adjusted for all comparisons with the best model of the data set and fraction
    (Holm 1979), and `resolved` tells whether it is under 1 - `level`. `n_test` is the mean over
    the repeats (groups of repeated configurations make it vary a little).

    Raises
    ------
    DataError : a model without R² in a repeat that another model has.
    """
    keys = ["dataset", "fraction", "tau", "n_train"]
    parts = [
        _against_best(part, dict(zip(keys, key, strict=True)), level)
        for key, part in scores.groupby(keys, sort=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _against_best(part: pd.DataFrame, cell: dict[str, Any], level: float) -> pd.DataFrame:
    table = part.pivot(index=["model", "features"], columns="repeat", values="r2")
    r2, labels = table.to_numpy(), table.index.to_frame(index=False)
    for row in np.flatnonzero(np.isnan(r2).any(axis=1)):
        raise DataError(
            f"{labels['model'][row]} on {labels['features'][row]} has no R² in a repeat of "
            + ", ".join(f"{key} {value}" for key, value in cell.items())
        )
    means, repeats = r2.mean(axis=1), r2.shape[1]
    best = int(means.argmax())
    others = np.arange(len(means)) != best
    gaps = (r2 - r2[best])[others]
    n_test = float(part.drop_duplicates("repeat")["n_test"].mean())
    difference, se = gaps.mean(axis=1), np.full(len(gaps), np.nan)
    if repeats > 1:
        se = np.sqrt((1 / repeats + n_test / cell["n_train"]) * np.var(gaps, axis=1, ddof=1))
    reach = stdtrit(repeats - 1, 0.5 + level / 2) * se
    # A difference that is the same in every repeat has p = 0, or 1 where it is 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(difference == 0, 0.0, np.abs(difference) / se)
    p = 2 * stdtr(repeats - 1, -t)
    p_holm = p
    if len(p) and not np.isnan(p).any():
        # Imported here: it takes a second, and every job that writes a table imports this module.
        from statsmodels.stats.multitest import multipletests

        p_holm = multipletests(p, method="holm")[1]
    return pd.DataFrame(
        {
            **cell,
            "n_test": n_test,
            "repeats": repeats,
            "model": labels["model"][others].to_numpy(),
            "features": labels["features"][others].to_numpy(),
            "best_model": labels["model"][best],
            "best_features": labels["features"][best],
            "r2_mean": means[others],
            "best_r2_mean": means[best],
            "difference": difference,
            "se": se,
            "low": difference - reach,
            "high": difference + reach,
            "p": p,
            "p_holm": p_holm,
            "resolved": p_holm < 1 - level,
        }
    )


# Averages and ranks over data sets


def averages(summary: pd.DataFrame) -> pd.DataFrame:
    """Averages and ranks of models over the data sets of each collection apart.

    Only data sets on which every model of the collection has an R² at that fraction count. The
    sets of LCBench and of TaskSet share their configurations: they are no replicates, and no
    standard error over data sets is given. Columns: `collection, fraction, n_train, model,
    features, datasets` (their number), `r2_mean`, `r2_median` and `r2_min` over data sets of the
    mean over repeats, `rank_r2` and `rank_mae` (mean rank, 1 = best, ties share the average) and
    `best_on` (data sets on which its R² is the highest).
    """
    frame = summary.assign(collection=summary["dataset"].map(collection_of))
    parts = []
    for key, part in frame.groupby(_GROUP, sort=True):
        index = ["model", "features"]
        r2 = part.pivot(index=index, columns="dataset", values="r2_mean").dropna(axis=1)
        if r2.empty:
            continue
        mae = part.pivot(index=index, columns="dataset", values="mae_mean")[r2.columns]
        ranks = r2.rank(ascending=False, axis=0)
        columns = {
            "datasets": r2.shape[1],
            "r2_mean": r2.mean(axis=1),
            "r2_median": r2.median(axis=1),
            "r2_min": r2.min(axis=1),
            "rank_r2": ranks.mean(axis=1),
            "rank_mae": mae.rank(axis=0).mean(axis=1),
            "best_on": (ranks == ranks.min(axis=0)).sum(axis=1),
        }
        parts.append(_with_keys(pd.DataFrame(columns).reset_index(), key))
    return pd.concat(parts, ignore_index=True)


def _with_keys(frame: pd.DataFrame, key: Any) -> pd.DataFrame:
    keys = dict(zip(_GROUP, key, strict=True))
    return frame.assign(**keys)[[*keys, *frame.columns]]


def average_ranks(summary: pd.DataFrame, min_sets: int) -> pd.DataFrame:
    """Average ranks of the models by R² and by MAE, per collection and fraction.

    On every data set the models are ranked by their mean over repeats, 1 = best. Two models
    differ where their average ranks are further apart than the critical difference of the Nemenyi
    test (Demšar 2006, Statistical comparisons of classifiers over multiple data sets). Columns:
    `collection, fraction, n_train, metric, model` (the best first), `average_rank`, `sets` (data
    sets counted, see `uncounted`), `critical_difference` and `group`, empty where `sets` is under
    `min_sets`. Models that share a letter in `group` do not differ.

    Raises
    ------
    DataError : two values of a model in one cell.
    """
    parts = []
    for key, part in _cells(summary):
        counted = _counted(part)
        for metric, (column, ascending) in METRICS.items():
            values = part.pivot(index="model", columns="dataset", values=column)[counted]
            mean = values.rank(axis=0, ascending=ascending).mean(axis=1).sort_index()
            mean = mean.sort_values(kind="stable")
            known = len(counted) >= min_sets and len(mean) > 1
            gap = critical_difference(len(mean), len(counted)) if known else np.nan
            columns = {
                "metric": metric,
                "model": mean.index,
                "average_rank": mean.to_numpy(),
                "sets": len(counted),
                "critical_difference": gap,
                "group": letters(mean.to_numpy(), gap) if known else "",
            }
            parts.append(_with_keys(pd.DataFrame(columns), key))
    return pd.concat(parts, ignore_index=True)


def uncounted(summary: pd.DataFrame) -> pd.DataFrame:
    """Data sets that `average_ranks` leaves out: R² under .1 for all models, or not defined.

    Returns `collection, fraction, n_train, dataset, best_model, best_r2`; the last two are empty
    where a model has no R².
    """
    rows = []
    for key, part in _cells(summary):
        left = part[~part["dataset"].isin(_counted(part))]
        for dataset, models in left.groupby("dataset", sort=True):
            known = models.set_index("model")["r2_mean"]
            best = ("", np.nan) if known.isna().any() else (known.idxmax(), known.max())
            rows.append((*key, dataset, *best))
    return pd.DataFrame(rows, columns=[*_GROUP, "dataset", "best_model", "best_r2"])


def _cells(summary: pd.DataFrame) -> Iterable[tuple[Any, pd.DataFrame]]:
    frame = summary.assign(collection=summary["dataset"].map(collection_of))
    twice = frame.duplicated(["dataset", "fraction", "n_train", "model"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise DataError(f"several values of {row['model']} on {row['dataset']} cannot be ranked")
    return frame.groupby(_GROUP, sort=True)


def _counted(part: pd.DataFrame) -> list[str]:
    """Data sets of a cell on which all models have an R², the best one of at least LOWEST_R2."""
    table = part.pivot(index="model", columns="dataset", values="r2_mean")
    return list(table.columns[table.notna().all(axis=0) & (table.max(axis=0) >= LOWEST_R2)])


def critical_difference(n_models: int, n_sets: int) -> float:
    """Distance of average ranks from which on two models differ at the level .05 (Nemenyi).

    q sqrt(k (k + 1) / (6 N)) for k models on N data sets, with q the upper 5 % point of the
    studentised range over root 2.
    """
    q = studentized_range.ppf(1 - LEVEL, n_models, np.inf) / np.sqrt(2)
    return float(q * _rank_error(n_models, n_sets))


def nemenyi(ranks: np.ndarray, n_sets: int) -> np.ndarray:
    """p-values of all pairs of average ranks, shape (n_models, n_models), 1 on the diagonal.

    scikit-posthocs has this test for scores alone, not for average ranks.
    """
    q = np.abs(ranks[:, None] - ranks) / _rank_error(len(ranks), n_sets) * np.sqrt(2)
    p = studentized_range.sf(q, len(ranks), np.inf)
    np.fill_diagonal(p, 1.0)
    return p


def _rank_error(n_models: int, n_sets: int) -> float:
    """Standard error of a difference of two average ranks where all models are alike."""
    return float(np.sqrt(n_models * (n_models + 1) / (6 * n_sets)))


def letters(ranks: np.ndarray, gap: float) -> list[str]:
    """A letter for every largest group of models whose ranks lie within `gap`.

    `ranks` increase; a model has the letters of all groups that it is in.
    """
    ends = np.searchsorted(ranks, ranks + gap, side="right")
    # A group that ends where an earlier one does is a part of it.
    starts = [i for i in range(len(ranks)) if i == 0 or ends[i] > ends[i - 1]]
    groups = list(zip(ascii_lowercase, starts, strict=False))
    return [
        "".join(a for a, start in groups if start <= i < ends[start]) for i in range(len(ranks))
    ]
