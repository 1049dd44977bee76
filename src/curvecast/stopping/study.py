"""Sequential search in Baker's protocol on one data set: with a predictor, and without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import sequential_epochs
from curvecast.stopping.accounting import Record, Replay
from curvecast.stopping.rows import Rows, SearchStudy, oracle_speedup, shown_delta
from curvecast.stopping.rule import SuccessiveHalvingRule
from curvecast.stopping.sequential import (
    BAKER_SETTINGS,
    DELTAS,
    Forecasts,
    Setting,
    baker_forecast,
    forecast,
    oracle_bounds,
    ordering,
    patience_bounds,
    replay_halving,
    replay_median,
    walk,
)

# Models that learn nothing from other runs: one forecast serves all orderings. Domhan's rule is
# about the uncalibrated probability.
ALONE = {"lce": {"calibrate": False}}
N_BINS = 10


@dataclass(frozen=True)
class SequentialPlan:
    """Options of the sequential studies (config key `stopping`).

    Attributes
    ----------
    n_full : runs trained to the end before anything is stopped, in Baker's protocol.
    orderings : random orders of the runs.
    deltas, settings : the grid of Baker's rule.
    all_up_to : look at every epoch of curves up to this length (Baker's sets), else at 12
        log-spaced ones; 0 keeps large collections cheap.
    """

    n_full: int = 100
    orderings: int = 10
    deltas: tuple[float, ...] = DELTAS
    settings: tuple[Setting, ...] = BAKER_SETTINGS
    all_up_to: int = 60

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> SequentialPlan:
        """From what the configuration says: see `stopping.plan.sequential_of`."""
        return cls(
            n_full=section["n_full"],
            orderings=section["orderings"],
            deltas=tuple(section["deltas"]),
            settings=tuple(
                Setting.of(options.get("offset", 0.0), options.get("top_n", 1))
                for options in section["settings"]
            ),
            all_up_to=section["every_epoch_up_to"],
        )

    def looks(self, epochs: np.ndarray) -> np.ndarray:
        """Epochs at which runs are judged; see `fidelity.sequential_epochs`."""
        return sequential_epochs(epochs, self.all_up_to)


def sequential_study(
    curves: CurveSet,
    model: str,
    plan: SequentialPlan | None = None,
    options: Mapping[str, Any] | None = None,
) -> SearchStudy:
    """Baker's protocol with one predictor, `options` being those of `make_predictor`.

    The first setting is drawn at the Delta nearest to 0.95.

    Raises
    ------
    DataError : not more than `plan.n_full` runs; an unknown model or option.
    """
    plan = plan or SequentialPlan()
    record, looks = Record.of(curves), plan.looks(curves.epochs)
    rows, reliability, timings = Rows(curves, record), Reliability(), []
    shown = (plan.settings[0], shown_delta(plan.deltas))
    for repeat, forecasts in enumerate(_forecasts(curves, model, looks, plan, options or {})):
        order = ordering(curves, repeat)
        best_possible = oracle_speedup(record, order, looks, plan.n_full)
        for delta in plan.deltas:
            bounds = forecasts.bounds(delta)
            for setting in plan.settings:
                replay = walk(record, order, looks, bounds, n_full=plan.n_full, setting=setting)
                keys = (model, setting.name, delta)
                rows.add(keys, repeat, replay, best_possible, shown=(setting, delta) == shown)
        reliability.add(*_said_and_was(record, order, looks, forecasts, plan.n_full))
        if repeat == 0 or model not in ALONE:
            seconds = (forecasts.fit_seconds, forecasts.predict_seconds)
            timings.append((curves.name, model, "sequential", repeat, len(looks), *seconds))
    return rows.study(timings, reliability.frame(curves.name, model))


def _forecasts(
    curves: CurveSet,
    model: str,
    looks: np.ndarray,
    plan: SequentialPlan,
    options: Mapping[str, Any],
) -> Iterator[Forecasts]:
    if model not in ALONE:
        for repeat in range(plan.orderings):
            yield baker_forecast(curves, model, repeat, looks, plan.n_full, **options)
        return
    everything = np.arange(len(curves))
    chosen = {**options, **ALONE[model]}
    once = forecast(curves, everything[:2], everything, model, looks, 0, **chosen)
    for _ in range(plan.orderings):
        yield once


def _said_and_was(
    record: Record, order: np.ndarray, looks: np.ndarray, forecasts: Forecasts, n_full: int
) -> tuple[np.ndarray, np.ndarray]:
    """P(worse) at all looks of all judged runs, and whether they did end worse; flat arrays.

    Every run is compared with the best of the runs finished before it when nothing is stopped.
    """
    never = np.full((len(record), len(looks)), np.inf)
    best = walk(record, order, looks, never, n_full=n_full).best_before(record)
    said = forecasts.probability_worse(best)
    said[order[:n_full]] = np.nan
    asked = np.isfinite(said)
    was = np.broadcast_to((record.final <= best)[:, None], asked.shape)
    return said[asked], was[asked]


class Reliability:
    """Are the stopping probabilities right? Counts in bins of the probability."""

    def __init__(self) -> None:
        self._sums = np.zeros((3, N_BINS))

    def add(self, said: np.ndarray, was: np.ndarray) -> None:
        """Count probabilities of ending worse, and whether it came true; shape (n,) each."""
        edges = np.linspace(0, 1, N_BINS + 1)
        bins = np.clip(np.searchsorted(edges, said, side="right") - 1, 0, N_BINS - 1)
        for i, weights in enumerate((said, was.astype(np.float64), np.ones(len(said)))):
            self._sums[i] += np.bincount(bins, weights, N_BINS)

    def frame(self, dataset: str, predictor: str) -> pd.DataFrame:
        """Per bin that is not empty: `low` and `high` end, mean `probability`, share that did
        end `worse`, and number of `looks`."""
        probability, worse, looks = self._sums
        edges = np.linspace(0, 1, N_BINS + 1)
        some = looks > 0
        return pd.DataFrame(
            {
                "dataset": dataset,
                "predictor": predictor,
                "low": edges[:-1][some],
                "high": edges[1:][some],
                "probability": probability[some] / looks[some],
                "worse": worse[some] / looks[some],
                "looks": looks[some].astype(np.int64),
            }
        )


def rules_study(curves: CurveSet, plan: SequentialPlan | None = None) -> SearchStudy:
    """Rules without a model, in the orderings of `sequential_study` and with its full runs.

    Raises
    ------
    DataError : not more than `plan.n_full` runs.
    """
    plan = plan or SequentialPlan()
    record, looks = Record.of(curves), plan.looks(curves.epochs)
    if len(record) <= plan.n_full:
        raise DataError(
            f"{len(record)} runs are too few for {plan.n_full} full ones (lower stopping.n_full)",
            file=curves.name,
        )
    rows = Rows(curves, record)
    for repeat in range(plan.orderings):
        order = ordering(curves, repeat)
        best_possible = oracle_speedup(record, order, looks, plan.n_full)
        for predictor, setting, replay in _without_a_model(record, order, looks, plan.n_full):
            keys = (predictor, setting, np.nan)
            rows.add(keys, repeat, replay, best_possible, shown=True)
    return rows.study()


def _without_a_model(
    record: Record, order: np.ndarray, looks: np.ndarray, full: int
) -> Sequence[tuple[str, str, Replay]]:
    first = max(1, int(np.ceil(record.epochs[-1] / 27)))
    patience = max(1, int(np.ceil(record.epochs[-1] / 10)))
    halving = SuccessiveHalvingRule(min_tau=first, eta=3)
    never = np.full((len(record), len(looks)), np.inf)
    oracle, stale = oracle_bounds(record, looks), patience_bounds(record, looks, patience)
    return [
        ("oracle", "limit", walk(record, order, looks, oracle, n_full=full)),
        ("median", "vizier", replay_median(record, order, looks, n_full=full)),
        ("successive_halving", "eta=3", replay_halving(record, order, halving, n_full=full)),
        ("patience", f"{patience} epochs", walk(record, order, looks, stale, n_full=0)),
        ("none", "never stop", walk(record, order, looks, never, n_full=full)),
    ]
