"""What a regressor is asked for: the final level, a gain that remains, or one of them warped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from curvecast.features import last_value_column, value_columns
from curvecast.predictors.distributions import Prediction, WarpedPrediction

FORMS = ("level", "gain", "warped_level", "warped_gain")
# Forms that need more of the curve than its value at tau, for models that see features.
CURVE_FORMS = ("best_gain",)
_LARGEST = 300.0


@dataclass(frozen=True)
class Form:
    """The target z of a regression as a function of the final value y and the curve so far.

    level: z = y. gain: z = y - y_tau. best_gain: y minus the best value up to tau, which a curve
    that jumps up and down comes back to and a smooth one has just reached; which extreme is the
    best shows in the training runs, whose ends are closer to it. Warped forms take level and gain
    after g(v) = asinh((v - center) / scale) with the median and the normal-consistent
    interquartile range of the training runs' final values: linear in the middle, logarithmic in
    both tails (the inverse hyperbolic sine of Johnson 1949, "Systems of frequency curves"), so
    that a few diverged runs do not carry all of the variance. All forms are equivariant under an
    affine change of the unit.

    Attributes
    ----------
    name : one of FORMS or CURVE_FORMS.
    columns : the features whose extreme a gain counts from; none for a level.
    extreme : "max" or "min" (of one column, either).
    median : what stands in where a run has no finite value there.
    center, scale : of the warp.
    """

    name: str
    columns: tuple[str, ...]
    extreme: str
    median: float
    center: float
    scale: float

    def seen(self, X: pd.DataFrame) -> np.ndarray | float:
        """What a gain counts from per row of features, shape (n,); 0 for a level."""
        if not self.columns:
            return 0.0
        values = _extreme(X, self.columns, self.extreme)
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
        return 0.0 if not self.columns else self._map(np.asarray(seen))

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
    columns: tuple[str, ...] = ()
    extreme = "max"
    if name == "best_gain":
        columns = tuple(value_columns(X))
        distances = {e: np.median(np.abs(y - _extreme(X, columns, e))) for e in ("max", "min")}
        extreme = min(distances, key=lambda e: distances[e])
    elif name.endswith("gain"):
        columns = (last_value_column(X),)
    seen = _extreme(X, columns, extreme) if columns else np.zeros(0)
    finite = seen[np.isfinite(seen)]
    low, center, high = np.quantile(y, [0.25, 0.5, 0.75])
    spread = (high - low) / 1.349
    return Form(
        name=name,
        columns=columns,
        extreme=extreme,
        median=float(np.median(finite)) if len(finite) else float(center),
        center=float(center),
        scale=float(spread if spread > 1e-12 * max(1.0, abs(center)) else y.std() or 1.0),
    )


def _extreme(X: pd.DataFrame, columns: tuple[str, ...], extreme: str) -> np.ndarray:
    """Largest or smallest finite value of each row, infinite where there is none."""
    values = X[list(columns)].to_numpy(dtype=np.float64)
    finite = np.isfinite(values)
    if extreme == "max":
        return np.where(finite, values, -np.inf).max(axis=1)
    return np.where(finite, values, np.inf).min(axis=1)
