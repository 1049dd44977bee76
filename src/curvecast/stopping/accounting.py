"""Accounts for replayed searches: the epochs that a search used, and the runs that it lost.

Inside this package values are *gains*: the values of the metric with the sign turned so that
larger is better. A minimised metric and its negated copy are therefore the same thing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import trained
from curvecast.protocol import seed_from

RECOVERED = 0.005


@dataclass(frozen=True, eq=False)
class Record:
    """Recorded runs as rules and replays read them; `of` also checks that they can be searched."""

    curves: CurveSet

    @classmethod
    def of(cls, curves: CurveSet) -> Record:
        """Raises DataError when fewer than two runs have finite values to their end.

        Or when no trained epoch lies before the last one, where a run could be stopped.
        """
        record = cls(curves)
        if len(trained(curves.epochs)) < 2:
            raise DataError("a single trained epoch, nothing to stop early", file=curves.name)
        if record.complete.sum() < 2:
            raise DataError("fewer than two complete runs, nothing to search", file=curves.name)
        return record

    def __len__(self) -> int:
        return len(self.curves)

    @property
    def epochs(self) -> np.ndarray:
        return self.curves.epochs

    @cached_property
    def gain(self) -> np.ndarray:
        """sign * values, shape (n_runs, n_epochs); larger is better."""
        return self.curves.sign * self.curves.values

    @cached_property
    def complete(self) -> np.ndarray:
        """Whether a run reaches its last epoch with finite values only; shape (n_runs,)."""
        return np.isfinite(self.gain).all(axis=1)

    @cached_property
    def end(self) -> np.ndarray:
        """Column at which a run ends when nobody stops it; shape (n_runs,).

        The last one, or the first whose value is not finite (the run diverged).
        """
        return np.where(
            self.complete, len(self.epochs) - 1, np.argmin(np.isfinite(self.gain), axis=1)
        )

    @cached_property
    def final(self) -> np.ndarray:
        """Final gain, -inf for a run that diverged; shape (n_runs,)."""
        return np.where(self.complete, self.gain[:, -1], -np.inf)

    def regret(self, best: float) -> float:
        """Distance of the gain `best` from the best of all, in that from the median to it."""
        highest = float(self.final.max())
        if best == highest:
            return 0.0
        unit = highest - float(np.median(self.final[self.complete]))
        return (highest - best) / unit if unit > 0 else float("inf")

    def columns(self, epochs: np.ndarray) -> np.ndarray:
        """Positions of `epochs`. Raises DataError for one that was not recorded."""
        columns = np.searchsorted(self.epochs, epochs)
        if np.any(columns >= len(self.epochs)) or np.any(self.epochs[columns] != epochs):
            raise DataError(f"epochs {list(epochs)} are not among the recorded epochs")
        return columns

    def seconds_used(self, ended: np.ndarray, rows: np.ndarray | None = None) -> float:
        """Seconds when the runs `rows` (default: all) end at columns `ended`; NaN without any."""
        seconds = self.curves.series.get("seconds")
        if seconds is None:
            return float("nan")
        return float(seconds[np.arange(len(self)) if rows is None else rows, ended].sum())


def ordering(curves: CurveSet, repeat: int) -> np.ndarray:
    """Row positions in the random order number `repeat`; the same for every predictor."""
    rng = np.random.default_rng(seed_from(curves.name, "ordering", repeat))
    return rng.permutation(len(curves))


@dataclass(frozen=True, eq=False)
class Replay:
    """The course of one search over recorded runs.

    Attributes
    ----------
    order : row positions in the order in which the runs were started, shape (n_runs,).
    ended : column at which run i ended, shape (n_runs,), by row position.
    finished : whether run i reached the last epoch, shape (n_runs,).
    asked : whether the rule was asked about run i (not one of the first full runs, and not one
        of those that are always finished), shape (n_runs,).
    """

    order: np.ndarray
    ended: np.ndarray
    finished: np.ndarray
    asked: np.ndarray

    def trace(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        """Epochs used and best final gain after each run in order; two arrays (n_runs,)."""
        final = np.where(self.finished, record.final, -np.inf)[self.order]
        used = np.cumsum(record.epochs[self.ended][self.order])
        return used, np.maximum.accumulate(final)

    def best_before(self, record: Record) -> np.ndarray:
        """Best final gain among the runs finished before run i; -inf for none; (n_runs,)."""
        best = np.empty(len(record))
        best[self.order] = [-np.inf, *self.trace(record)[1][:-1]]
        return best


@dataclass(frozen=True)
class Outcome:
    """The gains and losses of one replay.

    Attributes
    ----------
    epochs, seconds : those that the search used; seconds are NaN where the data has none.
    speedup : epochs of training everything / `epochs`; `speedup_seconds`: the same in seconds.
    regret : (best of all - best of the search) / (best of all - median of all).
    recovered : regret is at most 0.005; `exactly`: it is 0.
    beating : asked runs that would have ended better than the best finished before them; `lost`:
        those of them that were stopped.
    """

    epochs: int
    seconds: float
    speedup: float
    speedup_seconds: float
    regret: float
    recovered: bool
    exactly: bool
    beating: int
    lost: int


def outcome(record: Record, replay: Replay) -> Outcome:
    """Account for one replay."""
    used, seconds = int(record.epochs[replay.ended].sum()), record.seconds_used(replay.ended)
    regret = record.regret(float(np.where(replay.finished, record.final, -np.inf).max()))
    beats = replay.asked & (record.final > replay.best_before(record))
    return Outcome(
        epochs=used,
        seconds=seconds,
        speedup=int(record.epochs[record.end].sum()) / used,
        speedup_seconds=record.seconds_used(record.end) / seconds,
        regret=regret,
        recovered=regret <= RECOVERED,
        exactly=regret == 0,
        beating=int(beats.sum()),
        lost=int((beats & ~replay.finished).sum()),
    )
