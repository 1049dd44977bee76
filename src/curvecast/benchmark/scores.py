"""Scores predictions: one row per cell (features, n_train, repeat, tau).

`write_scores` turns `predictions/{dataset}/{model}[.{experiment}].parquet` of all models into
`scores/{dataset}[.{experiment}].parquet`; `read_predictions` is the only reader of
prediction files, and the place where quantiles are filled in from the shape of a cell.

All scores are over the test runs of a cell, in the unit of the metric where they have one:

- `r2` = 1 - SSE / SST with SST around the mean of the test targets. NaN where all test targets
  are equal: SST is 0 and R² is not defined. It has no lower bound.
- `mse`, `mae`: errors of the predictive mean.
- `spearman`, `kendall` (tau-b): rank correlations of mean and target; NaN where one of them is
  constant (the model `mean` always is).
- `nll`: mean of -log p(y). `crps`: mean of the continuous ranked probability score
  (Gneiting & Raftery 2007, Strictly proper scoring rules, section 4.2).
- `cover50`, `cover80`, `cover90`, `cover95`, `cover99`: share of targets inside the closed
  intervals q25..q75, q10..q90, q05..q95, q025..q975, q005..q995. `width80`: mean of q90 - q10.

Distributions. A prediction is scored as the distribution whose quantile function is linear in
the standard normal score z between the stored levels and beyond them (its tails are Gaussian).
Its NLL and its CRPS are exact for that distribution, hence proper scores of it, and both equal
the Gaussian ones when the quantiles are Gaussian. Two equal quantiles have no density: slopes are
bounded below by 1e-6 of the standard deviation of the cell's targets in the NLL and in the CRPS,
so that a point mass that misses costs much but not infinitely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from scipy.stats import kendalltau, rankdata

from curvecast import protocol
from curvecast.files import DataError, read_parquet, write_parquet
from curvecast.predictors.quantiles import LEVELS, SHAPES

INTERVALS: Mapping[str, tuple[str, str]] = {
    "cover50": ("q25", "q75"),
    "cover80": ("q10", "q90"),
    "cover90": ("q05", "q95"),
    "cover95": ("q025", "q975"),
    "cover99": ("q005", "q995"),
}
KEYS = ("features", "n_train", "repeat", "tau")
SCORES = ("r2", "mse", "mae", "spearman", "kendall", "nll", "crps", *INTERVALS, "width80")
_SMALLEST_SPREAD = 1e-6
_KNOTS = ndtri(np.array(list(LEVELS.values())))


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read a prediction file with every quantile filled in.

    Returns the columns of the file but those of `SHAPES`, floats as float64. Quantiles that are
    null are y_mean + y_std times the shape, or times the normal score where that is null too.

    Raises
    ------
    DataError : not a Parquet file, a missing column, a value that is not finite, a negative
        standard deviation, or a row with some quantiles (or shapes) but not all.
    """
    frame, _ = read_parquet(path)
    return fill_quantiles(frame, file=path)


def fill_quantiles(frame: pd.DataFrame, file: str | Path | None = None) -> pd.DataFrame:
    """`read_predictions` on a frame in memory; `file` is named in error messages."""
    numbers = ("y_true", "y_mean", "y_std")
    for column in (*KEYS, "configuration", *numbers):
        if column not in frame:
            raise DataError("missing column in predictions", file=file, column=column)
    filled = frame.copy()
    for column in numbers:
        values = filled[column].to_numpy(dtype=np.float64)
        bad = ~np.isfinite(values) | ((column == "y_std") & (values < 0))
        for row in map(int, np.flatnonzero(bad)):
            raise DataError(f"{values[row]} in a prediction", file=file, row=row, column=column)
        filled[column] = values
    quantiles = _complete_or_null(frame, list(LEVELS), file)
    shapes = _complete_or_null(frame, list(SHAPES.values()), file)
    shapes = np.where(np.isnan(shapes), _KNOTS, shapes)
    mean, std = filled["y_mean"].to_numpy()[:, None], filled["y_std"].to_numpy()[:, None]
    filled = filled.drop(columns=list(SHAPES.values()), errors="ignore")
    filled[list(LEVELS)] = np.where(np.isnan(quantiles), mean + std * shapes, quantiles)
    return filled


def _complete_or_null(
    frame: pd.DataFrame, columns: Sequence[str], file: str | Path | None
) -> np.ndarray:
    """Float columns of which a row has all or none, shape (n, n_columns); NaN where it has none."""
    values = frame.reindex(columns=list(columns)).to_numpy(dtype=np.float64, na_value=np.nan)
    missing = np.isnan(values)
    for row in map(int, np.flatnonzero(missing.any(axis=1) & ~missing.all(axis=1))):
        column = columns[int(missing[row].argmax())]
        text = "a quantile is missing where others are given"
        raise DataError(text, file=file, row=row, column=column)
    return values


def score(y_true: np.ndarray, y_mean: np.ndarray, quantiles: np.ndarray) -> dict[str, float]:
    """All scores of one cell.

    Parameters
    ----------
    y_true, y_mean : float64 arrays of shape (n_test,), in the unit of the metric.
    quantiles : array of shape (n_test, n_levels) at `LEVELS`, not decreasing along a row.
    """
    error = y_true - y_mean
    scale = float(y_true.std()) or float(np.abs(y_true).max()) or 1.0
    nll, crps = quantile_nll_crps(y_true, quantiles, _SMALLEST_SPREAD * scale)
    edges = dict(zip(LEVELS, quantiles.T, strict=True))
    inside = {
        name: float(np.mean((edges[low] <= y_true) & (y_true <= edges[high])))
        for name, (low, high) in INTERVALS.items()
    }
    constant = np.ptp(y_true) == 0 or np.ptp(y_mean) == 0
    ranks = rankdata(y_true), rankdata(y_mean)
    return {
        "r2": r2(y_true, y_mean),
        "mse": float(np.mean(error**2)),
        "mae": float(np.mean(np.abs(error))),
        "spearman": float("nan") if constant else float(np.corrcoef(*ranks)[0, 1]),
        "kendall": float(kendalltau(y_true, y_mean).statistic),
        "nll": float(np.mean(nll)),
        "crps": float(np.mean(crps)),
        **inside,
        "width80": float(np.mean(edges["q90"] - edges["q10"])),
    }


def r2(y_true: np.ndarray, y_mean: np.ndarray) -> float:
    """1 - SSE / SST; NaN where all targets are equal."""
    if np.ptp(y_true) == 0:
        return float("nan")
    return float(1 - np.sum((y_true - y_mean) ** 2) / np.sum((y_true - y_true.mean()) ** 2))


def quantile_nll_crps(
    y: np.ndarray, quantiles: np.ndarray, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """NLL and CRPS of the distribution whose quantile function is linear in the normal score.

    With knots (z_k, q_k) at `LEVELS`, q(z) has a constant slope between knots, and the outer
    slopes go on for ever. Substituting x = q(z) gives p(y) = phi(z_y) / q'(z_y) and

        CRPS = integral of (Phi(z) - 1{z >= z_y})² q'(z) dz,

    which is a sum over segments of slope times a difference of the antiderivative of Phi².

    Parameters
    ----------
    y : shape (n,). quantiles : shape (n, n_levels). floor : smallest slope (standard deviation).

    Returns
    -------
    Two arrays of shape (n,).
    """
    inner = np.maximum(np.diff(quantiles, axis=1) / np.diff(_KNOTS), floor)
    slopes = np.column_stack([inner[:, 0], inner, inner[:, -1]])
    # The floor moves equal quantiles apart, so the values at the knots are summed again from the
    # middle outwards.
    middle = len(_KNOTS) // 2 - 1
    at = np.column_stack([np.zeros(len(y)), np.cumsum(inner * np.diff(_KNOTS), axis=1)])
    at += (quantiles[:, middle] - at[:, middle])[:, None]
    segment = np.sum(y[:, None] > at, axis=1)
    left = np.maximum(segment - 1, 0)
    rows = np.arange(len(y))
    slope = slopes[rows, segment]
    z_y = _KNOTS[left] + (y - at[rows, left]) / slope
    nll = 0.5 * np.log(2 * np.pi) + 0.5 * z_y**2 + np.log(slope)

    z, low, high = z_y[:, None], np.r_[-np.inf, _KNOTS], np.r_[_KNOTS, np.inf]
    below = _squared_cdf(np.minimum(z, high)) - _squared_cdf(np.minimum(z, low))
    above = _squared_cdf(-np.maximum(z, low)) - _squared_cdf(-np.maximum(z, high))
    return nll, np.sum(slopes * (below + above), axis=1)


def _squared_cdf(z: np.ndarray) -> np.ndarray:
    """Integral of Phi(t)² for t from -inf to z."""
    at = np.where(np.isneginf(z), 0.0, z)
    density = np.exp(-0.5 * at**2) / np.sqrt(2 * np.pi)
    value = at * ndtr(at) ** 2 + 2 * density * ndtr(at) - ndtr(np.sqrt(2) * at) / np.sqrt(np.pi)
    return np.where(np.isneginf(z), 0.0, value)


def score_frame(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores of every cell of a prediction frame, as `read_predictions` returns it.

    Returns one row per cell, sorted by its keys: `features, n_train, repeat, tau` (and `depth`
    where the frame has it: trained below this depth, tested on the others), `n_test` and
    `SCORES`. The order of the rows given does not matter.
    """
    keys = [*KEYS, *(["depth"] if "depth" in predictions else [])]
    ordered = predictions.astype({"features": str}).sort_values(
        [*keys, "configuration"], kind="stable", ignore_index=True
    )
    columns = ("y_true", "y_mean", list(LEVELS))
    rows = []
    for cell, part in ordered.groupby(keys, sort=True):
        scores = score(*(part[column].to_numpy() for column in columns))
        rows.append({**dict(zip(keys, cell, strict=True)), "n_test": len(part), **scores})
    return pd.DataFrame(rows, columns=[*keys, "n_test", *SCORES])


def write_scores(
    predictions: Mapping[str, str | Path],
    curves: str | Path,
    out: str | Path,
    *,
    fractions: Sequence[float],
    epochs: Sequence[int] = (),
    experiment: str = "main",
) -> pd.DataFrame:
    """Score the prediction file of each model on a data set, whose curve file is `curves`.

    Writes and returns `score_frame` with the columns `dataset`, `model`, `experiment` in front and
    `fraction` beside `tau`, from the grid of `protocol.tau_grid`. Raises
    DataError for a damaged file, or a tau that the grid does not hold.
    """
    _, meta = read_parquet(curves)
    grid = protocol.tau_grid(meta["epochs"], fractions, epochs)
    frames = []
    for model, file in predictions.items():
        scores = score_frame(read_predictions(file)).assign(model=model)
        for tau in sorted(set(scores["tau"]) - set(grid)):
            text = f"tau {tau} is not in the configured grid {sorted(grid)}"
            raise DataError(text, file=file, column="tau")
        frames.append(scores)
    frame = pd.concat(frames, ignore_index=True)
    frame = frame.assign(dataset=meta["name"], experiment=experiment)
    frame["fraction"] = frame["tau"].map(grid)
    front = ["dataset", "model", "experiment", *KEYS, "fraction"]
    frame = frame[front + list(frame.columns.drop(front))]
    write_parquet(frame, out)
    return frame
