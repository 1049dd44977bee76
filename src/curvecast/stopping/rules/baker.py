"""Baker's rule, for the published tables (Baker et al. 2018, section 4.1).

Every decision epoch stops a run by the same Delta, with a Gaussian, so that the decision epochs of
a run together lose far more of the would-be winners than 1 - Delta: `Predicted` is for use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.stopping.rules.predicted import Forecasts, Predicting


@dataclass(frozen=True)
class Baker(Predicting):
    """Stops when the predicted probability of ending worse reaches Delta.

    Attributes
    ----------
    forecast : predictions of runs at decision epochs.
    delta : Delta; 1 never stops a run.
    offset : the bar is lowered by it, in the unit of the curve.
    top_n : the bar is the n-th best finished run; nothing is stopped while there are fewer.
    """

    name = "baker"

    forecast: Callable[[CurveSet, np.ndarray], Forecasts]
    delta: float = 0.95
    offset: float = 0.0
    top_n: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.delta <= 1 or self.offset < 0 or self.top_n < 1:
            raise DataError(
                f"delta {self.delta} must be in (0, 1], offset {self.offset} at least 0 and "
                f"top_n {self.top_n} at least 1"
            )

    @property
    def setting(self) -> str:
        parts = [f"offset={self.offset:g}"] * (self.offset > 0)
        parts += [f"top{self.top_n}"] * (self.top_n > 1)
        return " ".join(parts) or "baker"

    def levels(self, at: np.ndarray) -> np.ndarray:
        return np.full(len(at), self.delta)

    def bar(self, marks: Sequence[float]) -> float:
        return marks[-self.top_n] - self.offset if len(marks) >= self.top_n else -np.inf
