"""Compares models on data sets: means over repeats, and paired differences with their errors.

All functions take the scores and bootstrap draws of `benchmark.scores`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from curvecast.curves import DataError
from curvecast.files import read_parquet

CELL = ("dataset", "model", "features", "tau", "fraction", "n_train")
# Columns of `summarise` that are means of a score, by the name of the score.
_MEANS = {
    **{name: f"{name}_mean" for name in ("mse", "mae", "spearman", "kendall", "nll", "crps")},
    **{name: name for name in ("cover50", "cover80", "cover95", "width80")},
    **{name: name for name in ("cover80_top", "exceed_top")},
}
SUMMARY_COLUMNS = (
    *CELL,
    *("repeats", "r2_mean", "r2_se", "r2_median", "r2_min"),
    *_MEANS.values(),
    "unseen",
)
# Metrics that models are compared by: the score, and whether small is good.
METRICS = {"R²": ("r2", False), "MAE": ("mae", True)}


# Means over repeats


def load_scores(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read score files into one frame, sorted by the keys of its rows.

    A cell of several experiments counts once, as that of the first (the main protocol). Raises
    DataError for a damaged file, a missing column, or a cell that occurs twice.
    """
    frames = []
    for path in sorted(map(str, paths)):
        frame, _ = read_parquet(path)
        for column in (*CELL, "experiment", "repeat", "n_test", "r2"):
            if column not in frame:
                raise DataError("missing column in scores", file=path, column=column)
        frames.append(frame)
    scores = _in_order(pd.concat(frames, ignore_index=True))
    keys = [key for key in (*_keys(scores), "repeat") if key != "experiment"]
    return scores.drop_duplicates(keys, ignore_index=True)


def load_draws(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read the files of bootstrap draws beside score files into one frame, each cell once."""
    draws = pd.concat([read_parquet(path)[0] for path in sorted(map(str, paths))])
    return draws.sort_values("experiment", kind="stable").drop_duplicates([*CELL, "draw"])


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

    `r2_se`: the root of the variance over repeats, divided by their number, plus the variance over
    bootstrap draws of the test runs where all repeats share those; elsewhere the training runs
    overlap, and it understates. It is NaN for a single repeat. The column `depth` follows the
    others where the scores have it. Raises DataError for two scores of one cell.
    """
    keys = [key for key in _keys(scores) if key != "experiment"]
    groups = _in_order(scores).groupby(keys, sort=True)
    r2, repeats = groups["r2"], groups.size()
    columns = {
        "repeats": repeats,
        "r2_mean": _mean(r2),
        "r2_se": np.sqrt(r2.var(ddof=1) / repeats + groups["r2_test_se"].first().fillna(0) ** 2),
        "r2_median": r2.median(),
        "r2_min": r2.min(),
        **{column: _mean(groups[score]) for score, column in _MEANS.items()},
        "unseen": groups["unseen"].first(),
    }
    frame = pd.DataFrame(columns).reset_index()
    return frame[[*SUMMARY_COLUMNS, *(["depth"] if "depth" in frame else [])]]


def largest(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with the largest number of training runs of their data set: the main protocol's."""
    return frame[frame["n_train"] == frame.groupby("dataset")["n_train"].transform("max")]


def _mean(groups: Any) -> pd.Series:
    """Mean of each group; NaN where one of its values is, so that no repeat drops out unseen."""
    return groups.agg(lambda values: np.mean(values.to_numpy()))


# Paired differences


def differences(scores: pd.DataFrame, draws: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """R² and MAE of each model against the best one and `last_value`, paired over repeats.

    Where the training sets of the repeats are disjoint and their test runs the same, the squared
    standard error is s² / J + b²: s² is the variance of the difference over the J repeats, b² its
    variance over the bootstrap `draws` of the test runs (of `scores.bootstrap`), each the mean over
    repeats. Elsewhere it is s² (1 / J + n_test / n_train), which allows for training sets that
    overlap (Nadeau and Bengio 2003, Inference for the generalization error, section 3) and
    assumes fewer test than training runs. The interval is Student's t with the degrees of freedom
    of Satterthwaite (1946). The best model is the one with the best mean; it is selected for
    being best, so small differences from it are too large.

    Returns
    -------
    One row per data set, fraction, n_train, metric, reference ("best" or "last_value") and other
    model; none by R² where a repeat has no R² of any model (its test runs all end alike). `error`
    is "disjoint" or "Nadeau-Bengio"; `difference` = model - reference; `low` and `high` bound the
    interval of this one comparison and `p` is its two-sided p-value; `p_holm` is adjusted for all
    comparisons with the same reference (Holm 1979), and `resolved` tells whether it is under 1 -
    `level`. `n_test` is the mean over the repeats. NaN where there is a single repeat, or no error
    is known (overlapping repeats without training runs).

    Raises
    ------
    DataError : a model without R² in a repeat that another model has.
    """
    parts = [
        _compared(*cell, metric, level) for cell in _cells(scores, draws) for metric in METRICS
    ]
    return pd.concat([part for pair in parts for part in pair], ignore_index=True)


def _cells(
    scores: pd.DataFrame, draws: pd.DataFrame
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame | None, dict[str, Any]]]:
    """Scores, draws (None where there are none) and keys of what is compared with each other."""
    keys = ["dataset", "fraction", "tau", "n_train"]
    drawn = dict(iter(draws.groupby(keys)))
    for key, part in scores.groupby(keys, sort=True):
        yield part, drawn.get(key), dict(zip(keys, key, strict=True))


def _by_model(
    part: pd.DataFrame, draws: pd.DataFrame | None, score: str
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A score of each model, a row, over repeats; the same over draws where there are some."""
    index = ["model", "features"]
    table = part.pivot(index=index, columns="repeat", values=score)
    if draws is None:
        return table, None
    drawn = draws.pivot(index=index, columns="draw", values=score)
    return table, drawn.reindex(table.index).astype(np.float64)


def _compared(
    part: pd.DataFrame, draws: pd.DataFrame | None, cell: dict[str, Any], metric: str, level: float
) -> list[pd.DataFrame]:
    """Rows of `differences` for one cell and metric, by reference."""
    score, ascending = METRICS[metric]
    table, by_draw = _by_model(part, draws, score)
    values, labels = table.to_numpy(), table.index.to_frame(index=False)
    if np.isnan(values).all(axis=0).any():
        return []
    for row in np.flatnonzero(np.isnan(values).any(axis=1)):
        raise DataError(
            f"{labels['model'][row]} on {labels['features'][row]} has no {metric} in a repeat of "
            + ", ".join(f"{key} {value}" for key, value in cell.items())
        )
    drawn = None if by_draw is None else by_draw.to_numpy()
    means = values.mean(axis=1)
    n_test = float(part.drop_duplicates("repeat")["n_test"].mean())
    references = {"best": int((means if ascending else -means).argmin())}
    if "last_value" in (names := labels["model"].tolist()):
        references["last_value"] = names.index("last_value")
    rows = []
    for reference, at in references.items():
        others = np.arange(len(means)) != at
        gaps = (values - values[at])[others]
        apart = None if drawn is None else (drawn - drawn[at])[others]
        columns = {
            **cell,
            "metric": metric,
            "n_test": n_test,
            "repeats": values.shape[1],
            "error": "Nadeau-Bengio" if drawn is None else "disjoint",
            "reference": reference,
            **{name: labels[name][others].to_numpy() for name in ("model", "features")},
            **{f"reference_{name}": labels[name][at] for name in ("model", "features")},
            "mean": means[others],
            "reference_mean": means[at],
        }
        tests = _tests(gaps, apart, n_test / max(cell["n_train"], 1e-300), level)
        rows.append(pd.DataFrame({**columns, **tests}))
    return rows


def standard_error(
    gaps: np.ndarray, drawn: np.ndarray | None, overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of the mean over repeats, and its degrees of freedom; see `differences`.

    `gaps` have shape (n, n_repeats), `drawn` the same quantity per bootstrap draw, shape (n,
    n_draws), or None where training sets overlap; `overlap` is n_test / n_train then.
    """
    repeats = gaps.shape[1]
    if repeats < 2:
        return np.full(len(gaps), np.nan), np.full(len(gaps), np.nan)
    variance = np.var(gaps, axis=1, ddof=1)
    if drawn is None:
        se = np.sqrt((1 / repeats + overlap) * variance)
        return np.where(overlap < 1e12, se, np.nan), np.full(len(gaps), repeats - 1.0)
    training, test = variance / repeats, np.nanvar(drawn, axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = (repeats - 1) * (1 + test / training) ** 2
    return np.sqrt(training + test), np.where(training > 0, freedom, 1e6)


def _tests(
    gaps: np.ndarray, drawn: np.ndarray | None, overlap: float, level: float
) -> dict[str, np.ndarray]:
    """The columns of `differences` from `difference` on."""
    difference = gaps.mean(axis=1)
    se, freedom = standard_error(gaps, drawn, overlap)
    reach = stdtrit(freedom, 0.5 + level / 2) * se
    # A difference that is the same in every repeat has p = 0, or 1 where it is 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(difference == 0, 0.0, np.abs(difference) / se)
    p = 2 * stdtr(freedom, -t)
    p_holm = p if np.isnan(p).any() else holm(p)
    return {
        **{"difference": difference, "se": se},
        **{"low": difference - reach, "high": difference + reach},
        **{"p": p, "p_holm": p_holm, "resolved": p_holm < 1 - level},
    }


def holm(p: np.ndarray) -> np.ndarray:
    """p-values adjusted for multiple comparisons (Holm 1979), same shape (n,).

    The same as statsmodels' `multipletests`, which collects garbage at each call: that took most
    of the time of the R² tables.
    """
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1)


def over_last_value(scores: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """MAE of every model over that of `last_value` on the same test runs.

    `mae_ratio` is the ratio of the sums over repeats, `mae_ratio_se` that of `differences` for
    MAE - ratio * MAE of last_value, over the latter. Columns: `dataset, model, features, fraction,
    tau, n_train, repeats, mae_ratio, mae_ratio_se`; no row where `last_value` was not run.
    """
    cells = _cells(scores, draws)
    parts = [_ratios(*cell) for cell in cells if (cell[0]["model"] == "last_value").any()]
    columns = ["dataset", "model", "features", "fraction", "tau", "n_train", "repeats"]
    columns += ["mae_ratio", "mae_ratio_se"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _ratios(part: pd.DataFrame, draws: pd.DataFrame | None, cell: dict[str, Any]) -> pd.DataFrame:
    table, wide = _by_model(part, draws, "mae")
    last = table.loc["last_value"].to_numpy()
    ratio = table.mean(axis=1).to_numpy() / last.mean()
    drawn = None
    if wide is not None:
        drawn = wide.to_numpy() - ratio[:, None] * wide.loc["last_value"].to_numpy()
    overlap = float(part["n_test"].mean()) / max(cell["n_train"], 1e-300)
    se, _ = standard_error(table.to_numpy() - ratio[:, None] * last, drawn, overlap)
    columns = {"repeats": table.shape[1], "mae_ratio": ratio, "mae_ratio_se": se / last.mean()}
    return table.index.to_frame(index=False).assign(**cell, **columns)
