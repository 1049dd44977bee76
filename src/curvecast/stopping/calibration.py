"""Bounds that hold for a whole trajectory of looks, near the top of the final values.

A run that would win is lost when it is stopped at any look. So the score of a completed run is
the largest of its standardised residuals over all looks, and the wanted width is an upper
quantile of that score *among winners*. Predictions shrink towards the mean: the better a run
ends, the larger its score, so the quantile comes from a regression of the score on the final
value among the best completed runs, read off at the value that has to be beaten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Forecasts of completed runs that were made without them.

    Attributes
    ----------
    location, spread : shape (n_runs, n_looks), larger is better.
    final : how the runs ended, shape (n_runs,).
    weight : how many runs each of them stands for, shape (n_runs,).
    """

    location: np.ndarray
    spread: np.ndarray
    final: np.ndarray
    weight: np.ndarray

    def scores(self) -> np.ndarray:
        """Largest standardised residual over the looks, shape (n_runs,)."""
        return ((self.final[:, None] - self.location) / self.spread).max(axis=1)


def width(held_out: Trajectories, delta: float, n_near: int) -> float:
    """How many spreads above its location the bound of a run has to lie.

    The upper prediction limit at probability `delta` of a weighted regression of the score on
    the final value, at the best final value, over the `n_near` best completed runs.
    """
    near = np.argsort(-held_out.final, kind="stable")[:n_near]
    score, weight = held_out.scores()[near], held_out.weight[near]
    x = held_out.final[near] - held_out.final[near[0]]
    center = np.average(x, weights=weight)
    ss = float(weight @ (x - center) ** 2)
    slope = float(weight @ ((x - center) * score)) / ss if ss > 0 else 0.0
    slope = max(slope, 0.0)
    mean = np.average(score, weights=weight)
    residual = score - mean - slope * (x - center)
    n = weight.sum() ** 2 / (weight**2).sum()
    freedom = max(n - 2, 1.0)
    sigma = np.sqrt(np.average(residual**2, weights=weight) * n / freedom)
    leverage = 1 / n + (center**2 / ss * weight.sum() / n if ss > 0 else 0.0)
    return float(
        mean - slope * center + student_t.ppf(delta, freedom) * sigma * np.sqrt(1 + leverage)
    )
