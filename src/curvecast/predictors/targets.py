"""What a regressor is asked for: the final level, the gain that remains, or either one warped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curvecast.features import last_value_column
from curvecast.predictors.prediction import Prediction, WarpedPrediction

FORMS = ("level", "gain", "warped_level", "warped_gain")
_LARGEST = 300.0


@dataclass(frozen=True)
class Form:
    """The target z of a regression as a function of the final value y and the value at tau.

    level: z = y; gain: z = y - y_tau; warped forms take the same after g(v) = asinh((v - center)
    / scale) with the median and the normal-consistent interquartile range of the training runs'
    final values: linear in the middle, logarithmic in both tails (the inverse hyperbolic sine of
    Johnson 1949, "Systems of frequency curves"), so that a few diverged runs do not carry all of
    the variance. All forms are equivariant under an affine change of the unit.

    Attributes
    ----------
    name : one of FORMS.
    column : the feature that holds the value at tau; None where the form does not need it.
    median : what stands in where a run has no finite value at tau.
    center, scale : of the warp.
    """

    name: str
    column: str | None
    median: float
    center: float
    scale: float

    def seen(self, X: pd.DataFrame) -> np.ndarray | float:
        """Value at tau per row of features, shape (n,); 0 where the form does not need it."""
        if self.column is None:
            return 0.0
        values = X[self.column].to_numpy(dtype=np.float64)
        return np.where(np.isfinite(values), values, self.median)

    def forward(self, y: np.ndarray, seen: np.ndarray | float) -> np.ndarray:
        """z of final values y, shape (n,)."""
        return self._map(y) - self._start(seen)

    def back(self, prediction: Prediction, seen: np.ndarray | float) -> Prediction:
        """Distribution of y from the Gaussian one of z."""
        inner = prediction.affine(self._start(seen), 1.0)
        if not self.name.startswith("warped"):
            return inner
        return WarpedPrediction.of(inner, self._warp, self._unwarp)

    def _start(self, seen: np.ndarray | float) -> np.ndarray | float:
        return 0.0 if self.column is None else self._map(np.asarray(seen))

    def _map(self, y: np.ndarray) -> np.ndarray:
        return self._warp(y) if self.name.startswith("warped") else y

    def _warp(self, y: np.ndarray) -> np.ndarray:
        return np.arcsinh((y - self.center) / self.scale)

    def _unwarp(self, z: np.ndarray) -> np.ndarray:
        # beyond 300 the result passes 1e130 in either direction; this only avoids overflow
        return self.center + self.scale * np.sinh(np.clip(z, -_LARGEST, _LARGEST))


def make(name: str, X: pd.DataFrame, y: np.ndarray) -> Form:
    """Learn a form from training rows of features and their final values.

    Raises
    ------
    DataError : a gain is asked for without the block TS.
    """
    column = last_value_column(X) if name.endswith("gain") else None
    seen = X[column].to_numpy(dtype=np.float64) if column else np.zeros(0)
    finite = seen[np.isfinite(seen)]
    low, center, high = np.quantile(y, [0.25, 0.5, 0.75])
    spread = (high - low) / 1.349
    return Form(
        name=name,
        column=column,
        median=float(np.median(finite)) if len(finite) else float(center),
        center=float(center),
        scale=float(spread if spread > 1e-12 * max(1.0, abs(center)) else y.std() or 1.0),
    )
