"""What a replayed search used and what it lost.

Inside this package values are *gains*: the values of the metric with the sign turned so that
larger is better. A minimised metric and its negated copy are therefore the same thing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from curvecast.curves import CurveSet, DataError

RECOVERED = 0.005


@dataclass(frozen=True, eq=False)
class Record:
    """Recorded runs as replays walk them.

    Attributes
    ----------
    gain : sign * values, shape (n_runs, n_epochs); larger is better.
    epochs : trained epochs, shape (n_epochs,).
    end : column at which a run ends when nobody stops it: the last one, or the first whose value
        is not finite (the run diverged); shape (n_runs,).
    seconds : cumulative seconds, shape (n_runs, n_epochs), None where the data has none.
    """

    gain: np.ndarray
    epochs: np.ndarray
    end: np.ndarray
    seconds: np.ndarray | None

    @classmethod
    def of(cls, curves: CurveSet) -> Record:
        """Raises DataError when fewer than two runs have a finite final value."""
        finite = np.isfinite(curves.values)
        last = len(curves.epochs) - 1
        end = np.where(finite.all(axis=1), last, np.argmin(finite, axis=1))
        if np.sum(finite.all(axis=1)) < 2:
            raise DataError("fewer than two complete runs, nothing to search", file=curves.name)
        return cls(curves.sign * curves.values, curves.epochs, end, curves.series.get("seconds"))

    def __len__(self) -> int:
        return len(self.gain)

    @cached_property
    def complete(self) -> np.ndarray:
        """Whether a run reaches its last epoch with finite values only; shape (n_runs,)."""
        return np.isfinite(self.gain).all(axis=1)

    @cached_property
    def final(self) -> np.ndarray:
        """Final gain, -inf for a run that diverged; shape (n_runs,)."""
        return np.where(self.complete, self.gain[:, -1], -np.inf)

    @cached_property
    def best(self) -> float:
        return float(self.final.max())

    @cached_property
    def unit(self) -> float:
        """Distance between the median and the best complete run: the unit of regret."""
        return self.best - float(np.median(self.final[self.complete]))

    def columns(self, looks: np.ndarray) -> np.ndarray:
        """Positions of the epochs `looks`. Raises DataError for one that was not recorded."""
        columns = np.searchsorted(self.epochs, looks)
        if np.any(columns >= len(self.epochs)) or np.any(self.epochs[columns] != looks):
            raise DataError(f"looks {list(looks)} are not among the recorded epochs")
        return columns

    def seconds_used(self, ended: np.ndarray) -> float:
        """Seconds when run i ends at column `ended[i]`; NaN where the data has none."""
        if self.seconds is None:
            return float("nan")
        return float(self.seconds[np.arange(len(self)), ended].sum())


@dataclass(frozen=True, eq=False)
class Replay:
    """How one search over recorded runs went.

    Attributes
    ----------
    order : row positions in the order in which the runs were started, shape (n_runs,).
    ended : column at which run i ended, shape (n_runs,), by row position.
    finished : whether run i reached the last epoch, shape (n_runs,).
    judged : whether the rule was asked about run i (not one of the first full runs, and not one
        of those that are always finished), shape (n_runs,).
    """

    order: np.ndarray
    ended: np.ndarray
    finished: np.ndarray
    judged: np.ndarray

    def best_before(self, record: Record) -> np.ndarray:
        """Best final gain among the runs finished before run i; -inf for none; (n_runs,)."""
        in_order = np.where(self.finished, record.final, -np.inf)[self.order]
        before = np.maximum.accumulate(np.concatenate([[-np.inf], in_order[:-1]]))
        best = np.empty(len(record))
        best[self.order] = before
        return best

    def trace(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        """Epochs used and best final gain after each run in order; two arrays (n_runs,)."""
        used = np.cumsum(record.epochs[self.ended][self.order])
        found = np.where(self.finished, record.final, -np.inf)[self.order]
        return used, np.maximum.accumulate(found)


@dataclass(frozen=True)
class Outcome:
    """What one replay gained and lost.

    Attributes
    ----------
    speedup : epochs of training everything / epochs used.
    speedup_seconds : the same in seconds, NaN where the data has none.
    regret : (best of all - best found) / (best of all - median of all).
    recovered : regret is at most 0.005; `exactly`: the very best value was found.
    beating : judged runs that would have ended better than the best finished before them.
    lost : those of them that were stopped.
    """

    epochs: int
    speedup: float
    speedup_seconds: float
    regret: float
    recovered: bool
    exactly: bool
    beating: int
    lost: int


def outcome(record: Record, replay: Replay) -> Outcome:
    """Account for one replay."""
    used = int(record.epochs[replay.ended].sum())
    everything = int(record.epochs[record.end].sum())
    found = float(np.where(replay.finished, record.final, -np.inf).max())
    regret = regret_of(record, found)
    beats = replay.judged & (record.final > replay.best_before(record))
    return Outcome(
        epochs=used,
        speedup=everything / used,
        speedup_seconds=record.seconds_used(record.end) / record.seconds_used(replay.ended),
        regret=regret,
        recovered=regret <= RECOVERED,
        exactly=found == record.best,
        beating=int(beats.sum()),
        lost=int((beats & ~replay.finished).sum()),
    )


def regret_of(record: Record, found: float) -> float:
    """Regret of the best found gain in units of the median-to-best distance."""
    if found == record.best:
        return 0.0
    return (record.best - found) / record.unit if record.unit > 0 else float("inf")


def oracle_epochs(record: Record, order: np.ndarray, first: int, n_full: int) -> int:
    """Fewest epochs of a search that loses no new best run.

    The first `n_full` runs and every run that beats all before it are finished; every other run
    ends at column `first`, the first look.
    """
    final = record.final[order]
    before = np.maximum.accumulate(np.concatenate([[-np.inf], final[:-1]]))
    full = (final > before) | (np.arange(len(order)) < n_full)
    ended = np.where(full, record.end[order], np.minimum(first, record.end[order]))
    return int(record.epochs[ended].sum())


def mean_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, ...]:
    """Mean and its t interval over orderings: (mean, low, high); NaN bounds for one value."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, float("nan"), float("nan")
    half = student_t.ppf(0.5 + level / 2, len(array) - 1) * array.std(ddof=1) / len(array) ** 0.5
    return mean, mean - float(half), mean + float(half)


def summarise(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """One table row out of the outcomes of several orderings (columns of speedup_sequential)."""
    frame = pd.DataFrame([vars(o) for o in outcomes])
    speedup, regret = (
        mean_interval(frame[c].to_numpy(dtype=np.float64)) for c in ("speedup", "regret")
    )
    beating = int(frame["beating"].sum())
    return {
        "orderings": len(frame),
        "speedup_mean": speedup[0],
        "speedup_low": speedup[1],
        "speedup_high": speedup[2],
        "speedup_seconds_mean": float(frame["speedup_seconds"].mean()),
        "recovered_share": float(frame["recovered"].mean()),
        "exactly_recovered_share": float(frame["exactly"].mean()),
        "regret_mean": regret[0],
        "regret_low": max(0.0, regret[1]),
        "regret_high": regret[2],
        "beating": beating,
        "lost_share": float(frame["lost"].sum()) / beating if beating else float("nan"),
    }
