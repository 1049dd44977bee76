"""A pruner for Optuna that predicts where a trial will end, and prunes it when it cannot win.

    study = optuna.create_study(direction="minimize", pruner=CurvePruner())

Trials of the study are what its predictor has seen of this task: their reported values are
training curves, the objective values of completed ones are the ends. Needs optuna >= 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from curvecast.curves import CurveSet, DataError
from curvecast.extras import missing
from curvecast.fidelity import nearest, online_epochs
from curvecast.integrations._runs import values_at
from curvecast.predictors import make_predictor
from curvecast.protocol import seed_from
from curvecast.stopping.accounting import Record
from curvecast.stopping.rules.predicted import Predicted

try:
    from optuna.distributions import BaseDistribution, CategoricalDistribution
    from optuna.pruners import BasePruner
    from optuna.study import Study, StudyDirection
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise ImportError(missing(error)) from error

__all__ = ["CurvePruner"]

# At about how many steps it decides about a trial.
_N_DECISIONS = 8
# The predictor is fitted again when the number of ended trials has grown by this factor.
_GROWTH = 1.3
# Trials that report at many different steps share so many of them.
_MOST_STEPS = 200
# System attributes of a trial: the decision step, P(ends worse than the best), and why it ends.
_STEP, _PROBABILITY, _REASON = (f"curvecast:{name}" for name in ("step", "probability", "reason"))


@dataclass(frozen=True)
class _Fitted:
    """A rule fitted on `n_ended` trials, its decision epochs `at`, and `like`, without runs.

    Epochs are steps + `shift`.
    """

    n_ended: int
    rule: Predicted
    at: np.ndarray
    like: CurveSet
    shift: int


class CurvePruner(BasePruner):
    """Prune a trial when it is improbable that it ends better than the best one.

    The rule is `Predicted`, with a predictor that is fitted again as trials end. Trials report
    values at any steps and ask at any of them; a decision is taken at the newest decision step
    that was passed. The objective's return value counts as the value at the last step. A trial
    whose last value is not finite is pruned at once. What was decided is in the system attributes
    `curvecast:step`, `curvecast:probability` (of ending worse) and `curvecast:reason` of the trial.

    Parameters
    ----------
    model : name of the predictor. The default has seen other trainings: it fits nothing, needs one
        completed trial (to be compared with), and reads pruned trials too.
    delta : share of the trials that would be the best that has to survive at least; 1 never prunes.
    n_startup_trials : nothing is pruned before so many trials have completed. Default: 0, and 10
        for a model that learns from completed trials alone, which needs at least 4.
    n_warmup_steps : nothing is pruned while a trial has reported fewer values.
    always : share of the trials that is never pruned. Default: 0, and .05 for a model that learns
        from completed trials alone, which sees from them what bad trials become.
    seed : of the predictor and of the choice of these trials.
    options : of the predictor.

    Raises
    ------
    DataError : an option is out of its range, or the model is unknown.
    """

    def __init__(
        self,
        *,
        model: str = "pfn",
        delta: float = 0.5,
        n_startup_trials: int | None = None,
        n_warmup_steps: int = 1,
        always: float | None = None,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        alone = make_predictor(model, seed=seed, **(options or {})).needs_training
        fewest = 4 if alone else 0
        if n_startup_trials is None:
            n_startup_trials = 10 if alone else 0
        if always is None:
            always = 0.05 if alone else 0.0
        if not 0 < delta <= 1 or n_startup_trials < fewest or n_warmup_steps < 1:
            raise DataError(
                f"delta {delta} must be in (0, 1], n_startup_trials {n_startup_trials} at least "
                f"{fewest} and n_warmup_steps {n_warmup_steps} at least 1"
            )
        if not 0 <= always <= 1:
            raise DataError(f"always {always} must be in [0, 1]")
        self._model, self._delta, self._options = model, delta, dict(options or {})
        self._n_startup_trials, self._n_warmup_steps = n_startup_trials, n_warmup_steps
        self._always, self._seed = always, seed
        self._fitted: dict[tuple[Any, ...], _Fitted] = {}

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to end a trial now; Optuna asks through `trial.should_prune()`."""
        trials = study.get_trials(deepcopy=False)
        values = _values(trial, trials)
        if not values:
            return False
        step = max(values)
        if not np.isfinite(values[step]):
            return _note(study, trial, step, 1.0, "diverged")
        if len(values) < self._n_warmup_steps or self._is_spared(trial):
            return False
        fitted = self._fit(study, trials)
        if fitted is None or step + fitted.shift >= fitted.like.last_epoch:
            return False
        reached = fitted.at[np.isfinite(values_at(fitted.at - fitted.shift, values))]
        if not len(reached):
            return False
        at = int(reached[-1])
        if trial.system_attrs.get(_STEP) == at - fitted.shift:
            return bool(trial.system_attrs[_REASON])
        run = Record(_with_runs(fitted.like, [trial], [values], fitted.shift))
        finals = np.sort(fitted.like.sign * np.array([t.value for t in _completed(trials)]))
        decision = fitted.rule.decide(run, at, fitted.rule.bar(finals.tolist()))
        reason = str(decision.reason[0])
        return _note(study, trial, at - fitted.shift, float(decision.probability[0]), reason)

    def _is_spared(self, trial: FrozenTrial) -> bool:
        """Whether a trial belongs to the share that is never pruned; the same at every step."""
        drawn = seed_from("always", self._seed, trial.number) / 2**32
        return drawn < self._always

    def _fit(self, study: Study, trials: Sequence[FrozenTrial]) -> _Fitted | None:
        """The rule for a study, fitted again when enough trials have ended since."""
        n_completed = len(_completed(trials))
        if n_completed < max(1, self._n_startup_trials):
            return None
        # Studies of one name differ in the time at which their first trial started.
        study_key = study.study_name, trials[0].datetime_start
        known, ended = self._fitted.get(study_key), _ended(trials)
        if known is not None and len(ended) < _GROWTH * known.n_ended:
            return known
        curves, shift = curves_of(trials, study.direction, study.study_name)
        at = online_epochs(curves.epochs, _N_DECISIONS)
        at = at[at >= curves.epochs[min(self._n_warmup_steps, len(curves.epochs)) - 1]]
        if not len(at):
            return None
        predictor = make_predictor(self._model, seed=self._seed, **self._options)
        numbers = n_completed, len(trials), curves.last_epoch
        rule = Predicted.of(predictor.fit(curves, at.tolist()), *numbers, delta=self._delta)
        self._fitted[study_key] = _Fitted(len(ended), rule, at, curves.take([]), shift)
        return self._fitted[study_key]


def _note(study: Study, trial: FrozenTrial, step: int, probability: float, reason: str) -> bool:
    """Store a decision with its trial; returns whether the trial ends."""
    for name, value in ((_STEP, step), (_PROBABILITY, probability), (_REASON, reason)):
        study._storage.set_trial_system_attr(trial._trial_id, name, value)
    return bool(reason)


def _completed(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials with a curve and a finite objective value."""
    done = [t for t in trials if t.state == TrialState.COMPLETE and t.intermediate_values]
    return [trial for trial in done if trial.value is not None and np.isfinite(trial.value)]


def _ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Completed trials and those that were pruned on their way."""
    pruned = [t for t in trials if t.state == TrialState.PRUNED and t.intermediate_values]
    return sorted([*_completed(trials), *pruned], key=lambda trial: trial.number)


def _values(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> dict[int, float]:
    """Reported values by step, those before a resumption included."""
    values = dict(trial.intermediate_values)
    for number in reversed(trial.system_attrs.get("retry_history", []) if values else []):
        first, before = min(values), trials[number].intermediate_values
        values |= {step: value for step, value in before.items() if step < first}
    return values


def curves_of(
    trials: Sequence[FrozenTrial], direction: StudyDirection, name: str
) -> tuple[CurveSet, int]:
    """The completed and pruned ones of all trials of a study as learning curves.

    Returns
    -------
    CurveSet with a column `hp_*` per parameter, in log scale where it was drawn so; its epochs are
    the steps of completed trials, plus 1 where these begin at 0; that shift is the second value.
    A completed trial has its objective value after its last step, a pruned one NaN.
    """
    ended = _ended(trials)
    steps = np.unique([step for trial in _completed(trials) for step in trial.intermediate_values])
    if len(steps) > _MOST_STEPS:
        steps = np.unique(nearest(steps, np.linspace(steps[0], steps[-1], _MOST_STEPS)))
    shift = int(steps[0] == 0)
    drawn = {n: d for trial in ended for n, d in trial.distributions.items()}
    columns = {f"hp_{name}": pd.Series([], dtype=_dtype(d)) for name, d in drawn.items()}
    like = CurveSet(
        configs=pd.DataFrame({"id": [], "group": []} | columns),
        values=np.empty((0, len(steps))),
        epochs=steps + shift,
        metric="objective",
        direction="minimize" if direction == StudyDirection.MINIMIZE else "maximize",
        name=name,
        source="Optuna study",
        log_columns=tuple(f"hp_{n}" for n, d in drawn.items() if getattr(d, "log", False)),
    )
    return _with_runs(like, ended, [_values(trial, trials) for trial in ended], shift), shift


def _dtype(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return pd.CategoricalDtype(list(dict.fromkeys(map(str, distribution.choices))))
    return np.float64


def _with_runs(
    like: CurveSet,
    trials: Sequence[FrozenTrial],
    values: Sequence[Mapping[int, float]],
    shift: int,
) -> CurveSet:
    """Trials with their reported values by step as runs with the columns and epochs of `like`.

    Between two reports the values lie on a line, before the first and after the last one they are
    missing; so is what a trial did not draw.
    """
    columns: dict[str, Any] = {"id": [str(t.number) for t in trials], "group": range(len(trials))}
    for column, dtype in like.configs.dtypes.items():
        if column in columns:
            continue
        name = str(column).removeprefix("hp_")
        kind = str if isinstance(dtype, pd.CategoricalDtype) else float
        drawn = [kind(t.params[name]) if name in t.params else None for t in trials]
        columns[str(column)] = pd.Series(drawn, dtype=dtype)
    rows = np.full((len(trials), len(like.epochs)), np.nan)
    asked = like.epochs - shift
    for row, trial, reported in zip(rows, trials, values, strict=True):
        row[:] = values_at(asked, reported)
        if trial.state == TrialState.COMPLETE:
            row[asked > max(reported)] = row[-1] = trial.value
    return replace(like, configs=pd.DataFrame(columns), values=rows)
