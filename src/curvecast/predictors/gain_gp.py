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
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from curvecast import features as feature_blocks
from curvecast.curves import CurveSet, DataError
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction, WarpedPrediction
from curvecast.predictors.scaling import Scaling
from curvecast.predictors.transforms import Warp

MODELS = {
    "gain_gp": {
        "class": "GainGPPredictor",
        "label": "Gaussian process on the gain that remains after the last epoch seen.",
        "look": ("purple", "D", "solid"),
        "cheap": {"n_tune": 40},
    },
}

# Log of: linear variance, smooth variance, length scale of the curve's and of the static
# features, noise variance, all for standardised arrays; and the standard deviations of the prior.
PRIOR_MEAN = np.log([0.5, 0.5, 1.5, 1.5, 0.2])
_PRIOR_STD = np.array([1.5, 1.5, 0.7, 0.7, 1.0])
_NUGGET = 1e-6
_ITERATIONS = 20


class GainGPPredictor(Predictor):
    """Gaussian process on the warped remaining gain; see the module.

    Parameters
    ----------
    n_tune : at most so many runs, evenly spread over the order of final values, are used to
        choose the hyper-parameters (the fit itself uses all).
    """

    def __init__(self, *, seed: int = 0, n_tune: int = 96) -> None:
        super().__init__(seed=seed)
        self.n_tune = n_tune

    def fit(self, curves: CurveSet, taus: Iterable[int]) -> Self:
        usable = curves.take(np.isfinite(curves.final))
        self._sign = curves.sign
        static = static_features(usable)
        self._static_columns = static.columns
        self._model = GainProcesses(
            self._sign * usable.values, usable.epochs, static.to_numpy(), taus, self.n_tune
        )
        return self

    def predict_left_out(self, tau: int) -> WarpedPrediction:
        """Predict every training run from the other ones, in the order of the training runs."""
        return self._prediction(*self._model.left_out(tau))

    def _predict_hidden(self, curves: CurveSet, tau: int) -> WarpedPrediction:
        static = static_features(curves).reindex(columns=self._static_columns, fill_value=0.0)
        moments = self._model.predict(self._sign * curves.values, static.to_numpy(), tau)
        return self._prediction(*moments)

    def _prediction(self, location: np.ndarray, spread: np.ndarray) -> WarpedPrediction:
        return WarpedPrediction.of(Prediction(location, spread), self._model.warp, self._sign)


def static_features(curves: CurveSet) -> pd.DataFrame:
    """What is known of a run before it starts, shape (n_configs, n_columns).

    AP and HP columns as the feature blocks hold them, and the `info_*` columns, which belong to
    no published block, in the same way.
    """
    names = {c: f"ap_{c}" for c in curves.configs.columns if c.startswith("info_")}
    if names:
        curves = replace(
            curves,
            configs=curves.configs.rename(columns=names),
            log_columns=tuple(names.get(c, c) for c in curves.log_columns),
        )
    return feature_blocks.static(curves).astype(np.float64)


class GainProcesses:
    """The processes of all taus, on arrays.

    Parameters
    ----------
    gain : complete runs, larger is better, shape (n_runs, n_epochs); the last column is finite.
    epochs : shape (n_epochs,).
    static : shape (n_runs, n_static), NaN where unknown.
    taus, n_tune : see `GainGPPredictor`.
    start : processes of the same taus on fewer runs; the search for hyper-parameters starts at
        theirs and is short.

    Raises
    ------
    DataError : fewer than two runs.
    """

    def __init__(
        self,
        gain: np.ndarray,
        epochs: np.ndarray,
        static: np.ndarray,
        taus: Iterable[int],
        n_tune: int = 96,
        start: GainProcesses | None = None,
    ) -> None:
        if len(gain) < 2:
            raise DataError(f"{len(gain)} runs with a final value are too few to fit on")
        self._epochs = epochs
        self.warp = Warp.to_best("log_below", gain[:, -1])
        self._scale_static = Scaling.of(static)
        hp = self._scale_static(static)
        warped = self.warp(feature_blocks.forward_fill(gain))
        self._at: dict[int, Process] = {}
        theta = PRIOR_MEAN
        for tau in sorted(int(t) for t in taus):
            seen = epochs <= tau
            process = Process(warped[:, seen], epochs[seen], hp, warped[:, -1])
            if start is None:
                theta = process.tune(theta, n_tune, _ITERATIONS)
            else:
                theta = process.tune(start._process(tau).theta, n_tune, _ITERATIONS // 4)
            self._at[tau] = process.condition(theta)

    def left_out(self, tau: int) -> tuple[np.ndarray, np.ndarray]:
        """Location and spread of every training run given the other ones; warped gain."""
        return self._process(tau).leave_one_out()

    def predict(
        self, gain: np.ndarray, static: np.ndarray, tau: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Location and spread of the warped final gain, from the columns up to `tau`.

        Raises
        ------
        DataError : `tau` was not fitted.
        """
        process, seen = self._process(tau), self._epochs <= tau
        warped = self.warp(feature_blocks.forward_fill(gain[:, seen]))
        return process.predict(warped, self._epochs[seen], self._scale_static(static))

    def _process(self, tau: int) -> Process:
        if tau not in self._at:
            raise DataError(f"not fitted for tau {tau}, only for {sorted(self._at)}")
        return self._at[tau]


def level(warped: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Where a curve stands: the median of its last three values, so that one spike moves nothing.

    `warped` has shape (n_runs, n_seen); with fewer than three trained epochs it is the last value.
    """
    curve = _trained(warped, epochs)
    if curve.shape[1] < 3:
        return curve[:, -1]
    return np.median(curve[:, -3:], axis=1)


def summaries(warped: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """What a curve so far says about its end; shape (n_runs, at most 7).

    Its level, the first and the best value, the mean of the last five and the last gain, the
    gain of the level over the last half, and the roughness of the curve. `warped` has shape
    (n_runs, n_seen); leading gaps hold NaN.
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
            np.log(1e-3 + rough),
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
    """

    def __init__(
        self, warped: np.ndarray, epochs: np.ndarray, hp: np.ndarray, target: np.ndarray
    ) -> None:
        curve = summaries(warped, epochs)
        self._scale_curve = Scaling.of(curve)
        self._base = _base(warped, epochs)
        gain = target - self._base
        self._shift, spread = float(gain.mean()), float(gain.std())
        self._spread = spread if spread > 1e-12 else 1e-12
        self._y = (gain - self._shift) / self._spread
        self._order = np.argsort(target, kind="stable")
        self._curve, self._hp = self._scale_curve(curve), hp

    def aim_at(self, target: np.ndarray) -> Self:
        """Take other final values, keeping the scale; hyper-parameters are not chosen again."""
        self._y = (target - self._base - self._shift) / self._spread
        return self

    def tune(self, start: np.ndarray, n_tune: int, iterations: int) -> np.ndarray:
        """Hyper-parameters of the largest posterior density, found from `start`."""
        n = len(self._y)
        rows = self._order[np.unique(np.linspace(0, n - 1, min(n, n_tune)).round().astype(int))]
        parts = _parts(self._curve[rows], self._hp[rows], self._curve[rows], self._hp[rows])
        found = minimize(
            _negative_log_posterior,
            start,
            args=(parts, self._y[rows]),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(PRIOR_MEAN - 6, PRIOR_MEAN + 6, strict=True)),
            options={"maxiter": iterations, "ftol": 1e-3},
        )
        return found.x

    def condition(self, theta: np.ndarray) -> Self:
        self.theta = theta
        K = _kernel(theta, _parts(self._curve, self._hp, self._curve, self._hp))
        K[np.diag_indices_from(K)] += np.exp(theta[4]) + _NUGGET
        self._factor = cho_factor(K, lower=True)
        self._alpha = cho_solve(self._factor, self._y)
        return self

    def leave_one_out(self) -> tuple[np.ndarray, np.ndarray]:
        precision = np.diag(cho_solve(self._factor, np.eye(len(self._y))))
        location = self._y - self._alpha / precision
        return (
            self._base + self._shift + self._spread * location,
            self._spread / np.sqrt(precision),
        )

    def predict(
        self, warped: np.ndarray, epochs: np.ndarray, hp: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        curve = self._scale_curve(summaries(warped, epochs))
        linear, near_curve, near_hp = _parts(curve, hp, self._curve, self._hp)
        cross = _kernel(self.theta, (linear, near_curve, near_hp))
        prior = np.exp(self.theta[0]) * _linear_diagonal(curve, hp) + np.exp(self.theta[1])
        explained = np.einsum("ij,ji->i", cross, cho_solve(self._factor, cross.T))
        noise = np.exp(self.theta[4])
        variance = np.maximum(prior - explained, 0.0) + noise
        location = _base(warped, epochs) + self._shift + self._spread * (cross @ self._alpha)
        return location, self._spread * np.sqrt(variance)


def _base(warped: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """What the gain is counted from: the level, the centre of the warp where nothing is seen."""
    now = level(warped, epochs)
    return np.where(np.isfinite(now), now, 0.0)


def _linear_diagonal(curve: np.ndarray, hp: np.ndarray) -> np.ndarray:
    squares = ((part**2).sum(axis=1) / max(1, part.shape[1]) for part in (curve, hp))
    return 1.0 + sum(squares)


def _parts(
    curve: np.ndarray, hp: np.ndarray, other_curve: np.ndarray, other_hp: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear kernel and the mean squared distances per group, each of shape (n, m)."""
    width = max(1, hp.shape[1])
    length = max(1, curve.shape[1])
    linear = 1.0 + curve @ other_curve.T / length + hp @ other_hp.T / width
    return (
        linear,
        squared_distances(curve, other_curve) / length,
        squared_distances(hp, other_hp) / width,
    )


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Between the rows of (n, p) and (m, p), shape (n, m)."""
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * (a @ b.T)
    return np.maximum(squares, 0.0)


def _kernel(theta: np.ndarray, parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    linear, near_curve, near_hp = parts
    decay = near_curve * np.exp(-2 * theta[2]) + near_hp * np.exp(-2 * theta[3])
    return np.exp(theta[0]) * linear + np.exp(theta[1]) * np.exp(-0.5 * decay)


def _negative_log_posterior(
    theta: np.ndarray, parts: tuple[np.ndarray, np.ndarray, np.ndarray], y: np.ndarray
) -> tuple[float, np.ndarray]:
    linear, near_curve, near_hp = parts
    from_curve = near_curve * np.exp(-2 * theta[2])
    from_hp = near_hp * np.exp(-2 * theta[3])
    smooth = np.exp(theta[1] - 0.5 * (from_curve + from_hp))
    noise = np.exp(theta[4])
    K = np.exp(theta[0]) * linear + smooth
    K[np.diag_indices_from(K)] += noise + _NUGGET
    factor = cho_factor(K, lower=True)
    alpha = cho_solve(factor, y)
    inner = cho_solve(factor, np.eye(len(y))) - np.outer(alpha, alpha)
    deviation = (theta - PRIOR_MEAN) / _PRIOR_STD
    value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * (deviation**2).sum()
    gradient = 0.5 * np.array(
        [
            np.exp(theta[0]) * (inner * linear).sum(),
            (inner * smooth).sum(),
            (inner * smooth * from_curve).sum(),
            (inner * smooth * from_hp).sum(),
            noise * np.trace(inner),
        ]
    )
    return float(value), gradient + deviation / _PRIOR_STD
