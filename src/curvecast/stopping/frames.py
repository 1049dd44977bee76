"""Collects the rows of tables and figures from replayed searches.

Frames go by the names of their files. `KEYS` lead all but `timings` and `reliability`:

outcomes : whether this is the fixed `default` setting of this project, per `ordering` an
    `accounting.Outcome`, and `oracle_speedup`.
traces : of the shown settings, per ordering the `epochs` used when a new best run ended and its
    final value `best`, and a last row at the end of the search.
ends : of the shown settings, in ordering 0, per run: `position` in that ordering, `run` (row of
    the curves), `epoch` at which it ended, whether it was `finished`, `decided` (whether the rule
    was asked), and whether it `beats` the best run finished before it.
timings : `TIMING_COLUMNS`, seconds of this machine; `fits` counts the fitted models.
reliability : see `sequential.reliability_frame`; of predictors in the sequential search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet
from curvecast.stopping.accounting import Record, Replay, outcome

KEYS = ["dataset", "predictor", "setting", "delta"]
TIMING_COLUMNS = ["dataset", "predictor", "search", "repeat", "fits", "fit_seconds", "ask_seconds"]

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
        record, order = self._record, replay.order
        cell = cell_of(record.curves, keys)
        facts = {**cell, "default": default, "ordering": ordering}
        account = asdict(outcome(record, replay))
        self._outcomes.append(facts | account | {"oracle_speedup": oracle_speedup})
        if not shown:
            return
        used, best = replay.trace(record)
        drawn = np.unique([*np.flatnonzero(best > [-np.inf, *best[:-1]]), len(best) - 1])
        trace = {"epochs": used[drawn], "best": record.curves.sign * best[drawn]}
        self._traces.append(pd.DataFrame({**cell, **trace, "ordering": ordering}))
        if ordering == 0:
            end = {
                "position": np.arange(len(order)),
                "run": order,
                "epoch": record.epochs[replay.ended][order],
                "finished": replay.finished[order],
                "decided": replay.asked[order],
                "beats": (record.final > replay.best_before(record))[order],
            }
            self._ends.append(pd.DataFrame({**cell, **end}))

    def frames(self, timings: Sequence[tuple[object, ...]] = ()) -> Frames:
        """Everything that was added."""
        return {
            "outcomes": pd.DataFrame(self._outcomes),
            "traces": pd.concat(self._traces, ignore_index=True),
            "ends": pd.concat(self._ends, ignore_index=True),
            "timings": pd.DataFrame(timings, columns=TIMING_COLUMNS),
        }


def cell_of(curves: CurveSet, keys: tuple[str, str, float]) -> dict[str, Any]:
    """The columns `KEYS` of (predictor, setting, delta) = `keys`."""
    return dict(zip(KEYS, (curves.name, *keys), strict=True))
