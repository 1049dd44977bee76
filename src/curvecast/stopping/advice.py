"""Advice on runs under way: their predicted ends, P(becomes the best), and which to stop.

The finished runs are the context of one predictor; every unfinished run is asked about at its own
last epoch. `check` does the same to the finished runs, as if they were under way, so that the
advice comes with what it would have saved and lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from curvecast.curves import CurveSet
from curvecast.fidelity import online_epochs
from curvecast.predictors import make_predictor
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction
from curvecast.predictors.domain import reached
from curvecast.protocol import seed_from
from curvecast.stopping.accounting import Record
from curvecast.stopping.rules.predicted import Predicted

MODEL = "pfn"
PROMISE = 0.9
_DRAWS = 400
_LEVELS = np.linspace(0.005, 0.995, 100)
_CHECKED = 8
_FEWEST_CHECKED = 6


def finished(curves: CurveSet) -> np.ndarray:
    """Whether a run has a finite value at the last epoch, shape (n_runs,)."""
    return np.isfinite(curves.final)


def last_epochs(curves: CurveSet) -> np.ndarray:
    """Last epoch of each run with a value, finite or not; -1 for none; shape (n_runs,)."""
    columns = np.where(np.isnan(curves.values), -1, np.arange(len(curves.epochs))).max(axis=1)
    return np.where(columns >= 0, curves.epochs[columns], -1)


def advise(
    curves: CurveSet, *, promise: float = PROMISE, model: str = MODEL, level: float = 0.8
) -> pd.DataFrame:
    """Advice on the runs of a collection that are not finished.

    Parameters
    ----------
    curves : finished runs, which the predictor learns from (there may be none), and runs under
        way. Where `configs` has a column `info_state`, only those that it calls `running` are
        under way.
    promise : share of the would-be winners that is to survive all advice together (`Predicted`).
    level : of the interval.

    Returns
    -------
    One row per run under way, the most promising first: `run, epoch` (last one with a value),
    `value` there, `predicted` (median of the end), `low, high` (interval), `best` (probability
    of becoming the best of all runs), `worse` (probability of ending worse than the best
    finished one, NaN without one), `level` (of `worse`, from which on the run is stopped),
    `advice` (`stop`, `go on` or `too early`), `reason` and `epochs_left`.

    Raises
    ------
    DataError : the predictor cannot be fitted on so few finished runs.
    """
    done, at = finished(curves), last_epochs(curves)
    state = curves.configs.get("info_state")
    running = ~done if state is None else (state == "running").to_numpy()
    rows = np.flatnonzero(running)
    begun = [int(tau) for tau in np.unique(at[rows]) if tau >= 0]
    predictor = fitted(curves, np.flatnonzero(~running), begun, model)
    bar = np.max(curves.sign * curves.final[done], initial=-np.inf)
    table = pd.DataFrame({"run": curves.configs["id"].iloc[rows], "epoch": at[rows]}, index=rows)
    table["value"] = [_value(curves, int(row), int(at[row])) for row in rows]
    table[["predicted", "low", "high", "best", "worse", "level"]] = np.nan
    table["advice"], table["reason"] = "too early", ""
    quantiles = np.full((len(rows), len(_LEVELS)), np.nan)
    known = int(done.sum()), int((~running).sum()), curves.last_epoch
    rule = Predicted.of(predictor, *known, delta=promise)
    for tau in begun:
        here = rows[at[rows] == tau]
        some = curves.take(here)
        decision = rule.decide(Record(some), tau, bar)
        table.loc[here, "worse"] = decision.probability
        table.loc[here, "level"] = decision.level
        table.loc[here, "reason"] = decision.reason
        table.loc[here, "advice"] = np.where(decision.stop, "stop", "go on")
        alive = decision.reason != "diverged"
        if alive.any():
            ends = predictor.predict(some.take(alive), tau)
            bounds = ends.quantile([0.5, 0.5 - level / 2, 0.5 + level / 2])
            table.loc[here[alive], ["predicted", "low", "high"]] = bounds
            quantiles[np.searchsorted(rows, here[alive])] = _gains(ends, curves.sign)
    table["best"] = _becomes_best(quantiles, bar, seed_from(curves.name, "best"))
    table["epochs_left"] = curves.last_epoch - np.maximum(table["epoch"], 0)
    order = table.assign(gain=curves.sign * table["predicted"]).sort_values(
        ["best", "gain"], ascending=False, kind="stable"
    )
    return table.loc[order.index].reset_index(drop=True)


def fitted(curves: CurveSet, rows: np.ndarray, taus: list[int], model: str) -> Predictor:
    """A predictor of this name that has learnt from the runs at `rows`."""
    seed = seed_from(curves.name, model)
    return make_predictor(model, seed=seed).fit(curves.take(rows), taus or [curves.last_epoch])


def _value(curves: CurveSet, row: int, epoch: int) -> float:
    return float(curves.values[row, curves.epochs == epoch][0]) if epoch >= 0 else float("nan")


def _gains(ends: Prediction, sign: float) -> np.ndarray:
    """Quantiles of the final gains at `_LEVELS`, shape (n_runs, n_levels)."""
    gains = sign * ends.quantile(_LEVELS)
    return gains if sign > 0 else gains[:, ::-1]


def _becomes_best(quantiles: np.ndarray, bar: float, seed: int) -> np.ndarray:
    """P(a run ends better than all others and than the bar), from stratified draws; (n_runs,).

    NaN rows have no prediction and do not compete.
    """
    known = np.isfinite(quantiles).all(axis=1)
    best = np.full(len(quantiles), np.nan)
    if known.any():
        rng = np.random.default_rng(seed)
        levels = rng.permuted(np.tile((np.arange(_DRAWS) + 0.5) / _DRAWS, (known.sum(), 1)), axis=1)
        rows = zip(levels, quantiles[known], strict=True)
        draws = np.array([np.interp(level, _LEVELS, row) for level, row in rows])
        first = draws.max(axis=0)
        best[known] = ((draws == first) & (draws > bar)).mean(axis=1)
    return best


@dataclass(frozen=True)
class Check:
    """What the advice would have been worth on the finished runs.

    Attributes
    ----------
    accuracy : a row per decision epoch: `epoch, fraction, runs, mae, mae_last_value, spearman,
        spearman_last_value, cover80, cover80_top` (among the tenth predicted best).
    epochs, saved : epochs of the runs, and those after they would have been stopped.
    winners, lost : runs that would have beaten the best of the runs that the predictor had seen,
        and those of them that would have been stopped.
    """

    accuracy: pd.DataFrame
    epochs: int
    saved: int
    winners: int
    lost: int


def check(curves: CurveSet, *, promise: float = PROMISE, model: str = MODEL) -> Check | None:
    """Ask about each half of the finished runs with the other half as context.

    None where fewer than six runs are finished. A run counts from its first value on.
    """
    complete = finished(curves)
    if complete.sum() < _FEWEST_CHECKED:
        return None
    runs = curves.take(complete)
    # an epoch that was not logged has the value before
    runs = replace(runs, values=pd.DataFrame(runs.values).ffill(axis=1).to_numpy())
    halves = np.random.default_rng(seed_from(curves.name, "halves")).permutation(len(runs)) % 2
    at = online_epochs(runs.epochs, _CHECKED)
    bounds = {int(tau): np.full((len(runs), 3), np.nan) for tau in at}
    ended = np.full(len(runs), runs.last_epoch)
    winners = np.zeros(len(runs), dtype=bool)
    for half in (0, 1):
        asked, shown = np.flatnonzero(halves == half), np.flatnonzero(halves != half)
        predictor = fitted(runs, shown, at.tolist(), model)
        bar = float((runs.sign * runs.final[shown]).max())
        winners[asked] = runs.sign * runs.final[asked] > bar
        rule = Predicted.of(predictor, len(shown), len(shown), runs.last_epoch, delta=promise)
        for tau in at.tolist():
            begun = asked[reached(runs.take(asked), tau)]
            if not len(begun):
                continue
            some = runs.take(begun)
            bounds[tau][begun] = predictor.predict(some, tau).quantile([0.5, 0.1, 0.9])
            stop = rule.decide(Record(some.hide_after(tau)), tau, bar).stop
            ended[begun[stop]] = np.minimum(ended[begun[stop]], tau)
    answered = [tau for tau in at.tolist() if np.isfinite(bounds[tau]).any()]
    table = pd.DataFrame([_accuracy(runs, tau, bounds[tau]) for tau in answered])
    lost = winners & (ended < runs.last_epoch)
    saved = int((runs.last_epoch - ended).sum())
    total = runs.last_epoch * len(runs)
    return Check(table, total, saved, int(winners.sum()), int(lost.sum()))


def _accuracy(runs: CurveSet, tau: int, bounds: np.ndarray) -> dict[str, float]:
    """One row of `Check.accuracy` from medians and 80 % bounds, shape (n_runs, 3)."""
    known = np.isfinite(bounds[:, 0])
    runs, bounds = runs.take(known), bounds[known]
    final, last = runs.final, runs.values[:, runs.seen(tau)][:, -1]
    covered = (bounds[:, 1] <= final) & (final <= bounds[:, 2])
    top = np.argsort(-runs.sign * bounds[:, 0], kind="stable")[: max(1, len(final) // 10)]
    return {
        "epoch": tau,
        "fraction": tau / runs.last_epoch,
        "runs": len(final),
        "mae": float(np.abs(bounds[:, 0] - final).mean()),
        "mae_last_value": float(np.abs(last - final).mean()),
        "spearman": float(spearmanr(bounds[:, 0], final).statistic),
        "spearman_last_value": float(spearmanr(last, final).statistic),
        "cover80": float(covered.mean()),
        "cover80_top": float(covered[top].mean()),
    }
