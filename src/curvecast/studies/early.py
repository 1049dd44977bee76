"""f-BOHB: a fitted rule ends evaluations that are not worth their rung.

Baker et al. (2018, section 4.2) put their stopping rule into Hyperband; here the same is done
inside BOHB, and the predictor learns from the study's own runs while it goes on. On a rung with
budget r the predictor targets the value at r. A run is compared with the k-th best of its
bracket's rung, k being how many go on (while fewer are known, with the same quantile of the
earlier brackets), and on the highest rung with the best run of the study. A run that is ended
counts with its predicted value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.predictors import make_predictor, module_of
from curvecast.studies import identity
from curvecast.studies.evaluation import Evaluation, Trial, trained_of

if TYPE_CHECKING:
    from curvecast.predictors.base import Prediction, Predictor


@dataclass(frozen=True)
class Ended:
    """A run that a rule ended after `epoch` epochs, and the loss that is predicted for it."""

    epoch: int
    loss: float


@dataclass
class EarlyEnd:
    """When to end an evaluation before its budget.

    Attributes
    ----------
    predictor : name of a model of this project.
    Delta : a run ends when P(it is worse than what it is compared with) reaches this; 1 ends none.
    offset : the comparison is shifted by this much in favour of the run, in the unit of the curve.
    min_runs : a rung's predictor starts once so many runs have reached it.
    growth : it is fitted again whenever the number of these runs has grown by this factor.
    n_looks : at most so many epochs per rung at which a run is judged, denser at the beginning.
    min_saving : a run is not judged where fewer epochs than this are left.
    whole : below the highest rung, also end a run that will not become the best of the study,
        judged by forecasts of its value on the highest rung.
    options : of the predictor.
    """

    predictor: str = "gain_gp"
    Delta: float = 0.95
    offset: float = 0.0
    min_runs: int = 12
    growth: float = 1.5
    n_looks: int = 6
    min_saving: int = 3
    whole: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        module_of(self.predictor)
        if not (0 < self.Delta <= 1 and self.min_runs >= 3 and self.growth > 1):
            raise DataError(
                f"stopping: Delta {self.Delta} must be in (0, 1], min_runs {self.min_runs} at "
                f"least 3 and growth {self.growth} above 1"
            )
        self._fitted: dict[tuple[int, int, int], Predictor] = {}

    def identity(self) -> dict[str, Any]:
        """JSON of the options and of the predictor's code."""
        options = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        return {**options, "code": identity.of_model(self.predictor)}

    def judge(
        self,
        trial: Trial,
        observed: Callable[[Sequence[Evaluation]], CurveSet],
    ) -> Judge | None:
        """Prepare the judgement of one evaluation; None where it may not be ended.

        Parameters
        ----------
        observed : makes the curves of evaluations, one row each, with values up to the epoch
            that each of them reached.
        """
        rung = round(trial.budget)
        looks = look_epochs(round(trial.trained), rung, self.n_looks, self.min_saving)
        own = self._forecasts(trial, rung, observed)
        if self.Delta >= 1 or own is None or not looks:
            return None
        hurdles = [Hurdle(_to_go_on(trial), own)]
        if self.whole and not trial.top:
            whole = self._forecasts(trial, round(trial.highest), observed)
            hurdles += [Hurdle(_best(trial), whole)] if whole is not None else []
        hurdles = [h for h in hurdles if h.threshold is not None]
        return (
            Judge(tuple(looks), own, tuple(hurdles), self.Delta, self.offset) if hurdles else None
        )

    def _forecasts(
        self,
        trial: Trial,
        target: int,
        observed: Callable[[Sequence[Evaluation]], CurveSet],
    ) -> Forecasts | None:
        """Predictors of the value at `target`, None while too few runs have reached it."""
        reached = _first_to_reach(trial.history, target)
        n_fit = _milestone(len(reached), self.min_runs, self.growth)
        if n_fit is None:
            return None
        known = reached[:n_fit]

        def fitted(tau: int) -> Predictor:
            key = (target, len(known), tau)
            if key not in self._fitted:
                model = make_predictor(self.predictor, **self.options)
                self._fitted[key] = model.fit(up_to(observed(known), target), [tau])
            return self._fitted[key]

        return Forecasts(target, fitted)


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of the value at the epoch `target`; `fitted` gives the predictor for a tau."""

    target: int
    fitted: Callable[[int], Predictor]

    def at(self, curves: CurveSet, epoch: int) -> Prediction:
        """From what `curves` hold up to `epoch`."""
        return self.fitted(epoch).predict(up_to(curves, self.target), epoch)


@dataclass(frozen=True)
class Hurdle:
    """A loss that a run must get below, and the forecasts of what it will get to."""

    threshold: float | None
    forecasts: Forecasts

    def missed(self, curves: CurveSet, epoch: int, offset: float) -> float:
        """P(the single run of `curves` will not get below the threshold)."""
        assert self.threshold is not None
        prediction = self.forecasts.at(curves, epoch)
        below = float(prediction.cdf(-curves.sign * (self.threshold + offset))[0])
        return below if curves.sign > 0 else 1 - below


@dataclass(frozen=True)
class Judge:
    """Judges one run; `looks` are the epochs at which it wants to see it."""

    looks: tuple[int, ...]
    _own: Forecasts
    _hurdles: tuple[Hurdle, ...]
    _Delta: float
    _offset: float

    def ends(self, curves: CurveSet, epoch: int) -> Ended | None:
        """Whether to end the single run of `curves` after `epoch`.

        Its values after `epoch` are not looked at. A run without a finite value is left to the
        objective.
        """
        if epoch not in self.looks or not np.isfinite(curves.values[0, curves.seen(epoch)][-1]):
            return None
        if all(h.missed(curves, epoch, self._offset) < self._Delta for h in self._hurdles):
            return None
        return Ended(epoch, float(-curves.sign * self._own.at(curves, epoch).mean[0]))


def _to_go_on(trial: Trial) -> float | None:
    """Loss that a run must beat to go on, or to be the best; None while nothing is known."""
    if trial.top:
        return _best(trial)
    at_rung = [e for e in trial.history if e.budget == trial.budget and math.isfinite(e.loss)]
    rivals = sorted(e.loss for e in at_rung if e.id[0] == trial.id[0])
    if len(rivals) >= trial.keep:
        return rivals[trial.keep - 1]
    earlier = [e.loss for e in at_rung if e.id[0] != trial.id[0]]
    return float(np.quantile(earlier, trial.keep / trial.width)) if earlier else None


def _best(trial: Trial) -> float | None:
    """The lowest loss of a complete run, None where there is none."""
    complete = [
        e.loss
        for e in trial.history
        if e.budget == trial.highest and math.isfinite(e.loss) and "stopped" not in e.info
    ]
    return min(complete, default=None)


def look_epochs(trained: int, rung: int, n_looks: int, min_saving: int) -> list[int]:
    """Epochs at which a run is judged that was trained for `trained` epochs before this rung.

    At most `n_looks` from 1 to `rung - min_saving`, evenly spaced on a log scale; what lies
    before `trained` is judged there, before anything new is trained.
    """
    last = rung - min_saving
    if last < max(1, trained):
        return []
    spaced = np.geomspace(1, last, n_looks).round().astype(int)
    return np.unique(np.maximum(spaced, trained)).tolist()


def up_to(curves: CurveSet, epoch: int) -> CurveSet:
    """The curves cut after `epoch`, which becomes their last one; further series are left out."""
    seen = curves.seen(epoch)
    return CurveSet(
        configs=curves.configs,
        values=curves.values[:, seen],
        epochs=curves.epochs[seen],
        metric=curves.metric,
        direction=curves.direction,
        name=curves.name,
        source=curves.source,
        log_columns=curves.log_columns,
    )


def _first_to_reach(history: Sequence[Evaluation], rung: int) -> list[Evaluation]:
    """One evaluation per configuration that was trained for `rung` epochs or more, in order."""
    found: dict[tuple[int, int, int], Evaluation] = {}
    for evaluation in history:
        if trained_of(evaluation) >= rung:
            found.setdefault(evaluation.id, evaluation)
    return list(found.values())


def _milestone(n: int, first: int, growth: float) -> int | None:
    """The largest of first, first * growth, ... that is at most n."""
    if n < first:
        return None
    while math.ceil(first * growth) <= n:
        first = math.ceil(first * growth)
    return first
