"""Advice on runs under way: their predicted ends, P(becomes the best), and which to stop.

The finished runs are the context of one predictor; every unfinished run is asked about at its own
last epoch, and compared with the best finished run and, while few are, with what the other runs
under way will reach. `check` does the same to the finished runs, as if they were under way, so that
the advice comes with what it would have saved and lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import online_epochs
from curvecast.predictors import make_predictor
from curvecast.predictors.base import Predictor
from curvecast.predictors.domain import reached
from curvecast.protocol import seed_from
from curvecast.stopping.rule import stops
from curvecast.stopping.rules.predicted import Predicted, probability_worse

MODEL = "pfn"
PROMISE = 0.9
# While fewer runs than FEW are finished, a run under way is one to beat as well, at what it reaches
# with the probability REACHED. Chosen among .5 to .98 on the tasks of the corpus that the prior was
# not trained on, on the embedded collections and on five sets of LCBench (docs/logs.md). With 20
# finished runs it would save 3 % more of the epochs left, and stop a fifth (LCBench) or two fifths
# (embedded) of the runs that are better than these. LEFT runs are left to finish, because later
# ones are predicted from them: without that a search of 50 runs by syne-tune took up to a third
# more epochs (`benchmarks/syne_tune_asha.py`).
REACHED, FEW, LEFT = 0.9, 10, 4
COLUMNS = (
    *("run", "epoch", "value", "predicted", "low", "high", "best", "worse", "level"),
    *("advice", "reason", "epochs_left"),
)
_DRAWS = 400
_LEVELS = np.linspace(0.005, 0.995, 100)
_CHECKED = 8
_FEWEST_CHECKED = 6


def finished(curves: CurveSet) -> np.ndarray:
    """Whether a run has a finite value at the last epoch, shape (n_runs,)."""
    return np.isfinite(curves.final)


def outlook(
    rule: Predicted,
    predictor: Predictor,
    taus: Sequence[int],
    runs: CurveSet,
    beat: float,
    levels: Sequence[float] = (0.5,),
    epoch: int | None = None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Ask about every run at the last fitted epoch that it has reached (`domain.reached`).

    Parameters
    ----------
    predictor, taus : fitted at `taus`, increasing.
    runs : NaN where nothing is recorded yet, inf where a run diverged.
    beat : final value to beat, NaN for none.
    epoch : one of `taus`: see nothing after it.

    Returns
    -------
    A row per run: `run, seen` (last epoch with a value, 0 for none), `value` there, `epoch` (that
    it is asked about at), `mean`, `worse` (P(ends worse than `beat`)), `level` (the `worse` from
    which on it ends), `stop`, `note` (`Predictor.notes`; "diverged", "finished" or "too early: ..."
    where it is asked about nowhere) and `reason`. And the quantiles of the ends at `levels`, shape
    (n_runs, n_levels). A finished run ends at its value, unless `epoch` is given.
    """
    rows, sign = _places(taus if epoch is None else [epoch], runs, epoch is None), runs.sign
    done, diverged = ((rows["note"] == text).to_numpy() for text in ("finished", "diverged"))
    numbers, ends = np.full((len(runs), 3), np.nan), np.full((len(runs), len(levels)), np.nan)
    ends[done] = runs.final[done, None]
    numbers[done, :2] = np.column_stack([runs.final, sign * runs.final <= sign * beat])[done]
    numbers[diverged, 1] = 1.0
    notes = rows["note"].to_numpy(dtype=object, copy=True)
    for tau in rows["epoch"].dropna().unique().tolist():
        here = np.flatnonzero(rows["epoch"].eq(tau).fillna(False))
        p = predictor.predict(runs.take(here), tau)
        ends[here], notes[here] = p.quantile(levels), predictor.notes(runs.take(here), tau)
        numbers[here, :2] = np.column_stack([p.mean, probability_worse(p, sign, sign * beat)])
        numbers[here, 2] = rule.levels(np.array([tau]))[0] if rule.delta < 1 else np.nan
    rows[["mean", "worse", "level"]] = numbers
    stop = stops(rows["level"], rows["worse"])
    reason = np.where(stop, rule.reason, notes)
    return rows.assign(stop=stop | diverged, note=notes, reason=reason), ends


def _places(taus: Sequence[int], runs: CurveSet, ends: bool) -> pd.DataFrame:
    """The first five columns of `outlook`, without the predictor's notes."""
    seen, value = _last(runs)
    known = [-1, *taus]
    at = np.array(known)[np.searchsorted(known, seen, side="right") - 1]
    at[np.isnan(value)] = -1
    for before, tau in reversed(list(pairwise(known))):
        here = np.flatnonzero(at == tau)
        at[here[~reached(runs.take(here), tau)]] = before
    early = ": the first epoch for a prediction is ".join(["too early", *map(str, known[1:2])])
    which = [np.isinf(value), finished(runs) & ends, at < 0]
    rows = pd.DataFrame({"run": runs.configs["id"].to_numpy(), "seen": seen, "value": value})
    rows["epoch"] = pd.Series(at, dtype="Int64").mask(np.any(which, axis=0))
    return rows.assign(note=np.select(which, ["diverged", "finished", early], ""))


def _last(curves: CurveSet) -> tuple[np.ndarray, np.ndarray]:
    """Last epoch of each run with a value, finite or not (0 for none), and the value (NaN)."""
    columns = np.where(np.isnan(curves.values), -1, np.arange(len(curves.epochs))).max(axis=1)
    values = curves.values[np.arange(len(curves)), columns]
    return np.where(columns >= 0, curves.epochs[columns], 0), values


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
    One row per run under way, the most promising first: `run, epoch` (last one with a value, 0
    for none), `value` there, `predicted` (end), `low, high` (interval), `best`
    (probability of becoming the best of all runs), `worse` (probability of ending worse than the
    one to beat: the best finished one, or, while fewer than `FEW` are, what another one under way
    reaches with the probability `REACHED` where this alone stops the run or nothing is finished;
    NaN without one), `level` (of `worse`, from which on the run is stopped), `advice` (`stop`,
    `go on` or `too early`), `reason` and `epochs_left`. A run under way stops no other where fewer
    than `LEFT` would be left to finish.

    Raises
    ------
    DataError : the predictor cannot be fitted on so few finished runs; promise or level are shares
        out of range.
    """
    if not (0 < promise <= 1 and 0 < level < 1):
        raise DataError(f"promise {promise:g} must be in (0, 1] and level {level:g} in (0, 1)")
    done, state = finished(curves), curves.configs.get("info_state")
    running = ~done if state is None else (state == "running").to_numpy()
    runs = curves.take(running)
    seen, value = _last(runs)
    begun = np.unique(seen[np.isfinite(value)]).tolist()
    predictor = fitted(curves, np.flatnonzero(~running), begun, model)
    numbers = int(done.sum()), int((~running).sum()), curves.last_epoch
    rule = Predicted.of(predictor, *numbers, delta=promise)
    beat = curves.sign * (curves.sign * curves.final[done]).max() if done.any() else np.nan
    safe = 1 - REACHED if curves.sign > 0 else REACHED
    asked = [0.5 - level / 2, 0.5 + level / 2, safe, *_LEVELS]
    rows, ends = outlook(rule, predictor, begun, runs, beat, asked)
    compared = np.isfinite(ends[:, 2]) & (done.sum() < FEW)
    if compared.any():
        first = int(np.nanargmax(curves.sign * ends[:, 2]))
        rule = replace(rule, n_started=rule.n_started + int(compared.sum()))
        among = outlook(rule, predictor, begun, runs, ends[first, 2])[0]
        rows = _stricter(rows, among, first, int(done.sum()) - LEFT)
    rows["level"] = rows["level"].where(rows["worse"].notna())
    shown = np.column_stack([rows["mean"], ends[:, :2]])
    rows[["mean", "low", "high"]] = shown.clip(*curves.limits)
    seed = seed_from(curves.name, "best")
    most = max(curves.sign * limit for limit in curves.limits)
    gains = np.sort(curves.sign * ends[:, 3:])
    rows["best"] = _becomes_best(gains, curves.sign * beat, most, seed)
    early = rows["note"].str.startswith("too early")
    rows["advice"] = np.select([rows["stop"], early], ["stop", "too early"], "go on")
    rows["epochs_left"] = curves.last_epoch - rows["seen"]
    order = np.lexsort([-curves.sign * rows["mean"], -rows["best"]])
    names = {"seen": "epoch", "mean": "predicted"}
    table = rows.iloc[order].drop(columns="epoch").rename(columns=names)
    return table[list(COLUMNS)].reset_index(drop=True)


def _stricter(rows: pd.DataFrame, among: pd.DataFrame, first: int, more: int) -> pd.DataFrame:
    """Rows of `outlook`, with the comparison `among` runs under way where it alone stops a run.

    It is also shown where nothing is finished to compare with.

    Parameters
    ----------
    first : row of the run that the others are compared with.
    more : added to the number of runs that go on, it is how many may be stopped; the most
        hopeless ones are.
    """
    others = np.arange(len(rows)) != first
    worse = among["worse"].where(others & among["stop"] & ~rows["stop"]).dropna()
    alone = np.zeros(len(rows), dtype=bool)
    allowed = max(0, int((~rows["stop"]).sum()) + more)
    alone[worse.sort_values(ascending=False, kind="stable").index[:allowed]] = True
    reason = f"predicted worse than {rows['run'].iloc[first]}"
    among["reason"] = among["reason"].mask(alone, reason)
    spared = worse.index[~alone[worse.index]]
    among.loc[spared, ["stop", "level", "reason"]] = False, np.nan, "left to be compared with"
    taken = alone | (others & rows["worse"].isna())
    columns = ["worse", "level", "stop", "reason"]
    return rows.assign(**rows[columns].mask(taken, among[columns]))


def left_out(curves: CurveSet, model: str = MODEL) -> str:
    """What to know of the runs that a model learns from: those that ended early, or ""."""
    state = curves.configs.get("info_state")
    n = 0 if state is None else int(((state != "running") & ~finished(curves)).sum())
    if not n or make_predictor(model).takes_unfinished:
        return ""
    return f"{model} learns from complete runs alone: {n} that ended early are left out"


def fitted(curves: CurveSet, rows: np.ndarray, taus: list[int], model: str) -> Predictor:
    """A predictor of this name that has learnt from the runs at `rows`."""
    seed = seed_from(curves.name, model)
    return make_predictor(model, seed=seed).fit(curves.take(rows), taus or [curves.last_epoch])


def _becomes_best(quantiles: np.ndarray, bar: float, most: float, seed: int) -> np.ndarray:
    """P(a run ends better than all others and than the bar), from stratified draws; (n_runs,).

    NaN rows have no prediction and do not compete; a bar of NaN is none. No run ends above `most`:
    a distribution that reaches beyond is cut off there.
    """
    known = np.isfinite(quantiles).all(axis=1)
    best = np.full(len(quantiles), np.nan)
    if known.any():
        rng = np.random.default_rng(seed)
        levels = rng.permuted(np.tile((np.arange(_DRAWS) + 0.5) / _DRAWS, (known.sum(), 1)), axis=1)
        rows = zip(levels, quantiles[known], strict=True)
        draws = np.array(
            [np.interp(u * np.interp(most, row, _LEVELS, right=1), _LEVELS, row) for u, row in rows]
        )
        first = draws.max(axis=0)
        best[known] = ((draws == first) & ~(draws <= bar)).mean(axis=1)
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
            some = runs.take(asked)
            rows, ends = outlook(
                rule, predictor, at.tolist(), some, runs.sign * bar, [0.1, 0.9], tau
            )
            bounds[tau][asked] = np.column_stack([rows["mean"], ends])
            stop = rows["stop"].to_numpy()
            ended[asked[stop]] = np.minimum(ended[asked[stop]], tau)
    answered = [tau for tau in at.tolist() if np.isfinite(bounds[tau]).any()]
    table = pd.DataFrame([_accuracy(runs, tau, bounds[tau]) for tau in answered])
    lost = winners & (ended < runs.last_epoch)
    saved = int((runs.last_epoch - ended).sum())
    total = runs.last_epoch * len(runs)
    return Check(table, total, saved, int(winners.sum()), int(lost.sum()))


def _accuracy(runs: CurveSet, tau: int, bounds: np.ndarray) -> dict[str, float]:
    """One row of `Check.accuracy` from predicted ends and 80 % bounds, shape (n_runs, 3)."""
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
