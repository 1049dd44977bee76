"""How good predictions are: one row of scores per cell (features, n_train, repeat, tau).

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
the Gaussian ones when the quantiles are Gaussian. A standard deviation of 0 (or two equal
quantiles) has no density: spreads are bounded below by 1e-6 of the standard deviation of the
cell's targets in the NLL and in the CRPS, so that a point mass that misses costs much but not
infinitely. The other scores take the point mass as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from scipy.stats import kendalltau, rankdata

from curvecast import protocol
from curvecast.curves import DataError, read_parquet, write_parquet
from curvecast.predictors.quantiles import LEVELS, SHAPES

INTERVALS: Mapping[str, tuple[str, str]] = {
    "cover50": ("q25", "q75"),
    "cover80": ("q10", "q90"),
    "cover90": ("q05", "q95"),
    "cover95": ("q025", "q975"),
    "cover99": ("q005", "q995"),
}
KEYS = ("features", "n_train", "repeat", "tau")
# The depth experiment trains on networks with fewer than `depth` layers and tests on the others;
# its predictions carry this further key.
OPTIONAL_KEYS = ("depth",)
SCORES = (
    "r2",
    "mse",
    "mae",
    "spearman",
    "kendall",
    "nll",
    "crps",
    "cover50",
    "cover80",
    "cover90",
    "cover95",
    "cover99",
    "width80",
)
_SMALLEST_SPREAD = 1e-6
_NUMBERS = ("y_true", "y_mean", "y_std")


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
    for column in (*KEYS, "configuration", *_NUMBERS):
        if column not in frame:
            raise DataError("missing column in predictions", file=file, column=column)
    filled = frame.copy()
    for column in _NUMBERS:
        numbers = filled[column].to_numpy(dtype=np.float64)
        bad = ~np.isfinite(numbers) | ((column == "y_std") & (numbers < 0))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(f"{numbers[row]} in a prediction", file=file, row=row, column=column)
        filled[column] = numbers
    quantiles = _complete_or_null(frame, list(LEVELS), file)
    shapes = _complete_or_null(frame, list(SHAPES.values()), file)
    shapes = np.where(np.isnan(shapes), ndtri(np.array(list(LEVELS.values()))), shapes)
    mean, std = filled["y_mean"].to_numpy()[:, None], filled["y_std"].to_numpy()[:, None]
    filled = filled.drop(columns=list(SHAPES.values()), errors="ignore")
    filled[list(LEVELS)] = np.where(np.isnan(quantiles), mean + std * shapes, quantiles)
    return filled


def _complete_or_null(
    frame: pd.DataFrame, columns: Sequence[str], file: str | Path | None
) -> np.ndarray:
    """Float columns of which a row has all or none, shape (n, n_columns); NaN where it has none."""
    values = np.full((len(frame), len(columns)), np.nan)
    for i, name in enumerate(columns):
        if name in frame:
            values[:, i] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    missing = np.isnan(values)
    partly = missing.any(axis=1) & ~missing.all(axis=1)
    if partly.any():
        row = int(np.flatnonzero(partly)[0])
        column = columns[int(np.flatnonzero(missing[row])[0])]
        raise DataError(
            "a quantile is missing where others are given", file=file, row=row, column=column
        )
    return values


def score(
    y_true: np.ndarray,
    y_mean: np.ndarray,
    y_std: np.ndarray,
    quantiles: np.ndarray | None = None,
) -> dict[str, float]:
    """All scores of one cell.

    Parameters
    ----------
    y_true, y_mean, y_std : arrays of shape (n_test,), in the unit of the metric.
    quantiles : array of shape (n_test, n_levels) at `LEVELS`, not decreasing along a row; None
        for Gaussian predictions.
    """
    y_true, y_mean, y_std = (np.asarray(a, dtype=np.float64) for a in (y_true, y_mean, y_std))
    error = y_true - y_mean
    floor = _SMALLEST_SPREAD * _scale(y_true)
    if quantiles is None:
        nll, crps = gaussian_nll(error, np.maximum(y_std, floor)), gaussian_crps(error, y_std)
        quantiles = y_mean[:, None] + y_std[:, None] * ndtri(np.array(list(LEVELS.values())))
    else:
        quantiles = np.asarray(quantiles, dtype=np.float64)
        nll, crps = quantile_nll_crps(y_true, quantiles, floor)
    edges = dict(zip(LEVELS, quantiles.T, strict=True))
    inside = {
        name: float(np.mean((edges[low] <= y_true) & (y_true <= edges[high])))
        for name, (low, high) in INTERVALS.items()
    }
    return {
        "r2": r2(y_true, y_mean),
        "mse": float(np.mean(error**2)),
        "mae": float(np.mean(np.abs(error))),
        "spearman": spearman(y_true, y_mean),
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


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of average ranks; NaN where one side is constant."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def gaussian_nll(error: np.ndarray, std: np.ndarray) -> np.ndarray:
    """-log density of N(0, std²) at `error`; `std` > 0."""
    return 0.5 * np.log(2 * np.pi) + np.log(std) + 0.5 * (error / std) ** 2


def gaussian_crps(error: np.ndarray, std: np.ndarray) -> np.ndarray:
    """CRPS of N(0, std²) at `error` (Gneiting et al. 2005, equation 5); |error| where std is 0."""
    z = np.divide(error, std, out=np.zeros_like(error), where=std > 0)
    value = std * (z * (2 * ndtr(z) - 1) + 2 * _density(z) - 1 / np.sqrt(np.pi))
    return np.where(std > 0, value, np.abs(error))


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
    y : shape (n,). quantiles : shape (n, 8). floor : smallest slope (standard deviation), > 0.

    Returns
    -------
    Two arrays of shape (n,).
    """
    knots = ndtri(np.array(list(LEVELS.values())))
    inner = np.maximum(np.diff(quantiles, axis=1) / np.diff(knots), floor)
    slopes = np.column_stack([inner[:, 0], inner, inner[:, -1]])
    # The floor moves equal quantiles apart, so the values at the knots are summed again from the
    # middle outwards.
    middle = len(knots) // 2 - 1
    steps = inner * np.diff(knots)
    at = np.column_stack([np.zeros(len(y)), np.cumsum(steps, axis=1)])
    at += (quantiles[:, middle] - at[:, middle])[:, None]
    segment = np.sum(y[:, None] > at, axis=1)
    left = np.maximum(segment - 1, 0)
    rows = np.arange(len(y))
    slope = slopes[rows, segment]
    z_y = knots[left] + (y - at[rows, left]) / slope
    nll = 0.5 * np.log(2 * np.pi) + 0.5 * z_y**2 + np.log(slope)

    low = np.concatenate([[-np.inf], knots])
    high = np.concatenate([knots, [np.inf]])
    below = _squared_cdf(np.minimum(z_y[:, None], high)) - _squared_cdf(
        np.minimum(z_y[:, None], low)
    )
    above = _squared_cdf(-np.maximum(z_y[:, None], low)) - _squared_cdf(
        -np.maximum(z_y[:, None], high)
    )
    return nll, np.sum(slopes * (below + above), axis=1)


def _squared_cdf(z: np.ndarray) -> np.ndarray:
    """Integral of Phi(t)² for t from -inf to z."""
    finite = np.where(np.isneginf(z), 0.0, z)
    value = (
        finite * ndtr(z) ** 2 + 2 * _density(z) * ndtr(z) - ndtr(np.sqrt(2) * z) / np.sqrt(np.pi)
    )
    return np.where(np.isneginf(z), 0.0, value)


def _density(z: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)


def _scale(y: np.ndarray) -> float:
    return float(y.std()) or float(np.abs(y).max()) or 1.0


def score_frame(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores of every cell of a prediction frame, as `read_predictions` returns it.

    Returns one row per cell, sorted by its keys: `features, n_train, repeat, tau` (and `depth`
    where the frame has it), `n_test` and `SCORES`. The order of the rows given does not matter.
    """
    keys = [*KEYS, *(key for key in OPTIONAL_KEYS if key in predictions)]
    ordered = predictions.astype({"features": str}).sort_values(
        [*keys, "configuration"], kind="stable", ignore_index=True
    )
    rows = []
    for cell, part in ordered.groupby(keys, sort=True):
        scores = score(
            part["y_true"].to_numpy(),
            part["y_mean"].to_numpy(),
            part["y_std"].to_numpy(),
            part[list(LEVELS)].to_numpy(),
        )
        assert isinstance(cell, tuple)
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
    """Score the prediction files of a data set: `scores/{dataset}[.{experiment}].parquet`.

    Parameters
    ----------
    predictions : the prediction file of each model.
    curves : the curve file of the data set (for its name and its last epoch).
    fractions, epochs : the configured tau grid of this experiment, as in `protocol.tau_grid`.
    experiment : "main", "ablation", "training_size" or "depth".

    Returns
    -------
    What was written: `score_frame` with the columns `dataset`, `model`, `experiment` in front
    and `fraction` beside `tau`.

    Raises
    ------
    DataError : a damaged file, or a tau that the grid does not hold.
    """
    _, meta = read_parquet(curves)
    grid = protocol.tau_grid(int(meta["epochs"][-1]), fractions, epochs)
    frames = []
    for model, file in predictions.items():
        scores = score_frame(read_predictions(file)).assign(model=model)
        unknown = sorted(set(scores["tau"]) - set(grid))
        if unknown:
            raise DataError(
                f"tau {unknown[0]} is not in the configured grid {sorted(grid)}",
                file=file,
                column="tau",
            )
        frames.append(scores)
    frame = pd.concat(frames, ignore_index=True)
    frame = frame.assign(
        dataset=meta["name"], experiment=experiment, fraction=frame["tau"].map(grid)
    )
    front = ["dataset", "model", "experiment", *KEYS, "fraction"]
    frame = frame[[*front, *(c for c in frame.columns if c not in front)]]
    write_parquet(frame, out)
    return frame
