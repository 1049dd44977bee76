"""A cheap Gaussian process on the remaining gain of a run, with exact leave-one-out forecasts.

Made for decisions near the top: the metric is warped so that bad runs, whose ends differ by
orders of magnitude, are close together and the best ones keep their distances. One process per
tau on a few summaries of the curve and on all AP and HP columns; kernel = linear + squared
exponential over both groups with a length scale each. Hyper-parameters maximise the marginal
likelihood under weak log-normal priors (Rasmussen and Williams 2006, section 5.4.1), and
leave-one-out moments are closed-form (ibid. equations 5.10 to 5.12).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

import numpy as np
import pandas as pd
from scipy.linalg import cho_solve, cholesky, solve_triangular

from curvecast import features as feature_blocks
from curvecast.curves import CurveSet
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.gaussian_process import (
    Covariance,
    Gradient,
    Prior,
    by_solving,
    leave_one_out,
    most_probable,
    rowwise,
    squared_distances,
)
from curvecast.predictors.scaling import Columns, Scaling
from curvecast.predictors.transforms import Warp, WarpedPrediction

MODELS = {
    "gain_gp": {
        "class": "GainGPPredictor",
        "label": "Gaussian process on the gain that remains after the last epoch seen.",
        "look": ("purple", "D", "solid"),
    },
}

# Log of: linear variance, smooth variance, length scale of the curve's and of the static
# features, noise variance, all for standardised arrays.
PRIOR = Prior(np.log([0.5, 0.5, 1.5, 1.5, 0.2]), np.array([1.5, 1.5, 0.7, 0.7, 1.0]))
ITERATIONS, N_TUNE = 20, 96
_NUGGET = 1e-6

# Standardised summaries of the curves and static features, a row per run.
Inputs = tuple[np.ndarray, np.ndarray]
# Linear kernel between two sets of inputs, and their mean squared distances per group.
Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


class GainGPPredictor(Predictor):
    """Gaussian process on the warped remaining gain; see the module."""

    def _fit_curves(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        self._sign = curves.sign
        static = static_features(curves)
        self._columns = Columns.of(static)
        hp = self._columns.apply(static)
        ends = self._sign * curves.final
        self._warp = Warp.to_best("log_below", ends)
        self._at_tau: dict[int, Process] = {}
        theta = PRIOR.mean
        for tau in sorted(int(t) for t in taus):
            warped, epochs, gaps = self._seen(curves, tau)
            process = Process(warped, epochs, hp, self._warp(ends), gaps)
            theta = process.tune(theta)
            self._at_tau[tau] = process.condition(theta)
        self._taus = tuple(self._at_tau)
        return self

    def predict_left_out(self, tau: int) -> Prediction:
        left_out = self._prediction(*self._at_tau[tau].leave_one_out())
        return self._unmapped(left_out, "")

    def _predict_hidden(self, curves: CurveSet, tau: int) -> WarpedPrediction:
        warped, epochs, gaps = self._seen(curves, tau)
        hp = self._columns.apply(static_features(curves))
        return self._prediction(*self._at_tau[tau].predict(warped, epochs, hp, gaps))

    def _seen(self, curves: CurveSet, tau: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Warped gains up to tau with gaps bridged, their epochs, and which runs have gaps."""
        seen = curves.seen(tau)
        gain, epochs = self._sign * curves.values[:, seen], curves.epochs[seen]
        warped = self._warp(feature_blocks.bridge(gain, epochs))
        return warped, epochs, np.isfinite(gain).sum(axis=1) < len(epochs)

    def _prediction(self, location: np.ndarray, spread: np.ndarray) -> WarpedPrediction:
        return WarpedPrediction.of(Prediction(location, spread), self._warp, self._sign)


def static_features(curves: CurveSet) -> pd.DataFrame:
    """The features that a run has before it starts, shape (n_configs, n_columns).

    AP and HP columns as the feature blocks hold them, and the `info_*` columns, which belong to
    no published block, in the same way.
    """
    numbers = curves.configs.select_dtypes("number").columns
    names = {c: f"ap_{c}" for c in numbers if c.startswith("info_")}
    if names:
        curves = replace(
            curves,
            configs=curves.configs.rename(columns=names),
            log_columns=tuple(names.get(c, c) for c in curves.log_columns),
        )
    return feature_blocks.static(curves).astype(np.float64)


def level(warped: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Where a curve stands: the median of its last three values, so that one spike moves nothing.

    `warped` has shape (n_runs, n_seen); with fewer than three trained epochs it is the last value.
    """
    curve = _trained(warped, epochs)
    if curve.shape[1] < 3:
        return curve[:, -1]
    return np.median(curve[:, -3:], axis=1)


def summaries(
    warped: np.ndarray, epochs: np.ndarray, gaps: np.ndarray | bool = False
) -> np.ndarray:
    """What a curve so far says about its end; shape (n_runs, at most 7).

    Its level, the first and the best value, the mean of the last five and the last gain, the
    gain of the level over the last half, and the roughness of the curve, NaN of a run with `gaps`,
    which are bridged without any. `warped` has shape (n_runs, n_seen); leading gaps hold NaN.
    """
    curve = _trained(warped, epochs)
    now, seen = level(warped, epochs), curve.shape[1]
    columns = [now, curve[:, 0]]
    if seen > 1:
        columns += [curve[:, -1] - curve[:, -2], curve.max(axis=1)]
    if seen > 3:
        half = (seen + 1) // 2
        rough = np.abs(np.diff(curve[:, -6:], n=2)).mean(axis=1)
        columns += [
            curve[:, -5:].mean(axis=1),
            now - level(curve[:, :half], np.arange(1, half + 1)),
            np.where(gaps, np.nan, np.log(1e-3 + rough)),
        ]
    return np.column_stack(columns)


def _trained(warped: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    trained = epochs >= 1
    return warped[:, trained] if trained.any() else warped


class Process:
    """One process at one tau, on standardised inputs and target.

    Parameters
    ----------
    warped : warped gains up to tau, shape (n_runs, n_seen), and their `epochs`, (n_seen,).
    hp : standardised static features, shape (n_runs, n_static).
    target : warped final gains, shape (n_runs,).
    gaps : which runs have gaps that are bridged, shape (n_runs,).

    Attributes
    ----------
    theta : hyper-parameters, after `condition`.
    """

    def __init__(
        self,
        warped: np.ndarray,
        epochs: np.ndarray,
        hp: np.ndarray,
        target: np.ndarray,
        gaps: np.ndarray | bool = False,
    ) -> None:
        curve = summaries(warped, epochs, gaps)
        self._scale_curve = Scaling.of(curve)
        self._base = _base(warped, epochs)
        gain = target - self._base
        self._shift, spread = float(gain.mean()), float(gain.std())
        self._spread = spread if spread > 1e-12 else 1e-12
        self._y = (gain - self._shift) / self._spread
        self._order = np.argsort(target, kind="stable")
        self._inputs = self._scale_curve(curve), hp

    def aim_at(self, target: np.ndarray) -> Self:
        """Replace the final values, keeping the scale; hyper-parameters are not chosen again."""
        self._y = (target - self._base - self._shift) / self._spread
        return self

    def tune(self, start: np.ndarray, iterations: int = ITERATIONS) -> np.ndarray:
        """Hyper-parameters of the largest posterior density that are reached from `start`.

        At most N_TUNE runs tell them, evenly spread over the order of final values.
        """
        n = len(self._y)
        rows = self._order[np.unique(np.linspace(0, n - 1, min(n, N_TUNE)).round().astype(int))]
        best = most_probable(
            covariance_of(_parts(self._rows(rows), self._rows(rows))),
            self._y[rows],
            PRIOR,
            start,
            bounds=list(zip(PRIOR.mean - 6, PRIOR.mean + 6, strict=True)),
            iterations=iterations,
            tolerance=1e-3,
        )
        return best.x

    def _rows(self, rows: np.ndarray) -> Inputs:
        return self._inputs[0][rows], self._inputs[1][rows]

    def condition(self, theta: np.ndarray) -> Self:
        """Set the hyper-parameters; predictions follow from them and from all runs."""
        self.theta = theta
        K = _kernel(theta, _parts(self._inputs, self._inputs))
        K[np.diag_indices_from(K)] += np.exp(theta[4]) + _NUGGET
        self._lower = cholesky(K, lower=True)
        self._alpha = cho_solve((self._lower, True), self._y)
        return self

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Location and spread of every run given the other ones; warped gain."""
        errors, precisions = leave_one_out(*by_solving(self._lower, self._y))
        location = self._base + self._shift + self._spread * (self._y - errors)
        return location, self._spread / np.sqrt(precisions)

    def predict(
        self,
        warped: np.ndarray,
        epochs: np.ndarray,
        hp: np.ndarray,
        gaps: np.ndarray | bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Location and spread of the warped final gain of other runs, each of shape (n_runs,)."""
        inputs = self._scale_curve(summaries(warped, epochs, gaps)), hp
        cross = _kernel(self.theta, _parts(inputs, self._inputs))
        linear = 1.0 + sum((part**2).sum(axis=1) / max(1, part.shape[1]) for part in inputs)
        prior = np.exp(self.theta[0]) * linear + np.exp(self.theta[1])
        explained = (solve_triangular(self._lower, cross.T, lower=True) ** 2).sum(axis=0)
        variance = np.maximum(prior - explained, 0.0) + np.exp(self.theta[4])
        location = _base(warped, epochs) + self._shift + self._spread * rowwise(cross, self._alpha)
        return location, self._spread * np.sqrt(variance)


def _base(warped: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """What the gain is counted from: the level, the centre of the warp where nothing is seen."""
    now = level(warped, epochs)
    return np.where(np.isfinite(now), now, 0.0)


def _parts(one: Inputs, other: Inputs) -> Parts:
    """Linear kernel and the mean squared distances per group, each of shape (n, m)."""
    linear = np.ones((len(one[0]), len(other[0])))
    near = []
    for a, b in zip(one, other, strict=True):
        width = max(1, a.shape[1])
        linear = linear + np.einsum("ik,jk->ij", a, b) / width
        near.append(squared_distances(a, b) / width)
    return linear, near[0], near[1]


def _kernel(theta: np.ndarray, parts: Parts) -> np.ndarray:
    linear, near_curve, near_hp = parts
    decay = near_curve * np.exp(-2 * theta[2]) + near_hp * np.exp(-2 * theta[3])
    return np.exp(theta[0]) * linear + np.exp(theta[1]) * np.exp(-0.5 * decay)


def covariance_of(parts: Parts) -> Covariance:
    """Covariance of noisy gains, with its gradient by the hyper-parameters."""
    linear, near_curve, near_hp = parts

    def covariance(theta: np.ndarray) -> tuple[np.ndarray, Gradient]:
        from_curve = near_curve * np.exp(-2 * theta[2])
        from_hp = near_hp * np.exp(-2 * theta[3])
        smooth = np.exp(theta[1] - 0.5 * (from_curve + from_hp))
        noise = np.exp(theta[4])
        K = np.exp(theta[0]) * linear + smooth
        K[np.diag_indices_from(K)] += noise + _NUGGET

        def gradient(slope: np.ndarray) -> np.ndarray:
            return np.array(
                [
                    np.exp(theta[0]) * (slope * linear).sum(),
                    (slope * smooth).sum(),
                    (slope * smooth * from_curve).sum(),
                    (slope * smooth * from_hp).sum(),
                    noise * np.trace(slope),
                ]
            )

        return K, gradient

    return covariance
