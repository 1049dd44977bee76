"""Sequential search: the first runs are trained to the end, later ones end where a rule says so.

Runs are started one after the other in a random order. Every run after the first `n_full` ends at
the first decision epoch at which the rule says so. In Baker's protocol a predictor learns from the
full runs alone, so its predictions of all runs are computed once per ordering.
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import sequential_epochs
from curvecast.predictors import make_predictor
from curvecast.protocol import seed_from
from curvecast.stopping.accounting import Record, Replay, ordering, outcome
from curvecast.stopping.frames import Frames, Rows
from curvecast.stopping.rule import Rule, stops
from curvecast.stopping.rules.baker import Baker
from curvecast.stopping.rules.oracle import Oracle
from curvecast.stopping.rules.predicted import Forecasts

# Models that learn nothing from other runs: one forecast serves all orderings. Domhan's rule is
# about the uncalibrated probability.
ALONE = {"lce": {"calibrate": False}}
N_BINS = 10
# Of the Delta of a configuration, the searches with the one nearest to this are drawn.
_SHOWN_DELTA = 0.95
_NEVER = -1


def search_sequential(
    curves: CurveSet,
    model: str,
    options: Mapping[str, Any] | None = None,
    *,
    n_full: int = 100,
    orderings: int = 10,
    deltas: Sequence[float] = (0.95,),
    settings: Sequence[Mapping[str, Any]] = ({},),
    every_epoch_up_to: int = 60,
) -> Frames:
    """Baker's protocol with one predictor; DataError for not more than `n_full` runs.

    Parameters
    ----------
    n_full : runs trained to the end before anything is stopped, in each of the `orderings`.
    deltas, settings : the grid of rules; settings are `offset` and `top_n` of `Baker`. The
        first one is drawn, at the Delta nearest to 0.95.
    every_epoch_up_to : curves up to this length have decisions at every epoch, longer ones at 12.
    """
    record, at = _searched(curves, n_full), sequential_epochs(curves.epochs, every_epoch_up_to)
    rows, pairs, timings = Rows(record), [], []
    shown = (0, min(sorted(deltas), key=lambda delta: abs(delta - _SHOWN_DELTA)))
    for repeat in range(orderings):
        order = ordering(curves, repeat)
        if repeat == 0 or model not in ALONE:
            given, seconds = forecast(curves, model, repeat, at, n_full, options)
            forecasts = given.gaussian()
            timings.append((curves.name, model, "sequential", repeat, len(at), *seconds))
        best_possible = oracle_speedup(record, order, at, n_full)
        for delta in deltas:
            scores = Baker(forecasts.known, delta).scores(record, at)
            for number, setting in enumerate(settings):
                rule = Baker(forecasts.known, delta, **setting)
                replay = walk(record, order, at, rule, n_full=n_full, scores=scores)
                keys = (model, rule.setting, delta)
                rows.add(keys, repeat, replay, best_possible, shown=(number, delta) == shown)
        pairs.append(_predicted_and_true(record, order, at, forecasts, n_full))
    return rows.frames(timings) | {"reliability": reliability_frame(curves.name, model, pairs)}


def search_without_model(
    curves: CurveSet,
    rules: Sequence[Rule],
    *,
    n_full: int = 100,
    orderings: int = 10,
    every_epoch_up_to: int = 60,
) -> Frames:
    """Rules without a model, in the orderings of `search_sequential` and with its full runs."""
    record, at = _searched(curves, n_full), sequential_epochs(curves.epochs, every_epoch_up_to)
    rows = Rows(record)
    for repeat in range(orderings):
        order = ordering(curves, repeat)
        best_possible = oracle_speedup(record, order, at, n_full)
        for rule in rules:
            replay = walk(record, order, at, rule, n_full=n_full)
            rows.add((rule.name, rule.setting, np.nan), repeat, replay, best_possible, shown=True)
    return rows.frames()


def _searched(curves: CurveSet, n_full: int) -> Record:
    record = Record.of(curves)
    if len(record) <= n_full:
        raise DataError(
            f"{len(record)} runs are too few for {n_full} full ones (lower stopping.n_full)",
            file=curves.name,
        )
    return record


def forecast(
    curves: CurveSet,
    model: str,
    repeat: int,
    at: np.ndarray,
    n_full: int,
    options: Mapping[str, Any] | None = None,
) -> tuple[Forecasts, tuple[float, float]]:
    """Predict, in ordering `repeat`, the runs after the full ones at all decision epochs.

    `options` are those of `make_predictor`. Returns also the seconds of fitting and asking.
    """
    order = ordering(curves, repeat)
    train, asked = order[:n_full], order[n_full:]
    seed = seed_from(curves.name, "stopping", repeat, model)
    if model in ALONE:
        train, asked, seed = np.arange(2), np.arange(len(curves)), 0
    options = {**(options or {}), **ALONE.get(model, {})}
    started = time.perf_counter()
    predictor = make_predictor(model, seed=seed, **options).fit(curves.take(train), at.tolist())
    fitted = time.perf_counter()
    last = curves.epochs[Record(curves).end]
    forecasts = Forecasts.of(predictor, curves, {t: asked[last[asked] > t] for t in at.tolist()})
    return forecasts, (fitted - started, time.perf_counter() - fitted)


# --------------------------------------------------------------------------- the walk


def walk(
    record: Record,
    order: np.ndarray,
    at: np.ndarray,
    rule: Rule,
    *,
    n_full: int = 0,
    scores: np.ndarray | None = None,
) -> Replay:
    """Replay one search, one run after the other.

    Parameters
    ----------
    order : row positions in the order in which the runs are started.
    at : decision epochs, where the rule has none of its own.
    n_full : runs that are trained to the end first; none for a rule that compares no runs.
    scores : those of the rule where they are known, shape (n_runs, n_at).
    """
    at = rule.own_epochs(record.epochs, at)
    scores = np.asarray(rule.scores(record, at) if scores is None else scores, dtype=np.float64)
    asked = np.ones(len(record), dtype=bool)
    asked[order[: 0 if rule.alone else n_full]] = False
    marks, columns = rule.marks(record, at), record.columns(at)
    if marks is None:
        stopped = _beside_finished(record, order, rule.bar, scores, asked)
    else:
        stopped = _beside_peers(record, order, rule.bar, scores, asked, marks, columns)
    early = stopped != _NEVER
    ended = record.end.copy()
    ended[early] = np.minimum(record.end, columns[stopped])[early]
    return Replay(order, ended, ~early & record.complete, asked)


def oracle_speedup(record: Record, order: np.ndarray, at: np.ndarray, n_full: int) -> float:
    """Largest speedup of a search that loses no new best run, after `n_full` full runs."""
    return outcome(record, walk(record, order, at, Oracle(), n_full=n_full)).speedup


def _beside_finished(
    record: Record,
    order: np.ndarray,
    bar_of: Callable[[Sequence[float]], float],
    scores: np.ndarray,
    asked: np.ndarray,
) -> np.ndarray:
    """Position of the decision epoch at which each run is stopped; bars come from final gains."""
    lowest = np.fmin.reduce(scores, axis=1, initial=np.inf)
    finished: list[float] = []
    bars = np.full(len(record), -np.inf)
    for run in order.tolist():
        if asked[run]:
            bars[run] = bar_of(finished)
            if stops(lowest[run], bars[run]):
                continue
        if record.complete[run]:
            insort(finished, record.final[run])
    below = asked[:, None] & stops(scores, bars[:, None])
    return np.where(below.any(axis=1), np.argmax(below, axis=1), _NEVER)


def _beside_peers(
    record: Record,
    order: np.ndarray,
    bar_of: Callable[[Sequence[float]], float],
    scores: np.ndarray,
    asked: np.ndarray,
    marks: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """The same where bars come from the marks of the runs that reached the same epoch."""
    earlier: list[list[float]] = [[] for _ in columns]
    stopped = np.full(len(record), _NEVER)
    for run in order.tolist():
        for i in range(int(np.searchsorted(columns, record.end[run]))):
            stop = asked[run] and stops(scores[run, i], bar_of(earlier[i]))
            insort(earlier[i], marks[run, i])
            if stop:
                stopped[run] = i
                break
    return stopped


# --------------------------------------------------------------------------- reliability


def _predicted_and_true(
    record: Record, order: np.ndarray, at: np.ndarray, forecasts: Forecasts, n_full: int
) -> tuple[np.ndarray, np.ndarray]:
    """P(worse) at all decision epochs of all asked runs, and whether they ended worse; flat.

    Every run is compared with the best of the runs finished before it when nothing is stopped.
    """
    asked = np.ones(len(record), dtype=bool)
    best = Replay(order, record.end, record.complete, asked).best_before(record)
    predicted = forecasts.probability_worse(at, best)
    predicted[order[:n_full]] = np.nan
    counted = np.isfinite(predicted)
    worse = np.broadcast_to((record.final <= best)[:, None], counted.shape)
    return predicted[counted], worse[counted]


def reliability_frame(
    dataset: str, predictor: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]]
) -> pd.DataFrame:
    """Compare the stopping probabilities with what came true, in bins of the probability.

    Parameters
    ----------
    pairs : per ordering, probabilities of ending worse and whether it came true, shape (n,) each.

    Returns
    -------
    Per bin that is not empty: `low` and `high` end, mean `probability`, share that did end
    `worse`, and number of `decisions`.
    """
    edges = np.linspace(0, 1, N_BINS + 1)
    sums = np.zeros((3, N_BINS))
    for predicted, worse in pairs:
        bins = np.clip(np.searchsorted(edges, predicted, side="right") - 1, 0, N_BINS - 1)
        weights = (predicted, worse.astype(np.float64), np.ones(len(predicted)))
        sums += [np.bincount(bins, weight, N_BINS) for weight in weights]
    some = sums[2] > 0
    return pd.DataFrame(
        {
            "dataset": dataset,
            "predictor": predictor,
            "low": edges[:-1][some],
            "high": edges[1:][some],
            "probability": sums[0, some] / sums[2, some],
            "worse": sums[1, some] / sums[2, some],
            "decisions": sums[2, some].astype(np.int64),
        }
    )
