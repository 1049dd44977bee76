"""Online sequential search: few full runs first, and a predictor that learns as runs complete.

Nothing is known of a run but what the search itself trained. Forecasts learn from finished and
from stopped runs (`unfinished`), and how far they can be trusted comes from other collections
(`calibration`). A random share of all runs is always finished, whatever the rule says; its cost
counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.predictors.gain_gp import static_features
from curvecast.protocol import seed_from
from curvecast.stopping.accounting import Record, Replay
from curvecast.stopping.calibration import widths
from curvecast.stopping.sequential import ordering
from curvecast.stopping.unfinished import UnfinishedProcesses


@dataclass(frozen=True)
class OnlineSetting:
    """The options of the online search; the defaults are the fixed setting of this project.

    Attributes
    ----------
    delta : share of the runs that would win that must survive all looks together.
    n_full : runs trained to the end before the first fit.
    always : share of the later runs that is finished whatever the rule says.
    growth : fit again whenever the number of started runs has grown by this factor.
    memory : weight of the earlier looks in a run's forecast, in [0, 1).
    n_looks : about how many decision epochs, see `fidelity.online_epochs`.
    """

    delta: float = 0.9
    n_full: int = 12
    always: float = 0.05
    growth: float = 2.0
    memory: float = 0.3
    n_looks: int = 20

    def __post_init__(self) -> None:
        if not (0 < self.delta <= 1 and self.n_full >= 3 and 0 <= self.always <= 1):
            raise DataError(f"delta, n_full or always is out of range in {self}")
        if self.growth <= 1:
            raise DataError(f"growth must exceed 1 in {self}")
        if not 0 <= self.memory < 1 or self.n_looks < 1:
            raise DataError(f"memory or n_looks is out of range in {self}")


# Of runs that diverged or were not started: nothing is learnt from them.
_UNKNOWN = -1


@dataclass
class Cost:
    """Seconds spent on fitting and on asking the predictors of one replay."""

    fit: float = 0.0
    predict: float = 0.0
    fits: int = field(default=0)


def chunks(n: int, n_full: int, growth: float) -> Iterator[tuple[int, int]]:
    """Half-open position ranges that one fit judges: n_full, n_full * growth, ..., n."""
    start = n_full
    while start < n:
        end = min(n, max(start + 1, int(start * growth)))
        yield start, end
        start = end


def replay_online(
    curves: CurveSet, repeat: int, looks: np.ndarray, setting: OnlineSetting
) -> tuple[Replay, Cost]:
    """Replay the online search in ordering `repeat`.

    Raises
    ------
    DataError : not more than `setting.n_full` runs, or fewer than two of these complete.
    """
    record = Record.of(curves)
    n = len(record)
    if n <= setting.n_full:
        raise DataError(f"{n} runs are too few for {setting.n_full} full ones", file=curves.name)
    order = ordering(curves, repeat)
    rng = np.random.default_rng(seed_from(curves.name, "always", repeat))
    forced = np.zeros(n, dtype=bool)
    forced[order] = rng.random(n) < setting.always
    forced[order[: setting.n_full]] = False
    columns = record.columns(looks)
    static = static_features(curves).to_numpy()
    ended = record.end.copy()
    stopped = np.full(n, _UNKNOWN)
    stopped[order[: setting.n_full]] = len(looks)
    stopped[~record.complete] = _UNKNOWN
    best = float(np.where(stopped == len(looks), record.final, -np.inf).max())
    cost, model = Cost(), None
    for start, end in chunks(n, setting.n_full, setting.growth):
        rows = order[start:end]
        draws = np.random.default_rng(seed_from(curves.name, "unfinished", repeat, start))
        bounds, model = _bounds(
            record, static, stopped, rows, start, looks, setting, best, model, draws, cost
        )
        lowest = np.fmin.reduce(bounds, axis=1, initial=np.inf)
        for i, run in enumerate(rows.tolist()):
            if lowest[i] <= best and not forced[run]:
                stopped[run] = int(np.argmax(bounds[i] <= best))
                ended[run] = min(int(ended[run]), int(columns[stopped[run]]))
            elif record.complete[run]:
                stopped[run] = len(looks)
                best = max(best, float(record.final[run]))
    judged = ~forced
    judged[order[: setting.n_full]] = False
    return Replay(order, ended, stopped == len(looks), judged), cost


class Smoothed:
    """Forecasts of successive looks, smoothed exponentially: one noisy epoch stops no winner.

    The spreads are smoothed like the locations, as if successive forecasts erred together.
    """

    def __init__(self, memory: float) -> None:
        self._memory = memory
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def update(self, location: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed location and spread of this look, each of shape (n_runs,)."""
        if self._last is not None:
            location = self._memory * self._last[0] + (1 - self._memory) * location
            spread = self._memory * self._last[1] + (1 - self._memory) * spread
        self._last = location, spread
        return location, spread


def _bounds(
    record: Record,
    static: np.ndarray,
    stopped: np.ndarray,
    rows: np.ndarray,
    n_started: int,
    looks: np.ndarray,
    setting: OnlineSetting,
    best: float,
    earlier: UnfinishedProcesses | None,
    rng: np.random.Generator,
    cost: Cost,
) -> tuple[np.ndarray, UnfinishedProcesses | None]:
    """Gain that each of `rows` stays below with the wanted confidence, shape (n_rows, n_looks).

    NaN after a look at which the run cannot beat the `best` gain of now.
    """
    if setting.delta >= 1:
        return np.full((len(rows), len(looks)), np.inf), None
    started = time.perf_counter()
    known = np.flatnonzero(stopped != _UNKNOWN)
    model = UnfinishedProcesses(
        record.gain[known], record.epochs, static[known], looks, stopped[known], rng, earlier
    )
    wide = widths(model.n_finished, n_started, looks / record.epochs[-1], setting.delta)
    cost.fit += time.perf_counter() - started
    cost.fits += 1
    started = time.perf_counter()
    bounds = np.full((len(rows), len(looks)), np.nan)
    going = np.ones(len(rows), dtype=bool)
    track = Smoothed(setting.memory)
    for look, tau in enumerate(looks):
        going &= record.epochs[record.end[rows]] > tau
        if not going.any():
            break
        asked = rows[going]
        moments = np.full((2, len(rows)), np.nan)
        moments[:, going] = model.predict(record.gain[asked], static[asked], look)
        location, spread = (m[going] for m in track.update(*moments))
        bounds[going, look] = model.warp.inverse(location + wide[look] * spread)
        # the best only rises: these are stopped here at the latest, whatever happens before
        going &= ~(bounds[:, look] <= best)
    cost.predict += time.perf_counter() - started
    return bounds, model
