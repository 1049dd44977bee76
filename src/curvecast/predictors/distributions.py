"""Predictive distributions of final values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

# From fewer residuals than this no shape can be told: distributions stay Gaussian.
MIN_RESIDUALS = 5


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictive distributions of final values, Gaussian unless a subclass knows better.

    Attributes
    ----------
    mean, std : float64 arrays of shape (n_configs,), in the unit of the curve.
    """

    mean: np.ndarray
    std: np.ndarray

    def quantile(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles at levels in (0, 1), shape (n_configs, n_levels)."""
        return self.mean[:, None] + self.std[:, None] * ndtri(np.asarray(levels, dtype=np.float64))

    def cdf(self, value: float | np.ndarray) -> np.ndarray:
        """P(final value <= value) for a scalar or one value per run; shape (n_configs,)."""
        gap = np.asarray(value, dtype=np.float64) - self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.std > 0, ndtr(gap / self.std), (gap >= 0).astype(np.float64))

    def gaussian(self) -> Prediction:
        """The same location and spread without a shape learnt from residuals.

        The published rule of early stopping is about this one. A hundred residuals tell little
        of the tails, in which stopping is decided.
        """
        return self

    def affine(self, shift: np.ndarray | float, scale: float) -> Prediction:
        """Distribution of `shift + scale * y`; `scale` > 0, `shift` a scalar or one per run."""
        return Prediction(shift + scale * self.mean, scale * self.std)


@dataclass(frozen=True, eq=False)
class EndedPrediction(Prediction):
    """The distribution `inner`, but of ended runs moved to their value and narrowed.

    Attributes
    ----------
    ended : boolean, shape (n_configs,).
    """

    NARROW = 0.05

    inner: Prediction
    ended: np.ndarray

    @classmethod
    def of(cls, inner: Prediction, ended: np.ndarray, values: np.ndarray) -> Prediction:
        """From the values that ended runs stay at, shape (n_configs,); `inner` if no run ended."""
        if not ended.any():
            return inner
        mean = np.where(ended, values, inner.mean)
        return cls(mean, np.where(ended, cls.NARROW, 1.0) * inner.std, inner, ended)

    def quantile(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        q = self.inner.quantile(levels)
        moved = self.mean[:, None] + self.NARROW * (q - self.inner.mean[:, None])
        return np.where(self.ended[:, None], moved, q)

    def cdf(self, value: float | np.ndarray) -> np.ndarray:
        away = (np.asarray(value, dtype=np.float64) - self.mean) / self.NARROW
        return self.inner.cdf(np.where(self.ended, self.inner.mean + away, value))

    def gaussian(self) -> Prediction:
        return EndedPrediction.of(self.inner.gaussian(), self.ended, self.mean)

    def affine(self, shift: np.ndarray | float, scale: float) -> Prediction:
        moved = shift + scale * self.mean
        return EndedPrediction.of(self.inner.affine(shift, scale), self.ended, moved)


@dataclass(frozen=True, eq=False)
class ResidualPrediction(Prediction):
    """Location and scale per run with one shape for all: that of standardised residuals.

    Attributes
    ----------
    scale : float64 array of shape (n_configs,).
    residuals : sorted standardised residuals of runs that a fit did not see, shape (n,).
        Between them the distribution function is linear, residual i having the level
        i / (n + 1) of split-conformal prediction (Vovk, Gammerman, Shafer 2005); beyond the
        outermost ones it goes on as a Gaussian that passes through them.
    """

    scale: np.ndarray
    residuals: np.ndarray

    @classmethod
    def of(cls, mean: np.ndarray, scale: np.ndarray, residuals: np.ndarray) -> ResidualPrediction:
        """From residuals in any order; the standard deviation is their root mean square."""
        residuals = np.sort(residuals)
        return cls(mean, scale * np.sqrt(np.mean(residuals**2)), scale, residuals)

    @property
    def _levels(self) -> np.ndarray:
        n = len(self.residuals)
        return np.arange(1, n + 1) / (n + 1)

    def _tail(self) -> float:
        """Standard deviation of the Gaussian tails; they start at levels 1/(n+1), n/(n+1)."""
        reach = max(-self.residuals[0], self.residuals[-1], 1e-300)
        return float(reach / -ndtri(self._levels[0]))

    def quantile(self, levels: Sequence[float] | np.ndarray) -> np.ndarray:
        levels = np.asarray(levels, dtype=np.float64)
        own = self._levels
        inside = np.interp(levels, own, self.residuals)
        below = self.residuals[0] + self._tail() * (ndtri(levels) - ndtri(own[0]))
        above = self.residuals[-1] + self._tail() * (ndtri(levels) - ndtri(own[-1]))
        shape = np.where(levels < own[0], below, np.where(levels > own[-1], above, inside))
        return self.mean[:, None] + self.scale[:, None] * shape

    def cdf(self, value: float | np.ndarray) -> np.ndarray:
        gap = np.asarray(value, dtype=np.float64) - self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            u = np.where(self.scale > 0, gap / self.scale, np.where(gap >= 0, np.inf, -np.inf))
        own, tail = self._levels, self._tail()
        inside = np.interp(u, self.residuals, own)
        below = ndtr((u - self.residuals[0]) / tail + ndtri(own[0]))
        above = ndtr((u - self.residuals[-1]) / tail + ndtri(own[-1]))
        outside = np.where(u > self.residuals[-1], above, inside)
        return np.where(u < self.residuals[0], below, outside)

    def gaussian(self) -> Prediction:
        return Prediction(self.mean, self.std)

    def affine(self, shift: np.ndarray | float, scale: float) -> Prediction:
        return ResidualPrediction(
            shift + scale * self.mean, scale * self.std, scale * self.scale, self.residuals
        )
