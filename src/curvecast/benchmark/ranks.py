"""Which models differ over the data sets of a collection: average ranks and critical differences.

On every data set the models are ranked by their mean over repeats, 1 = best. Two models differ
where their average ranks over N data sets are further apart than the critical difference of the
Nemenyi test, q sqrt(k (k + 1) / (6 N)) for k models, with q the upper 5 % point of the studentised
range over root 2 (Demšar 2006, Statistical comparisons of classifiers over multiple data sets).
"""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_lowercase
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import studentized_range

from curvecast.curves import DataError, collection_of

METRICS = {"R²": ("r2_mean", False), "MAE": ("mae_mean", True)}
COLUMNS = (
    "collection",
    "fraction",
    "n_train",
    "metric",
    "model",
    "average_rank",
    "sets",
    "critical_difference",
    "group",
)
LOWEST_R2 = 0.1
LEVEL = 0.05


def average_ranks(summary: pd.DataFrame, min_sets: int) -> pd.DataFrame:
    """Average ranks of the models by R² and by MAE, per collection and fraction.

    Parameters
    ----------
    summary : frame of `tables.summarise` of the main protocol.
    min_sets : data sets that a critical difference needs.

    Returns
    -------
    One row per (collection, fraction, n_train, metric, model), the best first: the columns
    `COLUMNS`. `sets` is the number of data sets counted (see `uncounted`); `critical_difference`
    and `group` are empty where it is under `min_sets`. Models that share a letter in `group` are
    not told apart.
    """
    parts = []
    for (collection, fraction, n_train), part in _cells(summary):
        counted = _counted(part)
        for metric, (column, ascending) in METRICS.items():
            values = part.pivot(index="model", columns="dataset", values=column)[counted]
            mean = values.rank(axis=0, ascending=ascending).mean(axis=1).sort_index()
            mean = mean.sort_values(kind="stable")
            known = len(counted) >= min_sets and len(mean) > 1
            gap = critical_difference(len(mean), len(counted)) if known else np.nan
            frame = pd.DataFrame(
                {
                    "model": mean.index,
                    "average_rank": mean.to_numpy(),
                    "sets": len(counted),
                    "critical_difference": gap,
                    "group": letters(mean.to_numpy(), gap) if known else "",
                }
            )
            keys = {
                "collection": collection,
                "fraction": fraction,
                "n_train": n_train,
                "metric": metric,
            }
            parts.append(frame.assign(**keys))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def uncounted(summary: pd.DataFrame) -> pd.DataFrame:
    """Data sets that `average_ranks` leaves out: nobody predicts them, or R² is not defined.

    Returns `collection, fraction, n_train, dataset, best_model, best_r2`; the last two are empty
    where a model has no R².
    """
    rows = []
    for (collection, fraction, n_train), part in _cells(summary):
        counted = _counted(part)
        for dataset, mine in part.groupby("dataset", sort=True):
            if dataset in counted:
                continue
            defined = mine["r2_mean"].notna().all()
            best = mine.iloc[int(mine["r2_mean"].argmax())] if defined else None
            rows.append(
                {
                    "collection": collection,
                    "fraction": fraction,
                    "n_train": n_train,
                    "dataset": dataset,
                    "best_model": "" if best is None else best["model"],
                    "best_r2": np.nan if best is None else best["r2_mean"],
                }
            )
    columns = ["collection", "fraction", "n_train", "dataset", "best_model", "best_r2"]
    return pd.DataFrame(rows, columns=columns)


def critical_difference(n_models: int, n_sets: int) -> float:
    """Distance of average ranks from which on two models differ at the level .05 (Nemenyi)."""
    q = studentized_range.ppf(1 - LEVEL, n_models, np.inf) / np.sqrt(2)
    return float(q * _rank_error(n_models, n_sets))


def nemenyi(ranks: np.ndarray, n_sets: int) -> np.ndarray:
    """p-values of all pairs of average ranks, shape (n_models, n_models), 1 on the diagonal."""
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
    # a group that ends where an earlier one does is a part of it
    starts = [i for i in range(len(ranks)) if i == 0 or ends[i] > ends[i - 1]]
    groups = [range(start, ends[start]) for start in starts]
    return [
        "".join(
            letter for letter, group in zip(ascii_lowercase, groups, strict=False) if i in group
        )
        for i in range(len(ranks))
    ]


def _cells(summary: pd.DataFrame) -> Iterable[tuple[Any, pd.DataFrame]]:
    frame = summary.assign(collection=summary["dataset"].map(collection_of))
    twice = frame.duplicated(["dataset", "fraction", "n_train", "model"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise DataError(f"several values of {row['model']} on {row['dataset']} cannot be ranked")
    return frame.groupby(["collection", "fraction", "n_train"], sort=True)


def _counted(part: pd.DataFrame) -> list[str]:
    """Data sets of a cell on which all models have an R², the best one of at least LOWEST_R2."""
    table = part.pivot(index="model", columns="dataset", values="r2_mean")
    kept = table.notna().all(axis=0) & (table.max(axis=0) >= LOWEST_R2)
    return list(table.columns[kept])
