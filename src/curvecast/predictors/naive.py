"""The two predictors that everything else has to beat: the last value seen, and the mean."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.features import value_columns
from curvecast.predictors.base import TabularPredictor
from curvecast.predictors.distributions import MIN_RESIDUALS, Prediction, Residuals
from curvecast.predictors.regressor import Regressor

MODELS = {
    "last_value": {
        "class": "LastValue",
        "label": "The run stays where it is after the last epoch seen.",
        "order": 20,
        "look": ("black", "x", "dashed"),
    },
    "mean": {
        "class": "Mean",
        "label": "The mean of the training runs; R² is zero by construction.",
        "order": 10,
        "look": ("grey", "_", "dotted"),
    },
}


class LastValue(TabularPredictor):
    """The run stays where it is: the prediction is the value at tau, in the unit of the curve.

    Nothing is learnt about the mean, so the leave-one-out residuals are y_final - y_tau
    themselves; the distribution around the last value is theirs, with their root mean square as
    standard deviation (the drift between tau and the end counts as error). With fewer than two
    training runs it is Gaussian, and what a run has moved so far is its standard deviation, for a
    run of one epoch its value. Takes no options.
    """

    needs_training = False

    blocks = "TS"

    def _fit_xy(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Self:
        if not (names := value_columns(X)):
            raise DataError(
                "the value at tau is needed, the block TS is not there", column="ts_y_*"
            )
        self._names = names
        seen = X[names[-1]].to_numpy(dtype=np.float64)
        usable = np.isfinite(seen)
        self._median = float(np.median(seen[usable])) if usable.any() else 0.0
        self._residuals = Residuals.of((y - seen)[usable], seen[usable])
        return self

    def _predict_xy(self, X: pd.DataFrame) -> Prediction:
        if self._names[-1] not in X.columns:
            raise DataError("a column that was fitted on is missing", column=self._names[-1])
        values = X.reindex(columns=self._names).to_numpy(dtype=np.float64)
        seen = values[:, -1]
        mean = np.where(np.isfinite(seen), seen, self._median)
        known = self._residuals.values
        if len(known) < 2:
            moved = np.nanmax(values, axis=1) - np.nanmin(values, axis=1)
            return Prediction(mean, np.where(moved > 0, moved, np.maximum(np.abs(mean), 1e-12)))
        if len(known) < MIN_RESIDUALS:
            std = float(np.sqrt(np.mean(known**2)))
            return Prediction(mean, np.full(len(X), std))
        return self._residuals.around(mean, np.ones(len(X)))


class Mean(Regressor):
    """The mean of the training runs for every run; R² is zero by construction.

    The standard deviation is that of the leave-one-out residuals, (y_i - mean) * n / (n - 1).
    Takes the option `target` alone.
    """

    CONSTANT = True

    def settle(self, prediction: Prediction, curves: CurveSet, tau: int) -> Prediction:
        """The prediction as it is, of ended runs too."""
        return prediction

    def _fit(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        self._std = len(y) / (len(y) - 1)
        return y * self._std

    def _predict(self, X: np.ndarray) -> Prediction:
        return Prediction(np.zeros(len(X)), np.full(len(X), self._std))
