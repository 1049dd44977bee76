"""Input scaling: columns that are imputed, standardised or warped as the training runs say."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from curvecast.curves import DataError
from curvecast.predictors.transforms import Warp

SCALINGS = ("standard", "minmax")
_SMALL = 1e-12


def center_and_scale(matrix: np.ndarray, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """What to subtract from columns and to divide them by, shapes (n_columns,).

    "standard" gives mean 0 and standard deviation 1, "minmax" the range 0..1.
    """
    if scaling == "minmax":
        return matrix.min(axis=0), np.ptp(matrix, axis=0)
    return matrix.mean(axis=0), matrix.std(axis=0)


def medians(matrix: np.ndarray) -> np.ndarray:
    """Median of the finite values of each column, 0 where there is none; shape (n_columns,)."""
    finite = (column[np.isfinite(column)] for column in matrix.T)
    return np.array([float(np.median(column)) if len(column) else 0.0 for column in finite])


@dataclass(frozen=True)
class Scaling:
    """Scaling of the columns of an array; constant columns are dropped.

    Cells that are not finite take the median of the training runs.

    Attributes
    ----------
    varies : which columns are not constant, shape (n_columns,).
    medians, center, scale : of these columns.
    """

    varies: np.ndarray
    medians: np.ndarray
    center: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(
        cls, matrix: np.ndarray, scaling: str = "standard", names: Sequence[Hashable] = ()
    ) -> Self:
        """Learn from training rows, shape (n_runs, n_columns); `names` are for messages.

        Raises
        ------
        DataError : a column with numbers so large that their variance overflows.
        """
        filling = medians(matrix)
        matrix = np.where(np.isfinite(matrix), matrix, filling)
        with np.errstate(over="ignore", invalid="ignore"):
            center, scale = center_and_scale(matrix, scaling)
        for column in np.flatnonzero(~np.isfinite(scale)):
            name = str(names[int(column)]) if len(names) else f"number {column}"
            raise DataError("values so large that their variance overflows", column=name)
        varies = scale > _SMALL * np.maximum(1.0, np.abs(matrix).max(axis=0, initial=0.0))
        return cls(varies, filling[varies], center[varies], scale[varies])

    def __call__(self, matrix: np.ndarray) -> np.ndarray:
        """Scaled columns, shape (n_rows, n_varying)."""
        return self.varying(matrix[:, self.varies])

    def varying(self, matrix: np.ndarray) -> np.ndarray:
        """The same from the columns that vary alone."""
        return (np.where(np.isfinite(matrix), matrix, self.medians) - self.center) / self.scale


@dataclass(frozen=True)
class Columns:
    """Scaling of the columns of feature frames, by name.

    Attributes
    ----------
    names : of the columns that vary.
    """

    names: tuple[Hashable, ...]
    scaling: Scaling

    @classmethod
    def of(cls, frame: pd.DataFrame, scaling: str = "standard") -> Self:
        """Learn from training rows; raises what `Scaling.of` raises."""
        learned = Scaling.of(frame.to_numpy(dtype=np.float64), scaling, list(frame.columns))
        return cls(tuple(frame.columns[learned.varies].tolist()), learned)

    def apply(self, frame: pd.DataFrame) -> np.ndarray:
        """Scaled columns, shape (n_rows, n_varying); columns that were not fitted on are ignored.

        Raises
        ------
        DataError : a column that was fitted on is missing, unless it marks something that need
            not occur here (a category, a diverged run).
        """
        for name in self.names:
            if name not in frame and name != "ts_diverged" and "=" not in str(name):
                raise DataError("a column that was fitted on is missing", column=str(name))
        matrix = frame.reindex(columns=list(self.names), fill_value=0.0).to_numpy(np.float64)
        return self.scaling.varying(matrix)


@dataclass(frozen=True)
class WarpScaling:
    """`Warp.robust` and then a standardisation per column; what is not finite becomes 0.

    A run that leaves the range of the training runs is neither clipped nor extrapolated linearly
    by whatever follows. The arrays `mean` and `scale` have shape (n_columns,).
    """

    warp: Warp
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Learn from training rows, shape (n_runs, n_columns)."""
        warp = Warp.robust(values)
        warped = warp(values)
        finite = np.isfinite(warped)
        count = np.maximum(finite.sum(axis=0), 1)
        mean = np.where(finite, warped, 0.0).sum(axis=0) / count
        variance = np.where(finite, (warped - mean) ** 2, 0.0).sum(axis=0) / count
        return cls(warp, mean, np.where(variance > _SMALL, np.sqrt(variance), 1.0))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scaled values of the first columns, shape (n_runs, n) with n <= n_columns."""
        n = values.shape[1]
        center, scale = np.asarray(self.warp.center)[:n], np.asarray(self.warp.scale)[:n]
        warped = Warp(self.warp.kind, center, scale)(values)
        standard = (warped - self.mean[:n]) / self.scale[:n]
        return np.where(np.isfinite(standard), standard, 0.0)
