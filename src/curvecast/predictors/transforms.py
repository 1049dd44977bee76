"""Target transforms: what a regressor is asked for (level, gain), and warps of its scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from curvecast.curves import DataError
from curvecast.features import value_columns
from curvecast.predictors.distributions import Prediction

FORMS = ("level", "gain", "warped_level", "warped_gain")
# Those for models that see features, the whole curve up to tau among them.
FEATURE_FORMS = (*FORMS, "best_gain")
_SMALL = 1e-12
_NORMAL_IQR = 1.349
# sinh of more than 300 passes 1e130; the limit avoids overflow and nothing else.
_LARGEST = 300.0

Map = Callable[[np.ndarray], np.ndarray]


# By the name of the warp: the map of standardised values, and the way back.
_MAPS: dict[str, tuple[Map, Map]] = {
    "asinh": (np.arcsinh, lambda z: np.sinh(np.clip(z, -_LARGEST, _LARGEST))),
    "log_below": (
        lambda u: np.where(u >= 0, u, -np.log1p(np.maximum(-u, 0.0))),
        lambda z: np.where(z >= 0, z, -np.expm1(np.maximum(-z, 0.0))),
    ),
    "log_both": (
        lambda u: np.sign(u) * np.log1p(np.abs(u)),
        lambda z: np.sign(z) * np.expm1(np.abs(z)),
    ),
}


@dataclass(frozen=True)
class Warp:
    """An increasing map of values, linear in the middle and logarithmic in its tails.

    Attributes
    ----------
    kind : "asinh", the inverse hyperbolic sine of Johnson (1949, "Systems of frequency curves"),
        logarithmic in both tails, so that a few diverged runs do not carry all of the variance;
        "log_below", linear above the centre, so that the best of many runs keep their distances;
        "log_both", logarithmic on both sides of the centre: the best of the few runs that a young
        search has finished says little about how good runs can be.
    center, scale : numbers, or arrays of shape (n_columns,).
    """

    kind: str
    center: np.ndarray | float
    scale: np.ndarray | float

    @classmethod
    def robust(cls, values: np.ndarray) -> Warp:
        """An "asinh" warp around the median, scaled by the normal-consistent interquartile range.

        `values` has shape (n,), or (n, n_columns) for a warp per column; what is not finite is
        ignored.
        """
        if values.ndim == 1:
            return cls("asinh", *_center_and_spread(values))
        pairs = [_center_and_spread(column) for column in values.T]
        center, scale = np.array(pairs).reshape(-1, 2).T
        return cls("asinh", center, scale)

    @classmethod
    def to_best(cls, kind: str, gains: np.ndarray) -> Warp:
        """A warp around the median of final gains, scaled by the distance to the best of them."""
        center = float(np.median(gains))
        scale = float(gains.max()) - center
        return cls(kind, center, scale if scale > 0 else max(abs(center), 1.0))

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """Warped values."""
        u = (np.asarray(values, dtype=np.float64) - self.center) / self.scale
        return _MAPS[self.kind][0](u)

    def inverse(self, z: np.ndarray | float) -> np.ndarray:
        """Values of warped ones; infinite far out in a logarithmic tail."""
        with np.errstate(over="ignore"):
            return self.center + self.scale * _MAPS[self.kind][1](np.asarray(z, dtype=np.float64))


def _center_and_spread(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, center, high = np.quantile(finite, [0.25, 0.5, 0.75])
    widths = ((high - low) / _NORMAL_IQR, finite.std())
    tiny = _SMALL * np.abs(finite).max()
    return float(center), float(next((width for width in widths if width > tiny), 1.0))


@dataclass(frozen=True, eq=False)
class WarpedPrediction(Prediction):
    """The distribution of shift + slope * warp.inverse(z), where z has the distribution `inner`.

    Its median and half of its central 68 % stand for `mean` and `std`: the moments of a heavy
    tail would be those of values that no run ever takes.

    Attributes
    ----------
    slope : negative where larger values of the curve are worse and `warp` is one of gains.
    shift : a number, or one per run.
    """

    inner: Prediction
    warp: Warp
    slope: float
    shift: np.ndarray | float

    @classmethod
    def of(
        cls,
        inner: Prediction,
        warp: Warp,
        slope: float = 1.0,
        shift: np.ndarray | float = 0.0,
    ) -> Self:
        """`mean` and `std` follow from `inner`."""
        low, high = (warp.inverse(inner.mean + s * inner.std) for s in (-1, 1))
        mean = shift + slope * warp.inverse(inner.mean)
        return cls(mean, abs(slope) * ((high - low) / 2), inner, warp, slope, shift)

    def quantile(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        levels = np.asarray(levels, dtype=np.float64)
        z = self.inner.quantile(levels if self.slope > 0 else 1 - levels)
        return np.reshape(self.shift, (-1, 1)) + self.slope * self.warp.inverse(z)

    def cdf(self, value: float | np.ndarray) -> np.ndarray:
        value = np.asarray(value, dtype=np.float64)
        below = self.inner.cdf(self.warp((value - self.shift) / self.slope))
        return below if self.slope > 0 else 1 - below

    def gaussian(self) -> Prediction:
        return WarpedPrediction.of(self.inner.gaussian(), self.warp, self.slope, self.shift)

    def affine(self, shift: np.ndarray | float, scale: float) -> Prediction:
        moved = shift + scale * np.asarray(self.shift)
        return WarpedPrediction.of(self.inner, self.warp, scale * self.slope, moved)


@dataclass(frozen=True)
class Form:
    """The target z of a regression as a function of the final value y and the curve so far.

    level: z = y. gain: z = y - y_tau. best_gain: y minus the best value up to tau, which a curve
    that jumps up and down comes back to and a smooth one has just reached; which extreme is the
    best shows in the training runs, whose ends are closer to it. Warped forms take level and gain
    after `Warp.robust` of the training runs' final values. All forms are equivariant under an
    affine change of the unit.

    Attributes
    ----------
    name : one of FEATURE_FORMS.
    columns : the features whose extreme a gain counts from; none for a level.
    extreme : "max" or "min" (of one column, either).
    median : what stands in where a run has no finite value there.
    warp : of level and gain; None where they are not warped.
    """

    name: str
    columns: tuple[str, ...]
    extreme: str
    median: float
    warp: Warp | None

    @classmethod
    def level(cls, y: np.ndarray, *, warped: bool = False) -> Form:
        """The level of final values y, shape (n,), for models that see no features."""
        name = "warped_level" if warped else "level"
        return cls(name, (), "max", float(np.median(y)), Warp.robust(y) if warped else None)

    @classmethod
    def of(cls, name: str, X: pd.DataFrame, y: np.ndarray) -> Form:
        """Learn a form from training rows of features and their final values.

        Raises
        ------
        DataError : a gain is asked for without the block TS.
        """
        if name.endswith("level"):
            return cls.level(y, warped=name.startswith("warped"))
        columns, extreme = tuple(value_columns(X)), "max"
        if not columns:
            raise DataError(
                "the value at tau is needed, the block TS is not there", column="ts_y_*"
            )
        if name == "best_gain":
            distances = {e: np.median(np.abs(y - _extreme(X, columns, e))) for e in ("max", "min")}
            extreme = min(distances, key=lambda e: distances[e])
        else:
            columns = columns[-1:]
        seen = _extreme(X, columns, extreme)
        finite = seen[np.isfinite(seen)]
        median = float(np.median(finite if len(finite) else y))
        warp = Warp.robust(y) if name.startswith("warped") else None
        return cls(name, columns, extreme, median, warp)

    def seen(self, X: pd.DataFrame) -> np.ndarray | float:
        """What a gain counts from per row of features, shape (n,); 0 for a level."""
        if not self.columns:
            return 0.0
        values = _extreme(X, self.columns, self.extreme)
        return np.where(np.isfinite(values), values, self.median)

    def forward(self, y: np.ndarray, seen: np.ndarray | float = 0.0) -> np.ndarray:
        """z of final values y, shape (n,)."""
        return self._map(y) - self._start(seen)

    def back(self, prediction: Prediction, seen: np.ndarray | float = 0.0) -> Prediction:
        """Distribution of y from the Gaussian one of z."""
        inner = prediction.affine(self._start(seen), 1.0)
        return inner if self.warp is None else WarpedPrediction.of(inner, self.warp)

    def _start(self, seen: np.ndarray | float) -> np.ndarray | float:
        return 0.0 if not self.columns else self._map(np.asarray(seen))

    def _map(self, y: np.ndarray) -> np.ndarray:
        return y if self.warp is None else self.warp(y)


def _extreme(X: pd.DataFrame, columns: tuple[str, ...], extreme: str) -> np.ndarray:
    """Largest or smallest finite value of each row, infinite where there is none."""
    values = X[list(columns)].to_numpy(dtype=np.float64)
    finite = np.isfinite(values)
    if extreme == "max":
        return np.where(finite, values, -np.inf).max(axis=1)
    return np.where(finite, values, np.inf).min(axis=1)
