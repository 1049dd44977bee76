"""A Gaussian process over configurations, epochs and runs, for searches that pause their runs.

Swersky, Snoek, Adams (2014, Freeze-thaw Bayesian optimization) model all learning curves of a
search by one process, so that a run tells about its own end and about configurations that were
never trained. Here its kernel is, with the logarithm of the epoch as time t,

    a0 k(x, x') + a1 k(x, x') h(t, t') + a2 h(t, t') + [same run] (a3 o(t, t') + a4) + noise,

k Matérn 5/2 with a length scale per parameter, h squared exponential and o exponential: how good
a configuration is, how its curve bends, how curves bend in general, and in what a run differs
from what its configuration promises. Values are warped as in `predictors.gain_gp`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from curvecast.predictors.gaussian_process import (
    Covariance,
    Gradient,
    Prior,
    matern,
    matern_slope,
    most_probable,
    squared_distances,
)
from curvecast.predictors.transforms import Warp

# Hyper-parameters are logarithms: a0 to a4, noise, length scales of h and o, and one length scale
# per coordinate of k, which grows with the root of their number as distances do. Weak log-normal
# priors, for standardised values.
_PRIOR_MEAN = np.log([0.7, 0.3, 1.0, 0.1, 0.05, 0.01, 0.5, 0.5])
_PRIOR_STD = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.5, 0.7, 0.7])
_LENGTH, _LENGTH_STD = 0.26, 1.0
_WITHIN, _NUGGET = 5.0, 1e-6
# They are chosen again whenever there are this many times as many values, on at most so many.
FIRST, _GROWTH, _N_TUNE = 8, 1.3, 200
_ITERATIONS, _ITERATIONS_AGAIN = 60, 20

_Parts = tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Values:
    """Values of runs on the way, in the order in which they were measured.

    Attributes
    ----------
    points : coordinates of the configuration, shape (n, n_coordinates).
    times : log(epoch / last epoch) / log(last epoch / first), 0 at the end, shape (n,).
    runs : number of the run, -1 for one that was never begun, shape (n,).
    losses : shape (n,); inf where the run has failed.
    """

    points: np.ndarray
    times: np.ndarray
    runs: np.ndarray
    losses: np.ndarray

    def __len__(self) -> int:
        return len(self.losses)

    def take(self, rows: slice | np.ndarray) -> Self:
        """The values of some rows."""
        return type(self)(self.points[rows], self.times[rows], self.runs[rows], self.losses[rows])

    @classmethod
    def at_the_end(cls, points: np.ndarray, runs: np.ndarray) -> Self:
        """The final values of configurations, to be predicted."""
        return cls(points, np.zeros(len(points)), runs, np.full(len(points), np.nan))

    def joined(self, other: Self) -> Self:
        """These values and then the other ones."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return type(self)(*(np.concatenate(pair) for pair in pairs))


class CurveProcess:
    """The process after `learn`; what it predicts is in its own unit, where more is better."""

    def __init__(self) -> None:
        # Numbers of values, and what was chosen on the first so many.
        self._milestones: list[tuple[int, _Scale, np.ndarray]] = []

    def learn(self, values: Values) -> None:
        """Learn from all values so far, `FIRST` or more.

        Those of the call before come first, unchanged.
        """
        n, m = len(values), FIRST
        chosen = len(self._milestones)
        # Milestones are fixed, so that a search that goes on chooses what it had chosen.
        while m <= n:
            if all(m > before for before, _, _ in self._milestones):
                self._milestones.append((m, *_choose(values.take(slice(m)), self._milestones)))
            m = math.ceil(m * _GROWTH)
        _, self._scale, self._theta = self._milestones[-1]
        if len(self._milestones) > chosen:
            self._values = values.take(slice(0))
            self._inverse = np.zeros((2 * n, 2 * n))
            self._end_points, self._ends = values.points[:0], np.zeros((0, 0))
        self._extend(values)
        self._targets = self.unit(values.losses)
        self._solve()

    def unit(self, losses: np.ndarray | float) -> np.ndarray:
        """Losses in the unit of the process; those that are not finite as the worst one."""
        return self._scale(losses)

    def ends(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the final values of the runs 0 .. len(points) - 1.

        Parameters
        ----------
        points : of all runs, shape (n_runs, n_coordinates); those of the call before come first.
        """
        begun = len(self._end_points)
        new = Values.at_the_end(points[begun:], np.arange(begun, len(points)))
        # Whitened covariances between the values and the ends of the runs.
        self._ends = np.hstack([self._ends, self._whiten(new)])
        self._end_points = points
        return self._moments(self._ends)

    def best_unseen(self, points: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of configurations never trained, the `n` with the best predicted final values.

        Returns their rows, means and standard deviations, best first.
        """
        asked = Values.at_the_end(points, np.full(len(points), -1))
        mean = _covariance(self._theta, asked, self._values) @ self._weights
        rows = np.argsort(-mean, kind="stable")[:n]
        return rows, *self._moments(self._whiten(asked.take(rows)))

    def believing(self, asked: Values) -> CurveProcess:
        """This process after values that turned out as it predicts them (kriging believer).

        Ginsbourger, Le Riche, Carraro (2010); the losses of `asked` are not read. To be used before
        this process learns again: both keep their factor, lower triangular, in one array.
        """
        mean, _ = self._moments(self._whiten(asked))
        other = copy.copy(self)
        other._extend(other._values.joined(asked))
        other._targets = np.concatenate([self._targets, mean])
        other._solve()
        return other

    def _extend(self, values: Values) -> None:
        """Add the values that are new: further rows of the inverse Cholesky factor L^-1."""
        old, n = len(self._values), len(values)
        if old == n:
            return
        earlier, new = values.take(slice(old)), values.take(slice(old, n))
        if n > len(self._inverse):
            larger = np.zeros((2 * n, 2 * n))
            larger[:old, :old] = self._inverse[:old, :old]
            self._inverse = larger
        inner = _covariance(self._theta, new, new)
        inner[np.diag_indices(n - old)] += np.exp(self._theta[5]) + _NUGGET
        cross = self._whiten(new)
        corner = cholesky(inner - cross.T @ cross, lower=True, check_finite=False)
        corner = solve_triangular(corner, np.eye(n - old), lower=True, check_finite=False)
        self._inverse[old:n, :old] = -corner @ (cross.T @ self._inverse[:old, :old])
        self._inverse[old:n, old:n] = corner
        runs = Values.at_the_end(self._end_points, np.arange(len(self._end_points)))
        rest = _covariance(self._theta, new, runs) - cross.T @ self._ends
        self._ends = np.vstack([self._ends, corner @ rest])
        self._values = earlier.joined(new)

    def _whiten(self, asked: Values) -> np.ndarray:
        """L^-1 K(values, asked), shape (n, n_asked)."""
        n = len(self._values)
        return self._inverse[:n, :n] @ _covariance(self._theta, self._values, asked)

    def _solve(self) -> None:
        n = len(self._targets)
        self._whitened = self._inverse[:n, :n] @ self._targets
        self._weights = self._inverse[:n, :n].T @ self._whitened

    def _moments(self, whitened: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        prior = np.exp(self._theta[:5]).sum()
        variance = np.maximum(prior - (whitened**2).sum(axis=0), 1e-10)
        return whitened.T @ self._whitened, np.sqrt(variance)


@dataclass(frozen=True)
class _Scale:
    """From losses to standardised, warped gains."""

    warp: Warp
    worst: float
    mean: float
    std: float

    @classmethod
    def of(cls, values: Values) -> Self:
        """The warp is that of the last value of every run."""
        finite = values.losses[np.isfinite(values.losses)]
        worst = float(finite.max()) if len(finite) else 0.0
        filled = np.where(np.isfinite(values.losses), values.losses, worst)
        last = len(values) - 1 - np.unique(values.runs[::-1], return_index=True)[1]
        warp = Warp.to_best("log_below", -filled[last])
        warped = warp(-filled)
        return cls(warp, worst, float(warped.mean()), float(warped.std()) or 1.0)

    def __call__(self, losses: np.ndarray | float) -> np.ndarray:
        filled = np.where(np.isfinite(losses), losses, self.worst)
        return (self.warp(-filled) - self.mean) / self.std


def _choose(
    values: Values, before: list[tuple[int, _Scale, np.ndarray]]
) -> tuple[_Scale, np.ndarray]:
    """Scale and hyper-parameters of the largest posterior density, from those chosen before."""
    scale = _Scale.of(values)
    targets = scale(values.losses)
    n = len(values)
    rows = np.arange(n)
    if n > _N_TUNE:  # more of the good values, which decide
        weights = 1.0 + 2.0 * (targets > np.quantile(targets, 0.7))
        random = np.random.default_rng(n)
        rows = np.sort(random.choice(n, _N_TUNE, replace=False, p=weights / weights.sum()))
    n_lengths = values.points.shape[1]
    length = np.full(n_lengths, np.log(_LENGTH * np.sqrt(n_lengths)))
    center = np.concatenate([_PRIOR_MEAN, length])
    spread = np.concatenate([_PRIOR_STD, np.full(n_lengths, _LENGTH_STD)])
    best = most_probable(
        _covariance_at(values.take(rows)),
        targets[rows],
        Prior(center, spread),
        before[-1][2] if before else center,
        bounds=list(zip(center - _WITHIN, center + _WITHIN, strict=True)),
        iterations=_ITERATIONS_AGAIN if before else _ITERATIONS,
        tolerance=1e-4,
    )
    return scale, best.x


def _parts(a: np.ndarray, distances: np.ndarray, one: Values, other: Values) -> _Parts:
    """k, h, o, [same run], and sqrt(5) distance, its exp(-), |t - t'|; each (n_one, n_other)."""
    r = np.sqrt(5 * distances)
    decay = np.exp(-r)
    gap = np.abs(one.times[:, None] - other.times[None, :])
    h = np.exp(-0.5 * (gap / a[6]) ** 2)
    same = one.runs[:, None] == other.runs[None, :]
    return matern(r, decay), h, np.exp(-gap / a[7]), same, r, decay, gap


def _covariance(theta: np.ndarray, one: Values, other: Values) -> np.ndarray:
    """Without the noise; shape (n_one, n_other)."""
    a, lengths = np.exp(theta[:8]), np.exp(theta[8:])
    distances = squared_distances(one.points / lengths, other.points / lengths)
    k, h, o, same, *_ = _parts(a, distances, one, other)
    return k * (a[0] + a[1] * h) + a[2] * h + same * (a[3] * o + a[4])


def _covariance_at(values: Values) -> Covariance:
    """Of noisy values, with its gradient by the hyper-parameters."""

    def covariance(theta: np.ndarray) -> tuple[np.ndarray, Gradient]:
        a, lengths = np.exp(theta[:8]), np.exp(theta[8:])
        scaled = values.points / lengths
        parts = _parts(a, squared_distances(scaled, scaled), values, values)
        k, h, o, same, *_ = parts
        o = same * o
        K = k * (a[0] + a[1] * h) + a[2] * h + a[3] * o + a[4] * same
        K[np.diag_indices(len(values))] += a[5] + _NUGGET
        return K, lambda slope: _gradient(a, scaled, parts, slope)

    return covariance


def _gradient(a: np.ndarray, scaled: np.ndarray, parts: _Parts, slope: np.ndarray) -> np.ndarray:
    """Sum over pairs of slope times the derivative of the covariance, per hyper-parameter."""
    k, h, o, same, r, decay, gap = parts
    o = same * o
    by_distance = matern_slope(slope * (a[0] + a[1] * h), r, decay)
    # Sum over pairs of by_distance * (x_i - x_j)^2, for every coordinate.
    by_length = 2 * (by_distance.sum(axis=1) @ scaled**2) - 2 * np.einsum(
        "id,ij,jd->d", scaled, by_distance, scaled, optimize=True
    )
    others = [
        a[0] * (slope * k).sum(),
        a[1] * (slope * k * h).sum(),
        a[2] * (slope * h).sum(),
        a[3] * (slope * o).sum(),
        a[4] * (slope * same).sum(),
        a[5] * np.trace(slope),
        (slope * (a[1] * k + a[2]) * h * (gap / a[6]) ** 2).sum(),
        a[3] * (slope * o * gap / a[7]).sum(),
    ]
    return np.concatenate([others, by_length])
