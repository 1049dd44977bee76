"""Hyperband and f-Hyperband replayed on recorded curves.

Hyperband (Li et al. 2018) runs successive halving in brackets that trade the number of
configurations against their epochs. f-Hyperband (Baker et al. 2018, section 4.2) stops a run
inside a rung when a predictor of the value *at the end of that rung* says that it will not be
among the k best there; the prediction then stands for the value.

Rungs resume: a run that is promoted pays only for the epochs that it has not been trained for.
Values are gains (larger is better), see `accounting`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import Rung, brackets, rung_epochs
from curvecast.predictors import make_predictor
from curvecast.predictors.base import Prediction, Predictor
from curvecast.protocol import grouped_folds, seed_from
from curvecast.stopping.accounting import Record

N_START = 100
_FOLDS = 5


@dataclass(frozen=True)
class HyperbandSetting:
    """Options of f-Hyperband; the defaults are the fixed setting of this project.

    Attributes
    ----------
    delta : stop when P(value at the rung's end is below the k-th best) reaches it; 1 never stops.
    kappa : k = max(1, kappa * number of runs that are promoted); 0 stands for k = 1.
    offset : the k-th best is lowered by it, in the unit of the curve.
    again : train a rung's predictor again whenever its runs have doubled, instead of keeping
        the one of the first 100 runs.
    promising_first : give every run of a rung the epochs up to its first look, then take them to
        the rung's end in the order of their forecasts there, so that the k best are known early.
    """

    delta: float = 0.95
    kappa: float = 1.0
    offset: float = 0.0
    again: bool = False
    promising_first: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.delta <= 1 and 0 <= self.kappa <= 1 and self.offset >= 0):
            raise DataError(f"an option is out of range in {self}")

    @property
    def name(self) -> str:
        top = f"kappa={self.kappa:g}" if self.kappa else "top1"
        offset = f" offset={self.offset:g}" if self.offset else ""
        flags = [" again"] * self.again + [" promising first"] * self.promising_first
        return f"{top}{offset}{''.join(flags)}"

    def k(self, n_promoted: int) -> int:
        return max(1, math.floor(self.kappa * n_promoted + 1e-9))


@dataclass(frozen=True, eq=False)
class RungForecast:
    """Predictions of the value at the end of a rung for all runs, none from its own curve.

    Attributes
    ----------
    looks : shape (n_looks,).
    mean, bound : predicted gain, and the gain that is not reached with probability delta;
        shape (n_runs, n_looks), NaN where a run had diverged.
    """

    looks: np.ndarray
    mean: np.ndarray
    bound: np.ndarray


class RungForecaster:
    """Fits one model per rung's end and remembers the fits: settings often share them.

    Parameters
    ----------
    curves : all recorded runs.
    model, options : what `make_predictor` takes.
    """

    def __init__(
        self,
        curves: CurveSet,
        model: str,
        eta: int,
        repeat: int,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._curves, self._model, self._eta = curves, model, eta
        self._options = dict(options or {})
        self._record = Record.of(curves)
        self._seed = seed_from(curves.name, "hyperband", repeat, model)
        self._known: dict[tuple[int, bytes], list[list[tuple[np.ndarray, Prediction]]]] = {}
        self.seconds = 0.0
        self.fits = 0

    def __call__(self, rung_end: int, train: np.ndarray, delta: float) -> RungForecast:
        """Forecast from the distinct row positions `train`, all of which reached `rung_end`."""
        looks = rung_epochs(self._curves.epochs, rung_end, self._eta)
        key = (rung_end, np.sort(train).tobytes())
        if key not in self._known:
            started = time.perf_counter()
            self._known[key] = self._fit(rung_end, np.sort(train), looks)
            self.seconds += time.perf_counter() - started
            self.fits += 1
        sign = self._curves.sign
        mean = np.full((len(self._record), len(looks)), np.nan)
        bound = mean.copy()
        level = delta if sign > 0 else 1 - delta
        for i, parts in enumerate(self._known[key]):
            for rows, prediction in parts:
                mean[rows, i] = sign * prediction.mean
                bound[rows, i] = sign * prediction.quantile([level])[:, 0]
        return RungForecast(looks, mean, bound)

    def _fit(
        self, rung_end: int, train: np.ndarray, looks: np.ndarray
    ) -> list[list[tuple[np.ndarray, Prediction]]]:
        target = self._curves.until(rung_end)
        others = np.setdiff1d(np.arange(len(target)), train)
        model = self._new().fit(target.take(train), looks.tolist())
        left_out = [model.predict_left_out(tau) for tau in looks.tolist()]
        folds = self._folds(target, train, looks) if None in left_out else []
        found = []
        for tau, own in zip(looks.tolist(), left_out, strict=True):
            alive = others[self._curves.epochs[self._record.end[others]] > tau]
            parts = [(alive, model.predict(target.take(alive), tau))]
            if own is not None:
                parts.append((train, own))
            else:
                parts += [(rows, fold.predict(target.take(rows), tau)) for rows, fold in folds]
            found.append([(rows, prediction.gaussian()) for rows, prediction in parts])
        return found

    def _new(self) -> Predictor:
        return make_predictor(self._model, seed=self._seed, **self._options)

    def _folds(
        self, target: CurveSet, train: np.ndarray, looks: np.ndarray
    ) -> list[tuple[np.ndarray, Predictor]]:
        fold = grouped_folds(target.groups[train], _FOLDS, self._seed)
        return [
            (
                train[fold == f],
                self._new().fit(target.take(train[fold != f]), looks.tolist()),
            )
            for f in range(_FOLDS)
        ]


@dataclass(frozen=True)
class HyperbandRun:
    """One of the consecutive Hyperbands.

    Attributes
    ----------
    epochs : what it used; `seconds` the same in seconds, NaN where the data has none.
    oracle_epochs : what it would have used with an oracle (see `oracle_epochs`).
    best : best gain measured at R epochs, -inf for none.
    """

    epochs: int
    seconds: float
    oracle_epochs: int
    best: float


def replay_hyperband(
    curves: CurveSet,
    repeat: int,
    budget: int,
    eta: int,
    n_hyperbands: int,
    setting: HyperbandSetting | None = None,
    forecaster: RungForecaster | None = None,
) -> list[HyperbandRun]:
    """Replay consecutive Hyperbands; vanilla ones when there is no setting.

    The draws depend on (data set, repeat) alone, so settings are compared on the same ones.

    Raises
    ------
    DataError : one Hyperband needs more runs than there are, or a budget was not recorded.
    """
    record = Record.of(curves)
    plan = brackets(budget, eta)
    needed = sum(rungs[0].n for rungs in plan)
    if needed > len(record):
        raise DataError(
            f"one Hyperband with R = {budget} draws {needed} runs of {len(record)} (lower R)",
            file=curves.name,
        )
    study = _Study(record, setting, forecaster, record.columns(np.array(_budgets(plan))).tolist())
    found = []
    for index in range(n_hyperbands):
        rng = np.random.default_rng(seed_from(curves.name, "hyperband", repeat, index))
        rows = rng.permutation(len(record))[:needed]
        found.append(study.run(plan, rows))
    return found


def _budgets(plan: list[list[Rung]]) -> list[int]:
    return sorted({rung.epochs for rungs in plan for rung in rungs})


def oracle_epochs(rungs: list[Rung]) -> int:
    """Fewest epochs of a bracket that evaluates as many configurations in every rung.

    The promoted runs and the best of the last rung go on; every other run ends with the first
    epoch after the budget that it was resumed from.
    """
    total = 0
    for i, rung in enumerate(rungs):
        going_on = rungs[i + 1].n if i + 1 < len(rungs) else 1
        total += going_on * (rung.epochs - rung.start) + (rung.n - going_on)
    return total


class _Study:
    """What consecutive Hyperbands share: the runs that reached each budget, and the forecasts."""

    def __init__(
        self,
        record: Record,
        setting: HyperbandSetting | None,
        forecaster: RungForecaster | None,
        columns: list[int],
    ) -> None:
        self._record, self._setting, self._forecaster = record, setting, forecaster
        self._final_column = columns[-1]
        self._reached: dict[int, list[int]] = {}
        self._forecasts: dict[int, tuple[int, RungForecast]] = {}

    def run(self, plan: list[list[Rung]], rows: np.ndarray) -> HyperbandRun:
        epochs, seconds, best, start = 0, 0.0, -np.inf, 0
        for rungs in plan:
            drawn = rows[start : start + rungs[0].n]
            start += rungs[0].n
            trained, found = self._bracket(rungs, drawn)
            epochs += int(self._record.epochs[trained].sum())
            if self._record.seconds is not None:
                seconds += float(self._record.seconds[drawn, trained].sum())
            best = max(best, found)
        return HyperbandRun(
            epochs,
            seconds if self._record.seconds is not None else float("nan"),
            sum(oracle_epochs(rungs) for rungs in plan),
            best,
        )

    def _bracket(self, rungs: list[Rung], drawn: np.ndarray) -> tuple[np.ndarray, float]:
        """Columns at which the drawn runs ended, and the best gain measured at R."""
        record = self._record
        trained = {run: _untrained(record) for run in drawn.tolist()}
        alive = drawn.tolist()
        best = -np.inf
        for i, rung in enumerate(rungs):
            column = int(np.searchsorted(record.epochs, rung.epochs))
            promoted = rungs[i + 1].n if i + 1 < len(rungs) else 0
            forecast = self._forecast(rung.epochs)
            k = self._setting.k(promoted) if self._setting else 1
            known: list[float] = []
            scores: dict[int, float] = {}
            for run in self._in_turn(alive, trained, forecast):
                threshold = sorted(known)[-k] if len(known) >= k else -np.inf
                stop = self._stop(forecast, run, trained[run], threshold)
                if stop is not None:
                    look, scores[run] = stop
                    trained[run] = look
                    continue
                trained[run] = int(min(column, record.end[run]))
                value = record.gain[run, column]
                reached = bool(record.end[run] > column or (record.complete[run]))
                scores[run] = float(value) if reached else -np.inf
                known.append(scores[run])
                if reached:
                    self._reached.setdefault(rung.epochs, []).append(run)
                    if column == self._final_column:
                        best = max(best, scores[run])
            alive = sorted(alive, key=lambda run: -scores[run])[:promoted]
        return np.array([trained[run] for run in drawn.tolist()]), best

    def _in_turn(
        self, alive: list[int], trained: dict[int, int], forecast: RungForecast | None
    ) -> list[int]:
        """The runs of a rung in the order in which they are taken to its end."""
        if forecast is None or self._setting is None or not self._setting.promising_first:
            return alive
        columns = np.searchsorted(self._record.epochs, forecast.looks)

        def promise(run: int) -> float:
            later = np.flatnonzero(columns > trained[run])
            if not len(later):
                return np.inf
            mean = float(forecast.mean[run, later[0]])
            return -np.inf if np.isnan(mean) else mean  # it has diverged by then

        return sorted(alive, key=promise, reverse=True)

    def _stop(
        self, forecast: RungForecast | None, run: int, trained: int, threshold: float
    ) -> tuple[int, float] | None:
        """Column and score at which the run is stopped on its way to the rung's end, or None."""
        if forecast is None or self._setting is None or threshold == -np.inf:
            return None
        columns = np.searchsorted(self._record.epochs, forecast.looks)
        below = forecast.bound[run] <= threshold - self._setting.offset
        below &= columns > trained
        if not below.any():
            return None
        first = int(np.argmax(below))
        return int(columns[first]), float(forecast.mean[run, first])

    def _forecast(self, rung_end: int) -> RungForecast | None:
        """The rung's forecasts once enough runs have reached its end."""
        reached = self._reached.get(rung_end, [])
        setting, forecaster = self._setting, self._forecaster
        if setting is None or forecaster is None or setting.delta >= 1:
            return None
        if len(reached) < N_START or rung_end == 1:
            return None
        fitted, forecast = self._forecasts.get(rung_end, (0, None))
        if fitted == 0 or (setting.again and len(reached) >= 2 * fitted):
            n = len(reached) if setting.again else N_START
            train = np.unique(np.array(reached[:n], dtype=np.int64))
            forecast = forecaster(rung_end, train, setting.delta)
            self._forecasts[rung_end] = (n, forecast)
        return forecast


def _untrained(record: Record) -> int:
    """Column of the last epoch that costs nothing: -1 when epoch 0 was not recorded."""
    return int(np.searchsorted(record.epochs, 1)) - 1
