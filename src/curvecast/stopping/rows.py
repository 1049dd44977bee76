"""What a search over recorded runs leaves behind: the rows of tables and figures.

Studies of all searches speak these columns. They hold no seconds of this machine: what the
predictors cost is kept in a frame of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.stopping.accounting import Record, Replay, oracle_epochs, outcome

KEYS = ["dataset", "predictor", "setting", "delta"]
TIMING_COLUMNS = ["dataset", "predictor", "search", "repeat", "fits", "fit_seconds", "ask_seconds"]
# The Delta whose searches are drawn, where the configuration has it.
SHOWN_DELTA = 0.95


@dataclass(frozen=True, eq=False)
class SearchStudy:
    """The frames of one search on one data set; `KEYS` lead all but `timings` and `reliability`.

    Attributes
    ----------
    outcomes : whether this is the fixed `default` setting of this project, per `ordering` an
        `accounting.Outcome`, and `oracle_speedup`.
    traces : of the shown settings, per ordering the `epochs` used when a new best run ended and
        its final value `best`, and a last row at the end of the search.
    ends : of the shown settings, in ordering 0, per run: `position` in that ordering, `run` (row
        of the curves), `epoch` at which it ended, whether it was `finished`, `judged` by the
        rule, and `beats` the best run finished before it.
    timings : `TIMING_COLUMNS`, seconds of this machine; `fits` counts the fitted models.
    reliability : see `study.reliability`; empty for rules without a probability.
    """

    outcomes: pd.DataFrame
    traces: pd.DataFrame
    ends: pd.DataFrame
    timings: pd.DataFrame
    reliability: pd.DataFrame


class Rows:
    """Collects the rows of one data set, replay by replay."""

    def __init__(self, curves: CurveSet, record: Record) -> None:
        self._curves, self._record = curves, record
        self._outcomes: list[dict[str, object]] = []
        self._traces: list[pd.DataFrame] = []
        self._ends: list[pd.DataFrame] = []

    def add(
        self,
        keys: tuple[str, str, float],
        ordering: int,
        replay: Replay,
        oracle_speedup: float,
        *,
        shown: bool,
        default: bool = False,
    ) -> None:
        """Account for a replay of (predictor, setting, delta) = `keys` in an ordering."""
        cell: dict[str, Any] = dict(zip(KEYS, (self._curves.name, *keys), strict=True))
        account = asdict(outcome(self._record, replay))
        self._outcomes.append(
            {**cell, "default": default, "ordering": ordering, **account}
            | {"oracle_speedup": oracle_speedup}
        )
        if shown:
            self._traces.append(self._trace(replay).assign(**cell, ordering=ordering))
        if shown and ordering == 0:
            self._ends.append(self._end(replay).assign(**cell))

    def _trace(self, replay: Replay) -> pd.DataFrame:
        used, found = replay.trace(self._record)
        better = np.flatnonzero(found > np.concatenate([[-np.inf], found[:-1]]))
        kept = np.unique([*better, len(found) - 1])
        return pd.DataFrame({"epochs": used[kept], "best": self._curves.sign * found[kept]})

    def _end(self, replay: Replay) -> pd.DataFrame:
        record, order = self._record, replay.order
        beats = record.final > replay.best_before(record)
        return pd.DataFrame(
            {
                "position": np.arange(len(order)),
                "run": order,
                "epoch": record.epochs[replay.ended][order],
                "finished": replay.finished[order],
                "judged": replay.judged[order],
                "beats": beats[order],
            }
        )

    def study(
        self, timings: Iterable[tuple[object, ...]] = (), reliability: pd.DataFrame | None = None
    ) -> SearchStudy:
        """Everything that was added."""
        return SearchStudy(
            outcomes=pd.DataFrame(self._outcomes),
            traces=_keys_first(self._traces),
            ends=_keys_first(self._ends),
            timings=pd.DataFrame(list(timings), columns=TIMING_COLUMNS),
            reliability=pd.DataFrame() if reliability is None else reliability,
        )


def _keys_first(frames: list[pd.DataFrame]) -> pd.DataFrame:
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*KEYS, *(column for column in frame if column not in KEYS)]]


def oracle_speedup(record: Record, order: np.ndarray, looks: np.ndarray, n_full: int) -> float:
    """Speedup of the oracle that loses no new best run, after as many full runs."""
    first = int(record.columns(looks)[0])
    everything = int(record.epochs[record.end].sum())
    return everything / oracle_epochs(record, order, first, n_full)


def shown_delta(deltas: Iterable[float]) -> float:
    """The Delta whose searches are drawn: the one nearest to `SHOWN_DELTA`."""
    return min(sorted(deltas), key=lambda delta: abs(delta - SHOWN_DELTA))
