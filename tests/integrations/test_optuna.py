"""The pruner in real Optuna studies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import TrialState

from curvecast import DataError
from curvecast.integrations.optuna import CurvePruner, curves_of

LAST = 20
Objective = Callable[[optuna.Trial], float]


@pytest.fixture(autouse=True)
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def error(trial: optuna.Trial, sign: float = 1.0) -> float:
    """An error that falls to a limit which the parameters tell; one of them is conditional."""
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd"])
    momentum = trial.suggest_float("momentum", 0, 1) if optimizer == "sgd" else 0.5
    limit = 0.1 + 0.1 * abs(np.log10(lr) + 2.5) + 0.1 * abs(momentum - 0.9)
    noise = np.random.default_rng(trial.number).standard_normal(LAST)
    value = 0.0
    for step in range(LAST):
        value = limit + 0.5 * np.exp(-0.25 * (step + 1)) + 0.003 * noise[step]
        trial.report(sign * value, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return sign * value


def study_of(
    pruner: BasePruner, *, direction: str = "minimize", n_trials: int = 50, **options: float
) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(direction=direction, pruner=pruner, sampler=sampler)
    study.optimize(lambda trial: error(trial, **options), n_trials=n_trials)
    return study


def steps(study: optuna.Study) -> list[int]:
    return [len(trial.intermediate_values) for trial in study.trials]


@pytest.fixture(scope="module")
def pruned() -> optuna.Study:
    return study_of(CurvePruner(always=0.1))


def test_bad_trials_are_pruned_and_the_best_one_is_not(pruned: optuna.Study) -> None:
    full = study_of(NopPruner())
    assert pruned.best_value == full.best_value
    assert sum(steps(pruned)) < 0.6 * sum(steps(full))
    finals = np.array([trial.value for trial in full.trials])
    ended = np.array([trial.state == TrialState.PRUNED for trial in pruned.trials])
    assert finals[ended].min() > full.best_value
    assert ended.sum() > 20


def test_the_first_trials_and_the_first_steps_are_left_alone(pruned: optuna.Study) -> None:
    states = [trial.state for trial in pruned.trials]
    assert states[:10] == [TrialState.COMPLETE] * 10
    patient = study_of(CurvePruner(always=0, n_warmup_steps=8, n_startup_trials=15), n_trials=30)
    assert [t.state for t in patient.trials[:15]] == [TrialState.COMPLETE] * 15
    assert min(steps(patient)) >= 8
    assert TrialState.PRUNED in [trial.state for trial in patient.trials]


def test_maximizing_the_negative_is_the_same_study(pruned: optuna.Study) -> None:
    mirrored = study_of(CurvePruner(always=0.1), direction="maximize", sign=-1.0)
    assert steps(mirrored) == steps(pruned)


def test_a_share_is_never_pruned() -> None:
    assert set(steps(study_of(CurvePruner(always=1.0), n_trials=20))) == {LAST}
    assert set(steps(study_of(CurvePruner(delta=1.0), n_trials=20))) == {LAST}


def test_another_predictor_by_name() -> None:
    study = study_of(CurvePruner(model="ridge", delta=0.9), n_trials=30)
    assert TrialState.PRUNED in [trial.state for trial in study.trials]


def test_a_diverged_trial_ends_at_once() -> None:
    study = optuna.create_study(pruner=CurvePruner())

    def diverges(trial: optuna.Trial) -> float:
        for step, value in enumerate([0.5, float("nan"), 0.4]):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return 0.4

    study.optimize(diverges, n_trials=2)
    assert steps(study) == [2, 2]


def test_trials_become_curves(pruned: optuna.Study) -> None:
    completed = [t for t in pruned.trials if t.state == TrialState.COMPLETE]
    curves = curves_of(completed, pruned.direction, "study")
    assert curves.epochs.tolist() == list(range(1, LAST + 1))
    assert curves.direction == "minimize"
    assert curves.log_columns == ("hp_lr",)
    assert curves.final.tolist() == [trial.value for trial in completed]
    momentum = curves.configs["hp_momentum"].to_numpy()
    assert np.isnan(momentum).tolist() == ["momentum" not in t.params for t in completed]
    assert list(curves.configs["hp_optimizer"].dtype.categories) == ["adam", "sgd"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 0.0}, "delta 0.0 must be"),
        ({"n_startup_trials": 3}, "n_startup_trials 3 at least 4"),
        ({"always": 1.5}, "always 1.5 must be"),
        ({"model": "nothing"}, "unknown model 'nothing'"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CurvePruner(**options)
