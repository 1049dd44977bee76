"""Stops a run that a predictor expects to end worse than the best one (Baker et al. 2018, 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.predictors.base import Predictor
from curvecast.predictors.distributions import Prediction
from curvecast.stopping.accounting import Record
from curvecast.stopping.rule import Decision, Rule, stops

Part = tuple[np.ndarray, Prediction]


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
        """Ask at every decision epoch about the runs at its row positions.

        The distributions are Gaussian, as published, also where a predictor knows the shape of
        its errors (`Prediction.gaussian`).
        """
        parts = {
            tau: [(some, predictor.predict(curves.take(some), tau).gaussian())]
            for tau, some in rows.items()
        }
        return cls(parts, curves.sign, len(curves))

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
        return self._filled(at, lambda rows, prediction: self.sign * prediction.mean)

    def bound(self, at: np.ndarray, delta: float) -> np.ndarray:
        """Gain that a run stays below with probability `delta`; shape (n_runs, n_at)."""
        level = [delta if self.sign > 0 else 1 - delta]
        return self._filled(at, lambda rows, p: self.sign * p.quantile(level)[:, 0])

    def probability_worse(self, at: np.ndarray, bar: np.ndarray) -> np.ndarray:
        """P(final gain of run i <= bar[i]), shape (n_runs, n_at)."""
        return self._filled(at, lambda rows, p: probability_worse(p, self.sign, bar[rows]))

    def _filled(
        self, at: np.ndarray, number: Callable[[np.ndarray, Prediction], np.ndarray]
    ) -> np.ndarray:
        array = np.full((self.n_runs, len(at)), np.nan)
        for i, tau in enumerate(at.tolist()):
            for rows, prediction in self.parts[tau]:
                array[rows, i] = number(rows, prediction)
        return array


@dataclass(frozen=True)
class Predicted(Rule):
    """Stops when the predicted probability of ending worse reaches Delta.

    Attributes
    ----------
    forecast : predictions of runs at decision epochs; `of` makes it from a fitted predictor.
    delta : Delta; 1 never stops a run.
    offset : the bar is lowered by it, in the unit of the curve.
    top_n : the bar is the n-th best finished run; nothing is stopped while there are fewer.
    """

    name = "predicted"
    reason = "predicted worse"

    forecast: Callable[[CurveSet, np.ndarray], Forecasts]
    delta: float = 0.95
    offset: float = 0.0
    top_n: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.delta <= 1 or self.offset < 0 or self.top_n < 1:
            raise DataError(
                f"delta {self.delta} must be in (0, 1], offset {self.offset} at least 0 and "
                f"top_n {self.top_n} at least 1"
            )

    @classmethod
    def of(cls, predictor: Predictor, delta: float = 0.95) -> Self:
        """The rule with a predictor that is fitted for the decision epochs."""
        return cls(partial(Forecasts.under_way, predictor), delta)

    @property
    def setting(self) -> str:
        parts = [f"offset={self.offset:g}"] * (self.offset > 0)
        parts += [f"top{self.top_n}"] * (self.top_n > 1)
        return " ".join(parts) or "baker"

    def scores(self, runs: Record, at: np.ndarray) -> np.ndarray:
        if self.delta >= 1:
            return np.full((len(runs), len(at)), np.inf)
        return self.forecast(runs.curves, at).bound(at, self.delta)

    def bar(self, marks: Sequence[float]) -> float:
        return marks[-self.top_n] - self.offset if len(marks) >= self.top_n else -np.inf

    def decide(self, runs: Record, epoch: int, bar: float) -> Decision:
        at, bars = np.array([epoch]), np.full(len(runs), bar)
        probability = np.full(len(runs), np.nan)
        if bar > -np.inf:
            probability = self.forecast(runs.curves, at).probability_worse(at, bars)[:, 0]
        stop = stops(self.delta, probability) & (self.delta < 1)
        return self._decision(runs, epoch, stop, probability)
