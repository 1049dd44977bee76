"""Stops a run that a predictor expects to end worse than the best one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
from scipy.special import ndtr

from curvecast.curves import CurveSet, DataError
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction
from curvecast.stopping.accounting import Record
from curvecast.stopping.calibration import level_of_calibrated, widths
from curvecast.stopping.rule import Decision, Rule, stops

Part = tuple[np.ndarray, Prediction]

# Widths above this one ask for a probability that differs from 1 in its last digits alone.
_SUREST = 7.0


def probability_worse(prediction: Prediction, sign: float, bar: float | np.ndarray) -> np.ndarray:
    """P(final gain <= bar) for one bar or one per run, shape (n_runs,)."""
    below = prediction.cdf(sign * bar)
    return below if sign > 0 else 1 - below


@dataclass(frozen=True, eq=False)
class Forecasts:
    """Predictions of runs at decision epochs; the arrays hold NaN where a run has none.

    Attributes
    ----------
    parts : by decision epoch, row positions and the predictive distributions of their end.
    sign : +1 where larger is better.
    n_runs : number of runs, with those that have no prediction.
    """

    parts: Mapping[int, Sequence[Part]]
    sign: float
    n_runs: int

    @classmethod
    def of(cls, predictor: Predictor, curves: CurveSet, rows: Mapping[int, np.ndarray]) -> Self:
        """Ask at every decision epoch about the runs at its row positions."""
        parts = {
            tau: [(some, predictor.predict(curves.take(some), tau))] for tau, some in rows.items()
        }
        return cls(parts, curves.sign, len(curves))

    def gaussian(self) -> Self:
        """The same without the shapes of errors that predictors know, as published."""
        parts = {t: [(some, p.gaussian()) for some, p in part] for t, part in self.parts.items()}
        return replace(self, parts=parts)

    @classmethod
    def under_way(cls, predictor: Predictor, curves: CurveSet, at: np.ndarray) -> Self:
        """Ask about all runs that have a value at the decision epochs."""
        columns = zip(at.tolist(), Record(curves).columns(at), strict=True)
        finite = np.isfinite(curves.values)
        return cls.of(predictor, curves, {tau: np.flatnonzero(finite[:, c]) for tau, c in columns})

    def known(self, curves: CurveSet, at: np.ndarray) -> Forecasts:
        """These forecasts, for a rule that asks about the runs that they are of."""
        return self

    def mean(self, at: np.ndarray) -> np.ndarray:
        """Predicted gain, shape (n_runs, n_at)."""
        return self._filled(at, lambda t, rows, prediction: self.sign * prediction.mean)

    def bound(self, at: np.ndarray, levels: np.ndarray | float) -> np.ndarray:
        """Gain that a run stays below with these probabilities (n_at,); shape (n_runs, n_at)."""
        levels = np.broadcast_to(levels, at.shape)
        asked = dict(zip(at.tolist(), levels if self.sign > 0 else 1 - levels, strict=True))
        return self._filled(at, lambda t, rows, p: self.sign * p.quantile([asked[t]])[:, 0])

    def probability_worse(self, at: np.ndarray, bar: np.ndarray) -> np.ndarray:
        """P(final gain of run i <= bar[i]), shape (n_runs, n_at)."""
        return self._filled(at, lambda t, rows, p: probability_worse(p, self.sign, bar[rows]))

    def _filled(
        self, at: np.ndarray, number: Callable[[int, np.ndarray, Prediction], np.ndarray]
    ) -> np.ndarray:
        array = np.full((self.n_runs, len(at)), np.nan)
        for i, tau in enumerate(at.tolist()):
            for rows, prediction in self.parts[tau]:
                array[rows, i] = number(tau, rows, prediction)
        return array


class Predicting(Rule):
    """A rule that stops when the predicted probability of ending worse reaches a level.

    `forecast` gives predictions of runs at decision epochs, `levels` the levels there; a Delta of
    1 never stops a run.
    """

    reason = "predicted worse"
    delta: float
    forecast: Callable[[CurveSet, np.ndarray], Forecasts]

    @abstractmethod
    def levels(self, at: np.ndarray) -> np.ndarray:
        """P(worse) from which on a run ends at each decision epoch, shape (n_at,)."""

    def scores(self, runs: Record, at: np.ndarray) -> np.ndarray:
        if self.delta >= 1:
            return np.full((len(runs), len(at)), np.inf)
        return self.forecast(runs.curves, at).bound(at, self.levels(at))

    def decide(self, runs: Record, epoch: int, bar: float) -> Decision:
        at, bars = np.array([epoch]), np.full(len(runs), bar)
        probability = np.full(len(runs), np.nan)
        if bar > -np.inf:
            probability = self.forecast(runs.curves, at).probability_worse(at, bars)[:, 0]
        level = float(self.levels(at)[0]) if self.delta < 1 else np.nan
        return self._decision(runs, epoch, stops(level, probability), probability, level)


@dataclass(frozen=True)
class Predicted(Predicting):
    """The rule for runs under way: of the runs that would win, a share of Delta is to survive.

    All decision epochs of a run together may stop 1 - Delta of the would-be winners. The level of
    one epoch is `calibration.level_of_calibrated`; for a predictor that is not calibrated while few
    runs are finished, it is at least the normal probability of `calibration.widths`. Both were
    measured on other collections. The probability is that of the whole predictive distribution.

    Attributes
    ----------
    forecast : predictions of runs at decision epochs; `of` makes it from a fitted predictor.
    n_finished : runs whose final values the predictor knows; `n_started`: runs that the one to
        beat is the best of.
    last_epoch : of a whole training.
    delta : Delta in (0, 1].
    calibrated : whether the predictor is.
    """

    name = "predicted"
    setting = "calibrated"

    forecast: Callable[[CurveSet, np.ndarray], Forecasts]
    n_finished: int
    n_started: int
    last_epoch: int
    delta: float = 0.9
    calibrated: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.delta <= 1:
            raise DataError(f"promise (delta) {self.delta} must be in (0, 1]")

    @classmethod
    def of(
        cls,
        predictor: Predictor,
        n_finished: int,
        n_started: int,
        last_epoch: int,
        delta: float = 0.9,
    ) -> Self:
        """From a predictor that is fitted for the decision epochs."""
        ask = partial(Forecasts.under_way, predictor)
        return cls(ask, n_finished, n_started, last_epoch, delta, predictor.calibrated)

    def levels(self, at: np.ndarray) -> np.ndarray:
        least = np.full(len(at), level_of_calibrated(self.n_started, self.delta))
        if self.calibrated:
            return least
        fractions = at / self.last_epoch
        width = widths(max(self.n_finished, 1), self.n_started, fractions, self.delta)
        return np.maximum(least, ndtr(np.minimum(width, _SUREST)))

    def bar(self, marks: Sequence[float]) -> float:
        return marks[-1] if len(marks) else -np.inf
