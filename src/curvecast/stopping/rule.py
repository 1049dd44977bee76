"""Small objects that say, inside a training loop, whether a run is worth finishing.

Every rule answers `decide(...)` with a `Decision`. A rule never stops at an epoch that it may not
look at, nor at the last epoch (there is nothing left to save), and ends a run whose last value
is not finite as diverged.

    rule = PredictorRule(predictor, like=curves, delta=0.95)
    for epoch in range(1, 51):
        curve.append(train_one_epoch())
        if rule.decide(configuration, curve, finished).stop:
            break
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import halving_epochs
from curvecast.predictors.base import Predictor


@dataclass(frozen=True)
class Decision:
    """What a rule says about a run.

    Attributes
    ----------
    stop : whether to end the run now.
    probability : P(the final value is worse than what the run is compared with), 1 or 0 for
        rules without a model, NaN where the rule did not look.
    reason : "", "predicted worse", "worse than the others", "no progress" or "diverged".
    """

    stop: bool
    probability: float
    reason: str = ""


_GO_ON = Decision(False, float("nan"))
_DIVERGED = Decision(True, 1.0, "diverged")


@dataclass(frozen=True)
class Looks:
    """At which epochs a rule may stop: from `min_tau` on, every `every` epochs, before the last."""

    min_tau: int = 1
    every: int = 1

    def __post_init__(self) -> None:
        if self.min_tau < 1 or self.every < 1:
            raise DataError(f"min_tau {self.min_tau} and every {self.every} must be at least 1")

    def allows(self, epoch: int, last_epoch: int) -> bool:
        """Whether a run may be stopped after `epoch` of `last_epoch` epochs."""
        return self.min_tau <= epoch < last_epoch and (int(epoch) - self.min_tau) % self.every == 0


def nth_best(finished: Sequence[float] | np.ndarray, n: int, sign: float) -> float | None:
    """The n-th best of the finite final values, None while there are fewer than n."""
    values = np.asarray(finished, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < n:
        return None
    return float(sign * np.sort(sign * values)[-n])


def one_run(
    like: CurveSet, configuration: Mapping[str, object], curve: Sequence[float]
) -> CurveSet:
    """A CurveSet of one unfinished run.

    Parameters
    ----------
    like : complete runs that have the same columns, epochs and direction.
    configuration : a value for every `hp_*` and `ap_*` column of `like`.
    curve : values at the first epochs of `like`, oldest first.

    Raises
    ------
    DataError : a column is missing, a category is unknown, or the curve is longer than a run.
    """
    if len(curve) > len(like.epochs):
        raise DataError(f"{len(curve)} values for {len(like.epochs)} epochs", file=like.name)
    row: dict[str, object] = {"id": ["run"], "group": [0]}
    for column in like.configs.columns:
        if not column.startswith(("hp_", "ap_")):
            continue
        if column not in configuration:
            raise DataError("the configuration has no such column", file=like.name, column=column)
        value, dtype = configuration[column], like.configs[column].dtype
        known = not isinstance(dtype, pd.CategoricalDtype) or value in dtype.categories
        # a parameter of another branch of a conditional space has no value here
        missing = value is None or value != value
        if not known and not missing:
            raise DataError(f"unknown category {value!r}", file=like.name, column=column)
        row[column] = pd.Series([value], dtype=dtype)
    values = np.full((1, len(like.epochs)), np.nan)
    values[0, : len(curve)] = curve
    return CurveSet(
        configs=pd.DataFrame(row),
        values=values,
        epochs=like.epochs,
        metric=like.metric,
        direction=like.direction,
        name=like.name,
        source=like.source,
        log_columns=like.log_columns,
    )


@dataclass(frozen=True)
class PredictorRule:
    """Stop when the predicted probability of ending worse reaches Delta (Baker et al. 2018, 4.1).

    The probability is Gaussian, as published, also where a predictor knows the shape of its errors
    (`Prediction.gaussian`).

    Attributes
    ----------
    predictor : fitted for every epoch that `looks` allows.
    like : runs with the columns, epochs and direction of those that are judged.
    delta : Delta; 1 never stops a run.
    offset : the run is compared with the best value minus `offset` (plus, where smaller is
        better), in the unit of the curve.
    top_n : compare with the n-th best finished run; nothing is stopped while there are fewer.
    looks : first epoch that may stop a run, and every how many epochs to look.
    """

    predictor: Predictor
    like: CurveSet
    delta: float = 0.95
    offset: float = 0.0
    top_n: int = 1
    looks: Looks = Looks()

    def __post_init__(self) -> None:
        if not 0 < self.delta <= 1 or self.offset < 0 or self.top_n < 1:
            raise DataError(
                f"delta {self.delta} must be in (0, 1], offset {self.offset} at least 0 and "
                f"top_n {self.top_n} at least 1"
            )

    def decide(
        self,
        configuration: Mapping[str, object],
        curve: Sequence[float],
        finished: Sequence[float] | np.ndarray,
    ) -> Decision:
        """Judge one run.

        Parameters
        ----------
        configuration : its `hp_*` and `ap_*` values.
        curve : its values so far, at the first epochs of `like`.
        finished : final values of the runs that were finished before, in any order.

        Raises
        ------
        DataError : see `one_run`; the predictor is not fitted for this epoch.
        """
        if len(curve) and not np.isfinite(curve[-1]):
            return _DIVERGED
        best = nth_best(finished, self.top_n, self.like.sign)
        if not len(curve) or best is None:
            return _GO_ON
        tau = int(self.like.epochs[len(curve) - 1])
        if not self.looks.allows(tau, self.like.last_epoch):
            return _GO_ON
        run = one_run(self.like, configuration, curve)
        prediction = self.predictor.predict(run, tau).gaussian()
        sign = self.like.sign
        below = float(prediction.cdf(best - sign * self.offset)[0])
        probability = below if sign > 0 else 1.0 - below
        if self.delta < 1 and probability >= self.delta:
            return Decision(True, probability, "predicted worse")
        return Decision(False, probability)


def domhan_rule(
    predictor: Predictor, like: CurveSet, *, p_better: float = 0.05, looks: Looks | None = None
) -> PredictorRule:
    """Stop when P(the run ends better than the best one) is at most `p_better`.

    Domhan, Springenberg and Hutter (2015), section 3.3, made for the predictor `lce`.
    """
    return PredictorRule(predictor, like, delta=1 - p_better, looks=looks or Looks())


@dataclass(frozen=True)
class OracleRule:
    """The limit: knows how the run ends and stops it at the first allowed epoch if it ends worse.

    A run that ends exactly as well as the best one is stopped too: it cannot improve on it.
    """

    direction: str = "maximize"
    looks: Looks = Looks()
    top_n: int = 1

    def decide(
        self, epoch: int, last_epoch: int, final: float, finished: Sequence[float] | np.ndarray
    ) -> Decision:
        """Judge a run after `epoch`, given its `final` value and those of the finished runs."""
        sign = 1.0 if self.direction == "maximize" else -1.0
        best = nth_best(finished, self.top_n, sign)
        if best is None or not self.looks.allows(epoch, last_epoch):
            return _GO_ON
        worse = not np.isfinite(final) or sign * final <= sign * best
        return Decision(bool(worse), float(worse), "predicted worse" if worse else "")


@dataclass(frozen=True)
class MedianRule:
    """Stop when the best value so far is below the median of the others' running averages.

    Golovin et al. (2017), "Google Vizier", section 3.3.2.

    Attributes
    ----------
    min_runs : nothing is stopped while fewer runs have reached the epoch.
    """

    direction: str = "maximize"
    looks: Looks = Looks()
    min_runs: int = 5

    def decide(
        self, epoch: int, last_epoch: int, curve: Sequence[float], running_averages: np.ndarray
    ) -> Decision:
        """Judge a run after `epoch`.

        `curve` holds its values so far, `running_averages` the mean of the values up to this
        epoch of every earlier run that reached it, shape (n_earlier,).
        """
        if not np.isfinite(curve[-1]):
            return _DIVERGED
        if len(running_averages) < self.min_runs or not self.looks.allows(epoch, last_epoch):
            return _GO_ON
        sign = 1.0 if self.direction == "maximize" else -1.0
        worse = (sign * np.asarray(curve)).max() < np.median(sign * running_averages)
        return Decision(bool(worse), float(worse), "worse than the others" if worse else "")


@dataclass(frozen=True)
class SuccessiveHalvingRule:
    """Asynchronous successive halving (ASHA, Li et al. 2020), in its stopping form.

    At the rungs min_tau, min_tau * eta, min_tau * eta^2, ... a run goes on when it is among the
    best 1/eta of all runs that were measured at that rung, itself included.
    """

    direction: str = "maximize"
    min_tau: int = 1
    eta: int = 3

    def __post_init__(self) -> None:
        if self.min_tau < 1 or self.eta < 2:
            raise DataError(f"min_tau {self.min_tau} must be at least 1, eta {self.eta} 2")

    def rungs(self, last_epoch: int) -> list[int]:
        """Epochs below `last_epoch` at which a run may be stopped."""
        return halving_epochs(last_epoch, self.min_tau, self.eta)

    def decide(
        self, epoch: int, last_epoch: int, value: float, at_this_epoch: np.ndarray
    ) -> Decision:
        """Judge a run by its `value` and those of earlier runs at the same epoch, (n_earlier,)."""
        if not np.isfinite(value):
            return _DIVERGED
        if epoch not in self.rungs(last_epoch):
            return _GO_ON
        sign = 1.0 if self.direction == "maximize" else -1.0
        rank = int(np.sum(sign * np.asarray(at_this_epoch) > sign * value))
        worse = rank >= max(1, (len(at_this_epoch) + 1) // self.eta)
        return Decision(worse, float(worse), "worse than the others" if worse else "")


@dataclass(frozen=True)
class PatienceRule:
    """Stop a run whose best value is `patience` epochs old; it is not compared with other runs."""

    direction: str = "maximize"
    patience: int = 5
    looks: Looks = Looks()

    def decide(self, epochs: np.ndarray, last_epoch: int, curve: Sequence[float]) -> Decision:
        """Judge a run by its `curve` at `epochs`, both of shape (n_seen,)."""
        values = np.asarray(curve, dtype=np.float64)
        if not np.isfinite(values[-1]):
            return _DIVERGED
        epoch = int(epochs[-1])
        if not self.looks.allows(epoch, last_epoch):
            return _GO_ON
        sign = 1.0 if self.direction == "maximize" else -1.0
        age = epoch - int(epochs[int(np.argmax(sign * values))])
        stale = age >= self.patience
        return Decision(stale, float(stale), "no progress" if stale else "")
