"""Standardised arrays that networks read: settings of the runs, and their curves step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from curvecast import features
from curvecast.curves import CurveSet, DataError

_SMALL = 1e-12
_NORMAL_IQR = 1.349
SCALINGS = ("standard", "minmax")


def positions_of(curves: CurveSet, taus: Iterable[int]) -> dict[int, int]:
    """Position of the last epoch <= tau, for every tau.

    Raises
    ------
    DataError : a tau that lies before the first or after the last epoch, or none at all.
    """
    found = {int(tau): int(np.searchsorted(curves.epochs, tau, "right")) - 1 for tau in taus}
    if not found:
        raise DataError("no tau to fit", file=curves.name)
    for tau, position in found.items():
        if position < 0 or tau > curves.last_epoch:
            raise DataError(
                f"tau {tau} is outside of the epochs {curves.epochs[0]}..{curves.last_epoch}",
                file=curves.name,
            )
    return found


def thin(last: int, n_steps: int, kept: Iterable[int]) -> np.ndarray:
    """About `n_steps` positions from 0 to `last`, in geometric distances, and those in `kept`.

    Curves move fast at first: the distance grows with the epoch. Increasing int array.
    """
    geometric = np.geomspace(1, last + 1, min(n_steps, last + 1)).round().astype(np.int64) - 1
    return np.unique(np.concatenate([geometric, np.array([*kept, last], dtype=np.int64)]))


def static_frame(curves: CurveSet) -> pd.DataFrame:
    """The blocks AP and HP as `features.build` makes them, shape (n_configs, n_columns)."""
    first = int(curves.epochs[0])
    return features.select(features.build(curves, [first])[first], "AP+HP")


@dataclass(frozen=True)
class Columns:
    """Scaling of feature columns, learned on training runs; constant ones are dropped.

    "standard": to mean 0 and standard deviation 1; "minmax": to 0..1. Cells that are not finite
    take the median of the training runs.
    """

    names: tuple[str, ...]
    medians: np.ndarray
    center: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, frame: pd.DataFrame, scaling: str = "standard") -> Self:
        """Learn from training rows."""
        matrix = frame.to_numpy(dtype=np.float64)
        finite = np.where(np.isfinite(matrix), matrix, np.nan)
        medians = np.array([_median(finite[:, j]) for j in range(finite.shape[1])])
        matrix = np.where(np.isfinite(matrix), matrix, medians)
        center, scale = center_and_scale(matrix, scaling)
        kept = scale > _SMALL * np.maximum(1.0, np.abs(matrix).max(axis=0, initial=0.0))
        names = tuple(str(name) for name in frame.columns[kept])
        return cls(names, medians[kept], center[kept], scale[kept])

    def apply(self, frame: pd.DataFrame) -> np.ndarray:
        """Scaled columns, shape (n_rows, n_kept_columns).

        Raises
        ------
        DataError : a column that was fitted on is missing, unless it marks a category that need
            not occur here.
        """
        missing = [name for name in self.names if name not in frame and "=" not in name]
        if missing:
            raise DataError("a column that was fitted on is missing", column=missing[0])
        matrix = frame.reindex(columns=list(self.names), fill_value=0.0).to_numpy(np.float64)
        matrix = np.where(np.isfinite(matrix), matrix, self.medians)
        return (matrix - self.center) / self.scale


def center_and_scale(matrix: np.ndarray, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """What to subtract from columns and to divide them by, shapes (n_columns,)."""
    if scaling == "minmax":
        return matrix.min(axis=0), np.ptp(matrix, axis=0)
    return matrix.mean(axis=0), matrix.std(axis=0)


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else 0.0


@dataclass(frozen=True)
class Warp:
    """asinh((v - center) / spread), then standardised, per column; what is not finite becomes 0.

    Linear in the middle and logarithmic in both tails (`targets.Form` has the reasons), so that
    a run that leaves the range of the training runs is neither clipped nor extrapolated
    linearly by whatever follows. All arrays have shape (n_columns,).
    """

    center: np.ndarray
    spread: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Learn from training rows, shape (n_runs, n_columns)."""
        center, spread = np.zeros(values.shape[1]), np.ones(values.shape[1])
        for j, column in enumerate(values.T):
            finite = column[np.isfinite(column)]
            if len(finite):
                low, center[j], high = np.quantile(finite, [0.25, 0.5, 0.75])
                tiny = _SMALL * np.abs(finite).max()
                widths = ((high - low) / _NORMAL_IQR, finite.std())
                spread[j] = next((width for width in widths if width > tiny), 1.0)
        warped = np.arcsinh((values - center) / spread)
        known = np.isfinite(warped)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, warped, 0.0).sum(axis=0) / count
        variance = np.where(known, (warped - mean) ** 2, 0.0).sum(axis=0) / count
        return cls(center, spread, mean, np.where(variance > _SMALL, np.sqrt(variance), 1.0))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Warped values of the first columns, shape (n_runs, n) with n <= n_columns."""
        n = values.shape[1]
        warped = np.arcsinh((values - self.center[:n]) / self.spread[:n])
        standard = (warped - self.mean[:n]) / self.scale[:n]
        return np.where(np.isfinite(standard), standard, 0.0)


@dataclass(frozen=True)
class Steps:
    """Curves as sequences in which no step sees a later epoch.

    Attributes
    ----------
    positions : positions among the epochs at which the steps end, shape (n_steps,). A step
        covers the epochs after the previous one.
    times : epoch over last epoch and its logarithmic counterpart in [-1, 1], shape (n_steps, 2).
    warps : per series (the curve itself first) those of its value at the end of a step, its mean
        over the step and its change since the previous step.
    medians : of the training runs' values at the steps, shape (n_steps,); they stand in for a
        run that has no finite value yet.
    """

    positions: np.ndarray
    times: np.ndarray
    warps: tuple[tuple[str, tuple[Warp, ...]], ...]
    medians: np.ndarray

    @classmethod
    def of(cls, curves: CurveSet, positions: np.ndarray) -> Self:
        """Learn the scales of all steps from training runs."""
        epochs = curves.epochs[positions].astype(np.float64)
        last = float(curves.last_epoch)
        times = np.stack([epochs / last, np.log1p(epochs) / np.log1p(last)], axis=1)
        warps = tuple(
            (name, tuple(Warp.of(part) for part in _parts(array, positions)))
            for name, array in _series(curves).items()
        )
        ends = _parts(curves.values, positions)[0]
        medians = np.array([_median(column) for column in ends.T])
        return cls(positions, 2 * times - 1, warps, medians)

    @property
    def n_channels(self) -> int:
        """Channels that `channels` returns."""
        return 3 * len(self.warps) + self.times.shape[1]

    def step_of(self, position: int) -> int:
        """The step that ends at a position among the epochs."""
        return int(np.searchsorted(self.positions, position))

    def channels(self, curves: CurveSet, n_steps: int) -> np.ndarray:
        """Standardised inputs of the first steps, float32 of shape (n_configs, n_steps, C).

        Raises
        ------
        DataError : a series that was fitted on is missing.
        """
        positions = self.positions[:n_steps]
        have = _series(curves)
        parts = []
        for name, warps in self.warps:
            if name not in have:
                raise DataError("a series that was fitted on is missing", column=name)
            for warp, part in zip(warps, _parts(have[name], positions), strict=True):
                parts.append(warp.apply(part))
        shape = (len(curves), len(positions))
        parts += [np.broadcast_to(time, shape) for time in self.times[:n_steps].T]
        return np.stack(parts, axis=2).astype(np.float32)

    def values(self, curves: CurveSet, n_steps: int) -> np.ndarray:
        """Value at the end of the first steps in the unit of the curve, (n_configs, n_steps)."""
        ends = _parts(curves.values, self.positions[:n_steps])[0]
        return np.where(np.isfinite(ends), ends, self.medians[:n_steps])


def _series(curves: CurveSet) -> dict[str, np.ndarray]:
    further = {name: array for name, array in curves.series.items() if name != "seconds"}
    return {"": curves.values, **further}


def _parts(values: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """End, mean and change of every step, each of shape (n_runs, n_steps); leading gaps NaN."""
    filled = features.forward_fill(values[:, : positions[-1] + 1])
    ends = filled[:, positions]
    starts = np.concatenate([[0], positions[:-1] + 1])
    means = np.add.reduceat(filled, starts, axis=1) / np.diff(positions, prepend=-1)
    return ends, means, np.diff(ends, axis=1, prepend=ends[:, :1])
