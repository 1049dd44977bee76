"""A pruner for Optuna that predicts where a trial will end, and prunes it when it cannot win.

    study = optuna.create_study(direction="minimize", pruner=CurvePruner())

It learns from the study's own completed trials: their reported values are training curves, their
objective values are what is predicted. Needs optuna >= 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import CategoricalDistribution
from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from curvecast.curves import CurveSet, DataError
from curvecast.fidelity import online_epochs
from curvecast.predictors import make_predictor
from curvecast.protocol import seed_from
from curvecast.stopping.accounting import Record
from curvecast.stopping.rules.predicted import Predicted

__all__ = ["CurvePruner"]

# At about how many steps it decides about a trial.
_N_DECISIONS = 8
# The predictor is fitted again when the number of completed trials has grown by this factor.
_GROWTH = 1.3


@dataclass(frozen=True)
class _Fitted:
    """A rule fitted on the first `n_trials` completed trials.

    `at` holds its decision epochs, `like` the columns and epochs of a trial's curve.
    """

    n_trials: int
    rule: Predicted
    at: np.ndarray
    like: CurveSet


class CurvePruner(BasePruner):
    """Prune a trial when it is improbable that it ends better than the best one.

    The rule is `Predicted`, with a predictor that is fitted again as trials complete. Every
    completed trial should report its value after each epoch, the last one at the same step; the
    objective's return value counts as the value at that step. A trial whose last value is not
    finite is pruned at once.

    Parameters
    ----------
    model : name of the predictor. The default is made for few runs and fits in about a second.
    delta : share of the trials that would be the best that is to survive; 1 never prunes.
    n_startup_trials : nothing is pruned before so many trials have completed.
    n_warmup_steps : nothing is pruned while a trial has reported fewer values.
    always : share of the trials that is never pruned. The predictor learns from completed
        trials alone, which soon are the good ones; from these it learns about the others.
    seed : of the predictor and of the choice of these trials.
    options : of the predictor.

    Raises
    ------
    DataError : an option is out of its range, or the model is unknown.
    """

    def __init__(
        self,
        *,
        model: str = "gain_gp",
        delta: float = 0.9,
        n_startup_trials: int = 10,
        n_warmup_steps: int = 1,
        always: float = 0.05,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 < delta <= 1 or n_startup_trials < 4 or n_warmup_steps < 1:
            raise DataError(
                f"delta {delta} must be in (0, 1], n_startup_trials {n_startup_trials} at least 4 "
                f"and n_warmup_steps {n_warmup_steps} at least 1"
            )
        if not 0 <= always <= 1:
            raise DataError(f"always {always} must be in [0, 1]")
        make_predictor(model, seed=seed, **(options or {}))
        self._model, self._delta, self._options = model, delta, dict(options or {})
        self._n_startup_trials, self._n_warmup_steps = n_startup_trials, n_warmup_steps
        self._always, self._seed = always, seed
        self._fitted: dict[str, _Fitted] = {}

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to end a trial now; Optuna asks through `trial.should_prune()`."""
        values = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
        if not values:
            return False
        if not np.isfinite(values[-1]):
            return True
        if len(values) < self._n_warmup_steps or self._is_spared(trial):
            return False
        completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        completed = [done for done in completed if done.intermediate_values]
        if len(completed) < self._n_startup_trials:
            return False
        fitted = self._fit(study, completed)
        epochs = fitted.like.epochs
        if len(values) >= len(epochs) or epochs[len(values) - 1] not in fitted.at:
            return False
        finals = fitted.like.sign * np.array([done.value for done in completed])
        bar = fitted.rule.bar(np.sort(finals[np.isfinite(finals)]).tolist())
        names = [str(name) for name in fitted.like.configs if str(name).startswith("hp_")]
        run = replace(
            fitted.like,
            configs=_configs([trial], names, [trial, *completed]),
            values=np.array([[*values, *[np.nan] * (len(epochs) - len(values))]]),
        )
        return bool(fitted.rule.decide(Record(run), int(epochs[len(values) - 1]), bar).stop[0])

    def _is_spared(self, trial: FrozenTrial) -> bool:
        """Whether a trial belongs to the share that is never pruned; the same at every step."""
        drawn = seed_from("always", self._seed, trial.number) / 2**32
        return drawn < self._always

    def _fit(self, study: Study, completed: Sequence[FrozenTrial]) -> _Fitted:
        """The rule for a study, fitted again when enough trials have completed since."""
        known = self._fitted.get(study.study_name)
        if known is not None and len(completed) < _GROWTH * known.n_trials:
            return known
        curves = curves_of(completed, study.direction, study.study_name)
        at = online_epochs(curves.epochs, _N_DECISIONS)
        at = at[at >= self._n_warmup_steps]
        predictor = make_predictor(self._model, seed=self._seed, **self._options)
        numbers = len(completed), len(study.trials), curves.last_epoch
        rule = Predicted.of(predictor.fit(curves, at.tolist()), *numbers, delta=self._delta)
        fitted = _Fitted(len(completed), rule, at, curves.take([]))
        self._fitted[study.study_name] = fitted
        return fitted


def curves_of(trials: Sequence[FrozenTrial], direction: StudyDirection, name: str) -> CurveSet:
    """Completed trials as learning curves.

    Parameters
    ----------
    trials : with intermediate values; the steps of the longest one are the epochs 1, 2, ... of
        all. A trial's objective value stands at the last of them.

    Returns
    -------
    CurveSet with a column `hp_*` per parameter, in log scale where it was drawn so.
    """
    longest = max(len(trial.intermediate_values) for trial in trials)
    values = np.full((len(trials), longest), np.nan)
    for row, trial in enumerate(trials):
        steps = sorted(trial.intermediate_values)
        values[row, : len(steps)] = [trial.intermediate_values[step] for step in steps]
        values[row, -1] = np.nan if trial.value is None else trial.value
    drawn = {n: d for trial in trials for n, d in trial.distributions.items()}
    names = tuple(f"hp_{name}" for name in drawn)
    return CurveSet(
        configs=_configs(trials, names, trials),
        values=values,
        epochs=np.arange(1, longest + 1),
        metric="objective",
        direction="minimize" if direction == StudyDirection.MINIMIZE else "maximize",
        name=name,
        source="Optuna study",
        log_columns=tuple(f"hp_{n}" for n, d in drawn.items() if getattr(d, "log", False)),
    )


def _configs(
    trials: Sequence[FrozenTrial], names: Sequence[str], known: Sequence[FrozenTrial]
) -> pd.DataFrame:
    """Trials as `CurveSet.configs`, a column per name; what a trial did not draw is missing.

    Distributions are those of the trials in `known`.
    """
    drawn = {f"hp_{n}": d for trial in known for n, d in trial.distributions.items()}
    columns: dict[str, Any] = {"id": [str(t.number) for t in trials], "group": range(len(trials))}
    for name in names:
        values = [trial.params.get(name.removeprefix("hp_")) for trial in trials]
        distribution = drawn[name]
        if isinstance(distribution, CategoricalDistribution):
            choices = [str(choice) for choice in distribution.choices]
            texts = [None if value is None else str(value) for value in values]
            columns[name] = pd.Categorical(texts, categories=choices)
        else:
            columns[name] = np.array(values, dtype=np.float64)
    return pd.DataFrame(columns)
