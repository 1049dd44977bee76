"""f-BOHB: a fitted rule ends evaluations that are not worth their rung.

Baker et al. (2018, section 4.2) put their stopping rule into Hyperband; here the same is done
inside BOHB, and the predictor learns from the study's own runs while it goes on. On a rung with
budget r the predictor targets the value at r. A run is compared with the k-th best of its
bracket's rung, k being how many go on (while fewer are known, with the same quantile of the
earlier brackets), and on the highest rung with the best run of the study. A run that is ended
counts with its predicted value.

The rule differs from Baker's in three points. They were chosen together, on the embedded
collections as tabular benchmarks with 8 seeds; variants of them were within the noise of each
other:

- It also decides before the first epoch, from the configuration and the untrained value.
- Delta is the demand on an end that saves a whole training. An end that saves a share q of it
  needs the probability 1 - (1 - Delta) q: with one Delta for all, most good runs were lost on the
  lowest rungs, to save an epoch each.
- A probability from a predictor that has seen n runs is read as one of Student's t with n - 1
  degrees of freedom, so that the rule may start after three runs.

Also ending runs on lower rungs that would not become the best of the study saved more epochs there
and lost good runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import evaluation_epochs
from curvecast.predictors import make_predictor, module_of
from curvecast.studies import identity
from curvecast.studies.evaluation import Evaluation, Trial

if TYPE_CHECKING:
    from curvecast.predictors.base import Predictor


# A rung's predictor is fitted again whenever the number of runs there has grown by this factor.
_GROWTH = 1.5
# At most so many decision epochs per rung, denser at the beginning, and none where fewer epochs
# than these are left.
_DECISIONS, _LEAST_SAVED = 6, 2


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
    Delta : P(worse than the bar) from which a run ends that has a whole training ahead of it; more
        is needed where less is saved, see the module. 1 ends none.
    offset : the bar is shifted by this much in favour of the run, in the unit of the curve.
    min_runs : a rung's predictor starts once so many runs have reached it.
    options : of the predictor.
    """

    predictor: str = "gain_gp"
    Delta: float = 0.8
    offset: float = 0.0
    min_runs: int = 3
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        module_of(self.predictor)
        if not (0 < self.Delta <= 1 and self.min_runs >= 3):
            raise DataError(
                f"stopping: Delta {self.Delta} must be in (0, 1] and min_runs {self.min_runs} at "
                "least 3"
            )
        self._fitted: dict[tuple[int, int, int], Predictor] = {}

    def identity(self) -> dict[str, Any]:
        """JSON of the options and of the predictor's code."""
        options = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        return {**options, "code": identity.of_code(module_of(self.predictor))}

    def make(self) -> Predictor:
        """The predictor, not fitted. Raises DataError for an option that it has not."""
        return make_predictor(self.predictor, **self.options)

    def rule(
        self, trial: Trial, observed: Callable[[Sequence[Evaluation]], CurveSet]
    ) -> RungRule | None:
        """The rule for one evaluation; None where it may not be ended.

        Parameters
        ----------
        observed : makes the curves of evaluations, one row each, with values up to the epoch
            that each of them reached.
        """
        rung = round(trial.budget)
        epochs = evaluation_epochs(round(trial.trained), rung, _DECISIONS, _LEAST_SAVED)
        reached = _first_to_reach(trial.history, rung)
        bar = _loss_to_beat(trial)
        n_fit = _milestone(len(reached), self.min_runs)
        if self.Delta >= 1 or n_fit is None or bar is None or not epochs:
            return None

        def fitted(tau: int) -> Predictor:
            key = (rung, n_fit, tau)
            if key not in self._fitted:
                self._fitted[key] = self.make().fit(_cut(observed(reached[:n_fit]), rung), [tau])
            return self._fitted[key]

        needed = {tau: 1 - (1 - self.Delta) * (rung - tau) / trial.highest for tau in epochs}
        return RungRule(needed, rung, bar + self.offset, n_fit, fitted)


def label_of(optimizer: str, early: EarlyEnd | None) -> str:
    """Name of a search in tables: `f-bohb` is BOHB with a stopping rule (after f-Hyperband).

    Another predictor than the default one stands behind it: `f-bohb:nusvr_rbf`.
    """
    if early is None:
        return optimizer
    other = early.predictor != EarlyEnd.predictor
    return f"f-{optimizer}" + (f":{early.predictor}" if other else "")


@dataclass(frozen=True)
class RungRule:
    """Decides about one run on its way to the end of a rung.

    Attributes
    ----------
    needed : by decision epoch, the probability of missing the bar from which the run ends.
    rung : epoch at which the bar stands.
    loss_to_beat : the bar as a loss.
    n_runs : number of runs that the predictor has learned from.
    fitted : the predictor for a decision epoch.
    """

    needed: Mapping[int, float]
    rung: int
    loss_to_beat: float
    n_runs: int
    fitted: Callable[[int], Predictor]

    def ends(self, curves: CurveSet, epoch: int) -> Ended | None:
        """Whether to end the single run of `curves` after `epoch`, by its values until then.

        A run without a finite value is left to the objective.
        """
        # Imported here because every dry run reads this module.
        from curvecast.stopping.rule import stops
        from curvecast.stopping.rules.predicted import probability_worse

        seen = curves.values[0, curves.seen(epoch)]
        if epoch not in self.needed or not len(seen) or not np.isfinite(seen[-1]):
            return None
        prediction = self.fitted(epoch).predict(_cut(curves, self.rung), epoch)
        worse = float(probability_worse(prediction, curves.sign, -self.loss_to_beat)[0])
        if not stops(self.needed[epoch], heavier_tailed(worse, self.n_runs)):
            return None
        return Ended(epoch, float(-curves.sign * prediction.mean[0]))


def heavier_tailed(probability: float, n_runs: int) -> float:
    """A Gaussian tail probability as one of Student's t with n_runs - 1 degrees of freedom.

    A predictor that learned its spread from a handful of runs is too sure of it.
    """
    from scipy.special import ndtri, stdtr

    return float(stdtr(n_runs - 1, ndtri(probability)))


def _loss_to_beat(trial: Trial) -> float | None:
    """Loss that a run must beat to go on, or to be the best; None while nothing is known."""
    at_rung = [e for e in trial.history if e.budget == trial.budget and math.isfinite(e.loss)]
    if trial.budget == trial.highest:
        finished = [e.loss for e in at_rung if "stopped" not in e.info]
        return min(finished, default=None)
    rivals = sorted(e.loss for e in at_rung if e.id[0] == trial.id[0])
    if len(rivals) >= trial.keep:
        return rivals[trial.keep - 1]
    earlier = [e.loss for e in at_rung if e.id[0] != trial.id[0]]
    return float(np.quantile(earlier, trial.keep / trial.width)) if earlier else None


def _cut(curves: CurveSet, rung: int) -> CurveSet:
    """The curves as if they were meant to end at the rung; further series are left out."""
    return replace(curves.until(rung), series={})


def _first_to_reach(history: Sequence[Evaluation], rung: int) -> list[Evaluation]:
    """One evaluation per configuration that was trained for `rung` epochs or more, in order."""
    found: dict[tuple[int, int, int], Evaluation] = {}
    for evaluation in history:
        if evaluation.trained >= rung:
            found.setdefault(evaluation.id, evaluation)
    return list(found.values())


def _milestone(n: int, first: int) -> int | None:
    """The largest of first, first * _GROWTH, ... that is at most n."""
    if n < first:
        return None
    while math.ceil(first * _GROWTH) <= n:
        first = math.ceil(first * _GROWTH)
    return first
