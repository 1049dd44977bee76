"""Scores predictions: one row per cell (features, n_train, repeat, tau).

`write_scores` turns `predictions/{dataset}/{model}[.{experiment}].parquet` of all models into
`scores/{dataset}[.{experiment}].parquet`, and bootstrap draws of the test runs beside it;
`read_predictions` is the only reader of prediction files, and the place where quantiles are filled
in from the shape of a cell.

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
- `cover80_top`: `cover80` among the tenth of the runs (rounded up) with the best predicted means,
  where decisions are made. `exceed_top`: the share of them whose target is better than the bound
  of the 80 % interval on the good side (above q90 where more is better, below q10 where less is);
  .1 is right, and more than that means that good runs are underrated.

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
from curvecast.curves import CurveSet
from curvecast.files import DataError, read_parquet, write_parquet
from curvecast.predictors.domain import reached
from curvecast.predictors.quantiles import LEVELS, SHAPES

INTERVALS: Mapping[str, tuple[str, str]] = {
    "cover50": ("q25", "q75"),
    "cover80": ("q10", "q90"),
    "cover90": ("q05", "q95"),
    "cover95": ("q025", "q975"),
    "cover99": ("q005", "q995"),
}
KEYS = ("features", "n_train", "repeat", "tau")
SCORES = (
    *("r2", "mse", "mae", "spearman", "kendall", "nll", "crps", *INTERVALS, "width80"),
    *("cover80_top", "exceed_top"),
)
# Bootstrap draws of the test runs.
DRAWS = 200
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


def score(
    y_true: np.ndarray, y_mean: np.ndarray, quantiles: np.ndarray, sign: float = 1.0
) -> dict[str, float]:
    """All scores of one cell.

    Parameters
    ----------
    y_true, y_mean : float64 arrays of shape (n_test,), in the unit of the metric.
    quantiles : array of shape (n_test, n_levels) at `LEVELS`, not decreasing along a row.
    sign : 1 where more is better, -1 where less is.
    """
    error = y_true - y_mean
    scale = float(y_true.std()) or float(np.abs(y_true).max()) or 1.0
    nll, crps = quantile_nll_crps(y_true, quantiles, _SMALLEST_SPREAD * scale)
    edges = dict(zip(LEVELS, quantiles.T, strict=True))
    inside = {
        name: (edges[low] <= y_true) & (y_true <= edges[high])
        for name, (low, high) in INTERVALS.items()
    }
    top = np.argsort(-sign * y_mean, kind="stable")[: -(-len(y_mean) // 10)]
    better = sign * (y_true - edges["q90" if sign > 0 else "q10"]) > 0
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
        **{name: float(np.mean(covered)) for name, covered in inside.items()},
        "width80": float(np.mean(edges["q90"] - edges["q10"])),
        "cover80_top": float(np.mean(inside["cover80"][top])),
        "exceed_top": float(np.mean(better[top])),
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


def score_frame(predictions: pd.DataFrame, sign: float = 1.0) -> pd.DataFrame:
    """Scores of every cell of a prediction frame, as `read_predictions` returns it; see `score`.

    Returns one row per cell, sorted by its keys: `features, n_train, repeat, tau` (and `depth`
    where the frame has it: trained below this depth, tested on the others), `n_test` and
    `SCORES`. The order of the rows given does not matter.
    """
    keys = [*KEYS, *(["depth"] if "depth" in predictions else [])]
    ordered = predictions.astype({"features": str}).sort_values(
        [*keys, "configuration"], kind="stable", ignore_index=True
    )
    rows = []
    for cell, part in ordered.groupby(keys, sort=True):
        true, mean = part["y_true"].to_numpy(), part["y_mean"].to_numpy()
        scores = score(true, mean, part[list(LEVELS)].to_numpy(), sign)
        rows.append({**dict(zip(keys, cell, strict=True)), "n_test": len(part), **scores})
    return pd.DataFrame(rows, columns=[*keys, "n_test", *SCORES])


def bootstrap(predictions: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """R² and MAE, each the mean over the repeats of a cell, for every draw of the test runs.

    Only cells whose repeats share their test runs: their training sets are disjoint, and what
    differs between draws is the choice of the test runs.

    Parameters
    ----------
    predictions : a frame of `read_predictions`.
    weights : how often a draw holds a run, shape (n_draws, n_configs).

    Returns
    -------
    A row per cell and draw: `features, n_train, tau` (and `depth`), `draw`, float32 `r2, mae`.
    """
    keys = [key for key in (*KEYS, "depth") if key != "repeat" and key in predictions]
    predictions = predictions.astype({"features": str})
    none = np.empty(0, dtype=np.float32)
    parts = [predictions[keys][:0].assign(draw=none.astype(np.int16), r2=none, mae=none)]
    for cell, part in predictions.groupby(keys, sort=True):
        true = part.pivot(index="configuration", columns="repeat", values="y_true")
        error = true - part.pivot(index="configuration", columns="repeat", values="y_mean")
        if error.isna().any(axis=None):
            continue
        drawn, y = weights[:, true.index], true.to_numpy()[:, 0]
        runs = drawn.sum(axis=1)
        squares = (y - (drawn @ y / runs)[:, None]) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            r2_drawn = 1 - drawn @ (error**2).mean(axis=1) / (drawn * squares).sum(axis=1)
        columns = {
            "draw": np.arange(len(drawn), dtype=np.int16),
            "r2": r2_drawn.astype(np.float32),
            "mae": (drawn @ error.abs().mean(axis=1) / runs).astype(np.float32),
        }
        parts.append(pd.DataFrame({**dict(zip(keys, cell, strict=True)), **columns}))
    return pd.concat(parts)


def write_scores(
    predictions: Mapping[str, str | Path],
    curves: str | Path,
    out: str | Path,
    draws: str | Path,
    *,
    fractions: Sequence[float],
    epochs: Sequence[int] = (),
    experiment: str = "main",
) -> pd.DataFrame:
    """Score the prediction file of each model on a data set, whose curve file is `curves`.

    Writes and returns `score_frame` with the columns `dataset`, `model`, `experiment` in front,
    `fraction` beside `tau`, from the grid of `protocol.tau_grid`, `unseen` (runs with a finite end
    that are not predicted at tau, in no score) and `r2_test_se` (standard deviation over the
    `bootstrap` draws of the cell's mean R², NaN without draws). Writes the draws of all models to
    `draws`. Raises DataError for a damaged file, or a tau outside of the grid.
    """
    runs = CurveSet.from_parquet(curves)
    grid = protocol.tau_grid(runs.epochs, fractions, epochs)
    rng = np.random.default_rng(protocol.seed_from(runs.name, "test runs"))
    weights = rng.poisson(1.0, (DRAWS, len(runs))).astype(np.float64)
    frames, drawn = [], []
    for model, file in predictions.items():
        rows = read_predictions(file)
        for tau in sorted(set(rows["tau"]) - set(grid)):
            text = f"tau {tau} is not in the configured grid {sorted(grid)}"
            raise DataError(text, file=file, column="tau")
        frames.append(score_frame(rows, runs.sign).assign(model=model))
        drawn.append(bootstrap(rows, weights).assign(model=model))
    names = {"dataset": runs.name, "experiment": experiment}
    both = [pd.concat(parts, ignore_index=True).assign(**names) for parts in (frames, drawn)]
    frame, draw = (part.assign(fraction=part["tau"].map(grid)) for part in both)
    front = ["dataset", "model", "experiment", *KEYS, "fraction"]
    keys = [str(key) for key in draw if key not in ("draw", "r2", "mae")]
    spread = draw.groupby(keys)["r2"].std().rename("r2_test_se")
    frame = frame[front + list(frame.columns.drop(front))].join(spread, on=keys)
    early = {tau: np.isfinite(runs.final) & ~reached(runs, tau) for tau in grid}
    frame["unseen"] = frame["tau"].map({tau: int(rows.sum()) for tau, rows in early.items()})
    write_parquet(frame, out)
    write_parquet(draw, draws)
    return frame
