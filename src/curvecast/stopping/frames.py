"""Collects the rows of tables and figures from replayed searches.

All searches speak these columns. They hold no seconds of this machine, which are a frame of their
own (`timings`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.stopping.accounting import Record, Replay, outcome

KEYS = ["dataset", "predictor", "setting", "delta"]
TIMING_COLUMNS = ["dataset", "predictor", "search", "repeat", "fits", "fit_seconds", "ask_seconds"]
# The Delta whose searches are drawn, where the configuration has it.
SHOWN_DELTA = 0.95

# Frames by the names of their files. `KEYS` lead all but `timings` and `reliability`:
# outcomes : whether this is the fixed `default` setting of this project, per `ordering` an
#     `accounting.Outcome`, and `oracle_speedup`.
# traces : of the shown settings, per ordering the `epochs` used when a new best run ended and its
#     final value `best`, and a last row at the end of the search.
# ends : of the shown settings, in ordering 0, per run: `position` in that ordering, `run` (row of
#     the curves), `epoch` at which it ended, whether it was `finished`, `judged` (whether the rule
#     was asked), and whether it `beats` the best run finished before it.
# timings : `TIMING_COLUMNS`, seconds of this machine; `fits` counts the fitted models.
# reliability : see `sequential.reliability_frame`; of predictors in the sequential search.
Frames = dict[str, pd.DataFrame]


class Rows:
    """Collects the rows of one data set, replay by replay."""

    def __init__(self, record: Record) -> None:
        self._record = record
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
        cell = cell_of(self._record.curves, keys)
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
        used, best = replay.trace(self._record)
        better = np.flatnonzero(best > np.concatenate([[-np.inf], best[:-1]]))
        shown = np.unique([*better, len(best) - 1])
        return pd.DataFrame({"epochs": used[shown], "best": self._record.curves.sign * best[shown]})

    def _end(self, replay: Replay) -> pd.DataFrame:
        record, order = self._record, replay.order
        beats = record.final > replay.best_before(record)
        return pd.DataFrame(
            {
                "position": np.arange(len(order)),
                "run": order,
                "epoch": record.epochs[replay.ended][order],
                "finished": replay.finished[order],
                "judged": replay.asked[order],
                "beats": beats[order],
            }
        )

    def frames(self, timings: Iterable[tuple[object, ...]] = ()) -> Frames:
        """Everything that was added."""
        return {
            "outcomes": pd.DataFrame(self._outcomes),
            "traces": _keys_first(self._traces),
            "ends": _keys_first(self._ends),
            "timings": timings_frame(timings),
        }


def cell_of(curves: CurveSet, keys: tuple[str, str, float]) -> dict[str, Any]:
    """The columns `KEYS` of (predictor, setting, delta) = `keys`."""
    return dict(zip(KEYS, (curves.name, *keys), strict=True))


def timings_frame(rows: Iterable[tuple[object, ...]]) -> pd.DataFrame:
    """Frame with `TIMING_COLUMNS`."""
    return pd.DataFrame(list(rows), columns=TIMING_COLUMNS)


def _keys_first(frames: list[pd.DataFrame]) -> pd.DataFrame:
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*KEYS, *(column for column in frame if column not in KEYS)]]


def shown_delta(deltas: Iterable[float]) -> float:
    """The Delta whose searches are drawn: the one nearest to `SHOWN_DELTA`."""
    return min(sorted(deltas), key=lambda delta: abs(delta - SHOWN_DELTA))
