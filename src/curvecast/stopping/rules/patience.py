"""Patience: a run ends once its best value is some epochs old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from curvecast.fidelity import share_of
from curvecast.stopping.accounting import Record
from curvecast.stopping.rule import Rule


@dataclass(frozen=True)
class Patience(Rule):
    """Stops a run without progress for `epochs` epochs."""

    name = "patience"
    place = 4
    reason = "no progress"
    alone = True

    epochs: int = 5

    @classmethod
    def replayed(cls, epochs: np.ndarray) -> Self:
        return cls(share_of(epochs, 10))

    @property
    def setting(self) -> str:
        return f"{self.epochs} epochs"

    def scores(self, runs: Record, at: np.ndarray) -> np.ndarray:
        gain = np.where(np.isfinite(runs.gain), runs.gain, -np.inf)
        before = np.maximum.accumulate(gain, axis=1)[:, :-1]
        better = np.concatenate([np.isfinite(gain[:, :1]), gain[:, 1:] > before], axis=1)
        newest = np.where(better, np.arange(gain.shape[1]), 0)
        best_at = np.maximum.accumulate(newest, axis=1)[:, runs.columns(at)]
        # Epochs of patience that are left.
        return self.epochs - (at[None, :] - runs.epochs[best_at])

    def bar(self, marks: Sequence[float]) -> float:
        return 0.0
