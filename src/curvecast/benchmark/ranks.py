"""Averages and ranks of models over the data sets of a collection.

All functions take the frame that `comparisons.summarise` makes.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_lowercase
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import studentized_range

from curvecast.benchmark.comparisons import METRICS
from curvecast.curves import DataError, collection_of

LEVEL = 0.05
LOWEST_R2 = 0.1
_GROUP = ["collection", "fraction", "n_train"]


def average(summary: pd.DataFrame) -> pd.DataFrame:
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
        rows = pd.DataFrame(columns).reset_index()
        parts.append(_with_keys(rows if r2.shape[1] else rows[:0], key))
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
        for metric, (score, ascending) in METRICS.items():
            values = part.pivot(index="model", columns="dataset", values=f"{score}_mean")[counted]
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
