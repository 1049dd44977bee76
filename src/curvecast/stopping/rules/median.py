"""Median stopping: the best value so far is below the median of the others' running averages.

Golovin et al. (2017), "Google Vizier", section 3.3.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from curvecast.stopping.accounting import Record
from curvecast.stopping.rule import Rule


@dataclass(frozen=True)
class Median(Rule):
    """Nothing is stopped while fewer than `min_runs` runs have reached the epoch."""

    name = "median"
    place = 2
    setting = "vizier"

    min_runs: int = 5

    @classmethod
    def replayed(cls, epochs: np.ndarray) -> Self:
        return cls()

    def scores(self, runs: Record, at: np.ndarray) -> np.ndarray:
        gain = np.where(np.isfinite(runs.gain), runs.gain, -np.inf)
        return np.maximum.accumulate(gain, axis=1)[:, runs.columns(at)]

    def marks(self, runs: Record, at: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            averages = np.cumsum(runs.gain, axis=1) / np.arange(1, runs.gain.shape[1] + 1)
        return averages[:, runs.columns(at)]

    def bar(self, marks: Sequence[float]) -> float:
        n = len(marks)
        if n < self.min_runs:
            return -math.inf
        # As good as the median goes on.
        return math.nextafter((marks[(n - 1) // 2] + marks[n // 2]) / 2, -math.inf)
