"""Asynchronous successive halving in its stopping form (ASHA, Li et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from curvecast.curves import DataError
from curvecast.fidelity import halving_epochs, share_of
from curvecast.stopping.accounting import Record
from curvecast.stopping.rule import Rule


@dataclass(frozen=True)
class SuccessiveHalving(Rule):
    """A run goes on when it is among the best 1/eta of all runs that were at the same rung.

    The rungs are the recorded epochs nearest to first, first * eta, first * eta**2, ...; the run
    itself counts.
    """

    name = "successive_halving"
    place = 3

    first: int = 1
    eta: int = 3

    def __post_init__(self) -> None:
        if self.first < 1 or self.eta < 2:
            raise DataError(f"first {self.first} must be at least 1 and eta {self.eta} at least 2")

    @classmethod
    def replayed(cls, epochs: np.ndarray) -> Self:
        return cls(first=share_of(epochs, 27))

    @property
    def setting(self) -> str:
        return f"eta={self.eta}"

    def own_epochs(self, recorded: np.ndarray, usual: np.ndarray) -> np.ndarray:
        return halving_epochs(recorded, self.first, self.eta)

    def scores(self, runs: Record, at: np.ndarray) -> np.ndarray:
        return runs.gain[:, runs.columns(at)]

    def marks(self, runs: Record, at: np.ndarray) -> np.ndarray:
        return self.scores(runs, at)

    def bar(self, marks: Sequence[float]) -> float:
        place = max(1, (len(marks) + 1) // self.eta)
        # As good as the last that goes on is good enough.
        return math.nextafter(marks[-place], -math.inf) if len(marks) >= place else -math.inf
