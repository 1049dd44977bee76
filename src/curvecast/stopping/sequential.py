"""Sequential search replayed on recorded curves.

Runs are started one after the other in a random order. The first `n_full` are trained to the
end; every later one is ended at the first look at which the rule says so. Predictions of all
runs at all looks are computed once per ordering; a replay then only compares numbers.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.predictors import make_predictor
from curvecast.predictors.base import Prediction
from curvecast.protocol import seed_from
from curvecast.stopping.accounting import Record, Replay
from curvecast.stopping.rule import SuccessiveHalvingRule

DELTAS = (0.80, 0.85, 0.90, 0.95, 0.99)


@dataclass(frozen=True)
class Setting:
    """How predictions become decisions: see `rule.PredictorRule`."""

    name: str
    offset: float = 0.0
    top_n: int = 1

    @classmethod
    def of(cls, offset: float = 0.0, top_n: int = 1) -> Setting:
        """Named after what is not the published rule's own: `offset=0.01`, `top10`, or `baker`."""
        parts = [f"offset={offset:g}"] * (offset > 0) + [f"top{top_n}"] * (top_n > 1)
        return cls(" ".join(parts) or "baker", offset, top_n)


BAKER_SETTINGS = (Setting.of(), Setting.of(offset=0.01), Setting.of(top_n=10))


def ordering(curves: CurveSet, repeat: int) -> np.ndarray:
    """Row positions in the random order number `repeat`; the same for every predictor."""
    rng = np.random.default_rng(seed_from(curves.name, "ordering", repeat))
    return rng.permutation(len(curves))


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Predictions of one fitted model for all judged runs at all looks.

    Attributes
    ----------
    looks : epochs, shape (n_looks,).
    rows, predictions : per look the row positions that were predicted (runs that had diverged
        are not) and their predictive distributions.
    sign : +1 where larger is better.
    fit_seconds, predict_seconds : what the model cost.
    """

    looks: np.ndarray
    rows: list[np.ndarray]
    predictions: list[Prediction]
    sign: float
    n_runs: int
    fit_seconds: float
    predict_seconds: float

    def bounds(self, delta: float) -> np.ndarray:
        """Gain that a run stays below with probability `delta`; shape (n_runs, n_looks).

        A run is stopped where its bound is at most the best gain so far minus the offset. NaN,
        which compares as false, stands where nothing was predicted.
        """
        if delta >= 1:
            return np.full((self.n_runs, len(self.looks)), np.inf)
        level = delta if self.sign > 0 else 1 - delta
        bounds = np.full((self.n_runs, len(self.looks)), np.nan)
        for i, (rows, prediction) in enumerate(zip(self.rows, self.predictions, strict=True)):
            bounds[rows, i] = self.sign * prediction.quantile([level])[:, 0]
        return bounds

    def probability_worse(self, best: np.ndarray) -> np.ndarray:
        """P(final gain of run i <= best[i]) at every look; shape (n_runs, n_looks)."""
        worse = np.full((self.n_runs, len(self.looks)), np.nan)
        for i, (rows, prediction) in enumerate(zip(self.rows, self.predictions, strict=True)):
            below = prediction.cdf(self.sign * best[rows])
            worse[rows, i] = below if self.sign > 0 else 1 - below
        return worse


def forecast(
    curves: CurveSet,
    train: np.ndarray,
    judged: np.ndarray,
    model: str,
    looks: np.ndarray,
    seed: int,
    **options: Any,
) -> Forecasts:
    """Fit `model` on the runs `train` and predict the runs `judged` at every look.

    `options` are passed to `make_predictor`.
    """
    record_ends = Record.of(curves).end
    started = time.perf_counter()
    predictor = make_predictor(model, seed=seed, **options).fit(curves.take(train), looks.tolist())
    fitted = time.perf_counter()
    rows, predictions = [], []
    for tau in looks:
        alive = judged[curves.epochs[record_ends[judged]] > tau]
        rows.append(alive)
        predictions.append(predictor.predict(curves.take(alive), int(tau)).gaussian())
    return Forecasts(
        looks=looks,
        rows=rows,
        predictions=predictions,
        sign=curves.sign,
        n_runs=len(curves),
        fit_seconds=fitted - started,
        predict_seconds=time.perf_counter() - fitted,
    )


def baker_forecast(
    curves: CurveSet,
    model: str,
    repeat: int,
    looks: np.ndarray,
    n_full: int = 100,
    **options: Any,
) -> Forecasts:
    """Baker's protocol: trained on the first `n_full` runs of ordering `repeat`, never again.

    `options` are passed to `make_predictor`.

    Raises
    ------
    DataError : not more than `n_full` runs.
    """
    if len(curves) <= n_full:
        raise DataError(
            f"{len(curves)} runs are too few for {n_full} full ones (lower stopping.n_full)",
            file=curves.name,
        )
    order = ordering(curves, repeat)
    seed = seed_from(curves.name, "stopping", repeat, model)
    return forecast(curves, order[:n_full], order[n_full:], model, looks, seed, **options)


def walk(
    record: Record,
    order: np.ndarray,
    looks: np.ndarray,
    bounds: np.ndarray,
    *,
    n_full: int,
    setting: Setting | None = None,
    always: np.ndarray | None = None,
) -> Replay:
    """Replay one search whose rule is "stop where the bound is at most the best so far".

    Parameters
    ----------
    bounds : shape (n_runs, n_looks), see `Forecasts.bounds`.
    always : boolean (n_runs,), runs that are finished whatever the rule says.
    """
    setting = setting or Setting("default")
    columns = record.columns(looks)
    n = len(record)
    lowest = np.fmin.reduce(bounds, axis=1, initial=np.inf).tolist()
    judged = np.ones(n, dtype=bool)
    judged[order[:n_full]] = False
    if always is not None:
        judged &= ~always
    asked, final, complete = judged.tolist(), record.final.tolist(), record.complete.tolist()
    top: list[float] = []
    compared = np.full(n, -np.inf)
    for run in order.tolist():
        if asked[run] and len(top) == setting.top_n:
            threshold = top[0] - setting.offset
            compared[run] = threshold
            if lowest[run] <= threshold:
                continue
        if complete[run]:
            insort(top, final[run])
            if len(top) > setting.top_n:
                top.pop(0)
    below = judged[:, None] & (bounds <= compared[:, None])
    stopped = below.any(axis=1)
    ended = record.end.copy()
    ended[stopped] = np.minimum(ended, columns[np.argmax(below, axis=1)])[stopped]
    return Replay(order, ended, ~stopped & record.complete, judged)


def oracle_bounds(record: Record, looks: np.ndarray) -> np.ndarray:
    """Bounds of the oracle: the final gain itself at every look; shape (n_runs, n_looks)."""
    return np.repeat(record.final[:, None], len(looks), axis=1)


def patience_bounds(record: Record, looks: np.ndarray, patience: int) -> np.ndarray:
    """-inf from the first look at which the best gain is `patience` epochs old, else +inf."""
    columns = record.columns(looks)
    gain = np.where(np.isfinite(record.gain), record.gain, -np.inf)
    newest = np.where(gain > _shifted_maximum(gain), np.arange(gain.shape[1]), 0)
    best_at = np.maximum.accumulate(newest, axis=1)[:, columns]
    stale = looks[None, :] - record.epochs[best_at] >= patience
    return np.where(stale, -np.inf, np.inf)


def _shifted_maximum(gain: np.ndarray) -> np.ndarray:
    running = np.maximum.accumulate(gain, axis=1)
    return np.concatenate([np.full((len(gain), 1), -np.inf), running[:, :-1]], axis=1)


def replay_median(
    record: Record, order: np.ndarray, looks: np.ndarray, *, n_full: int, min_runs: int = 5
) -> Replay:
    """Median stopping rule (Golovin et al. 2017): see `rule.MedianRule`."""
    columns = record.columns(looks)
    gain = np.where(np.isfinite(record.gain), record.gain, -np.inf)
    best = np.maximum.accumulate(gain, axis=1)[:, columns]
    with np.errstate(invalid="ignore"):
        averages = (np.cumsum(record.gain, axis=1) / np.arange(1, gain.shape[1] + 1))[:, columns]

    def worse(earlier: list[float], run: int, look: int) -> bool:
        m = len(earlier)
        if m < min_runs:
            return False
        return bool(best[run, look] < (earlier[(m - 1) // 2] + earlier[m // 2]) / 2)

    return _replay_among_peers(record, order, columns, averages, worse, n_full)


def replay_halving(
    record: Record, order: np.ndarray, rule: SuccessiveHalvingRule, *, n_full: int
) -> Replay:
    """Asynchronous successive halving on one worker: see `rule.SuccessiveHalvingRule`."""
    rungs = np.array([r for r in rule.rungs(int(record.epochs[-1])) if r in record.epochs])
    columns = record.columns(rungs)
    values = record.gain[:, columns]

    def worse(earlier: list[float], run: int, look: int) -> bool:
        m = len(earlier)
        rank = m - bisect_left(earlier, np.nextafter(values[run, look], np.inf))
        return rank >= max(1, (m + 1) // rule.eta)

    return _replay_among_peers(record, order, columns, values, worse, n_full)


def _replay_among_peers(
    record: Record,
    order: np.ndarray,
    columns: np.ndarray,
    values: np.ndarray,
    worse: Callable[[list[float], int, int], bool],
    n_full: int,
) -> Replay:
    """Walk a rule that compares a run with what earlier runs reached at the same look."""
    earlier: list[list[float]] = [[] for _ in columns]
    ended = record.end.copy()
    stopped = np.zeros(len(record), dtype=bool)
    for position, run in enumerate(order.tolist()):
        for look, column in enumerate(columns.tolist()):
            if column >= record.end[run]:
                break
            leave = position >= n_full and worse(earlier[look], run, look)
            insort(earlier[look], float(values[run, look]))
            if leave:
                ended[run], stopped[run] = column, True
                break
    judged = np.ones(len(record), dtype=bool)
    judged[order[:n_full]] = False
    return Replay(order, ended, ~stopped & record.complete, judged)
