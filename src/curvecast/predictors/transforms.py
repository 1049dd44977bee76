"""Target transforms: what a regressor is asked for (level, gain), and warps of its scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    "asinh_twice": (
        lambda u: np.arcsinh(np.arcsinh(u)),
        lambda z: np.sinh(np.clip(np.sinh(np.clip(z, -_LARGEST, _LARGEST)), -_LARGEST, _LARGEST)),
    ),
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
        "asinh_twice", for values that explode;
        "log_below", linear above the centre, so that the best of many runs keep their distances;
        "log_both", logarithmic on both sides of the centre: the best of the few runs that a young
        search has finished says little about how good runs can be.
    center, scale : numbers, or arrays of shape (n_columns,).
    limits : warped values beyond them count as the limit on the way back.
    """

    kind: str
    center: np.ndarray | float
    scale: np.ndarray | float
    limits: tuple[float, float] = (-np.inf, np.inf)

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
        z = np.clip(np.asarray(z, dtype=np.float64), *self.limits)
        with np.errstate(over="ignore"):
            return self.center + self.scale * _MAPS[self.kind][1](z)


# Interquartile ranges from the median beyond which a training value counts as exploded. Of the
# embedded collections ordinary ones reach 47, the one of unstable trainings 1e28.
HEAVY = 100.0


def explosions(values: np.ndarray) -> Warp | None:
    """The warp for training curves some of which explode, None where the tails are ordinary.

    The tails are heavy where at some epoch a finite value lies more than `HEAVY` interquartile
    ranges from the median of the runs; the range is that of the epoch or of the last one, the
    larger. The warp takes the inverse hyperbolic sine twice, after median and interquartile range
    of the last values: values near the median stay in line, 1e28 is five times as far as one range.
    On the way back nothing passes the largest exploded value.

    `values` has shape (n_runs, n), the last column is what the range is measured on.
    """
    finite = np.where(np.isfinite(values), values, np.nan)
    finite = finite[:, np.isfinite(finite).any(axis=0)]
    if len(finite) < 2 or not finite.shape[1]:
        return None
    low, center, high = np.nanquantile(finite, [0.25, 0.5, 0.75], axis=0)
    spread = np.maximum(high - low, high[-1] - low[-1])
    worst = np.nanmax(np.abs(finite - center), axis=0)
    if not (worst > HEAVY * spread)[spread > 0].any():
        return None
    warp = replace(Warp.robust(finite[:, -1]), kind="asinh_twice")
    low_z, high_z = np.nanmin(z := warp(finite)), np.nanmax(z)
    furthest = max(-low_z, high_z, 2.0)
    limits = (float(max(low_z - 1, -furthest)), float(min(high_z + 1, furthest)))
    return replace(warp, limits=limits)


@dataclass(frozen=True)
class SeriesMap:
    """How models see a series: warped where values explode, missing first values extrapolated.

    A value that is missing before the first one of a run follows from the two next ones by least
    squares over the training runs.

    Attributes
    ----------
    warp : see `explosions`; None where the tails are ordinary.
    mean : of the training runs per epoch, shape (n_epochs,).
    weights : of the deviations of the next two epochs, shape (n_epochs, 2).
    """

    warp: Warp | None
    mean: np.ndarray
    weights: np.ndarray

    @classmethod
    @np.errstate(over="ignore", divide="ignore", invalid="ignore")
    def of(cls, values: np.ndarray, last: np.ndarray | None = None, *, warps: bool = True) -> Self:
        """Learn from training runs, shape (n_runs, n_epochs), and what follows, (n_runs,)."""
        tails = values if last is None else np.column_stack([values, last])
        warp = explosions(tails) if warps else None
        z = values if warp is None else warp(values)
        known = np.isfinite(z)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, z, 0.0).sum(axis=0) / count
        y = np.where(known, z - mean, 0.0)
        one, two = (y[:, np.minimum(np.arange(y.shape[1]) + k, y.shape[1] - 1)] for k in (1, 2))
        a, b, c = ((p * q).sum(axis=0) for p, q in ((one, one), (one, two), (two, two)))
        a, c = a + 1e-6 * (a + c), c + 1e-6 * (a + c)
        u, v = (one * y).sum(axis=0), (two * y).sum(axis=0)
        weights = np.column_stack([c * u - b * v, a * v - b * u]) / (a * c - b * b)[:, None]
        return cls(warp, mean, np.where(np.isfinite(weights), weights, 0.0))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values as models see them; shape (n_runs, n) with the first n epochs."""
        z = values if self.warp is None else self.warp(values)
        missing = ~np.logical_or.accumulate(np.isfinite(z), axis=1)
        if not missing.any():
            return z
        away, n = z - self.mean[: z.shape[1]], z.shape[1]
        for i in reversed(range(n - 1)):
            rows = missing[:, i]
            one, two = away[rows, i + 1], away[rows, min(i + 2, n - 1)]
            two = np.where(np.isfinite(two), two, one)
            away[rows, i] = self.weights[i, 0] * one + self.weights[i, 1] * two
        return np.where(missing, away + self.mean[:n], z)


def _center_and_spread(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, center, high = np.quantile(finite, [0.25, 0.5, 0.75])
    widths = ((high - low) / _NORMAL_IQR, finite.std())
    tiny = _SMALL * max(abs(low), abs(high))
    return float(center), float(next((width for width in widths if width > tiny), 1.0))


@dataclass(frozen=True, eq=False)
class WarpedPrediction(Prediction):
    """The distribution of slope * warp.inverse(z), where z has the distribution `inner`.

    Its median and half of its central 68 % stand for `mean` and `std`: the moments of a heavy
    tail would be those of values that no run ever takes.

    Attributes
    ----------
    slope : -1 where larger values of the curve are worse and `warp` is one of gains, else 1.
    """

    inner: Prediction
    warp: Warp
    slope: float

    @classmethod
    def of(cls, inner: Prediction, warp: Warp, slope: float = 1.0) -> Self:
        """`mean` and `std` follow from `inner`."""
        low, high = (warp.inverse(inner.mean + s * inner.std) for s in (-1, 1))
        return cls(slope * warp.inverse(inner.mean), (high - low) / 2, inner, warp, slope)

    def quantile(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        levels = np.asarray(levels, dtype=np.float64)
        z = self.inner.quantile(levels if self.slope > 0 else 1 - levels)
        return self.slope * self.warp.inverse(z)

    def cdf(self, value: float | np.ndarray) -> np.ndarray:
        value = np.asarray(value, dtype=np.float64) / self.slope
        low, high = self.warp.inverse(np.array(self.warp.limits))
        below = np.select(
            [value < low, value >= high], [0.0, 1.0], self.inner.cdf(self.warp(value))
        )
        return below if self.slope > 0 else 1 - below

    def gaussian(self) -> Prediction:
        return WarpedPrediction.of(self.inner.gaussian(), self.warp, self.slope)


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

    def forward(self, y: np.ndarray | float, seen: np.ndarray | float = 0.0) -> np.ndarray:
        """z of final values y, shape (n,)."""
        return self._map(np.asarray(y)) - self._start(seen)

    def back(self, prediction: Prediction, seen: np.ndarray | float = 0.0) -> Prediction:
        """Distribution of y from the Gaussian one of z."""
        inner = prediction.affine(self._start(seen), 1.0)
        return inner if self.warp is None else WarpedPrediction.of(inner, self.warp)

    def _start(self, seen: np.ndarray | float) -> np.ndarray | float:
        return 0.0 if not self.columns else self._map(np.asarray(seen))

    def _map(self, y: np.ndarray) -> np.ndarray:
        return y if self.warp is None else self.warp(y)


def best_share(own: np.ndarray, naive: np.ndarray) -> float:
    """The weight of a model beside the last value that gives the smallest median error.

    `own` and `naive` are their errors on runs that the model did not see, shape (n_runs,); NaN
    where the model has none. The median, because a few exploded runs carry any mean.
    """
    shares = np.linspace(0.0, 1.0, 5)
    mixed = np.outer(shares, own) + np.outer(1 - shares, naive)
    return float(shares[np.argmin(np.nanmedian(np.abs(mixed), axis=1))])


def _extreme(X: pd.DataFrame, columns: tuple[str, ...], extreme: str) -> np.ndarray:
    """Largest or smallest finite value of each row, infinite where there is none."""
    values = X[list(columns)].to_numpy(dtype=np.float64)
    finite = np.isfinite(values)
    if extreme == "max":
        return np.where(finite, values, -np.inf).max(axis=1)
    return np.where(finite, values, np.inf).min(axis=1)
