"""The pruner in real Optuna studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pytest
from optuna.pruners import BasePruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

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
    states = [trial.state for trial in pruned.trials[:10]]
    assert states[0] == TrialState.COMPLETE
    assert TrialState.PRUNED in states
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
    ended = [t for t in pruned.trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    curves, shift = curves_of(pruned.trials, pruned.direction, "study")
    assert (curves.epochs.tolist(), shift) == (list(range(1, LAST + 1)), 1)
    assert curves.direction == "minimize"
    assert curves.log_columns == ("hp_lr",)
    finals = [t.value if t.state == TrialState.COMPLETE else np.nan for t in ended]
    np.testing.assert_array_equal(curves.final, finals)
    seen = [len(trial.intermediate_values) for trial in ended]
    assert np.isfinite(curves.values).sum(axis=1).tolist() == seen
    momentum = curves.configs["hp_momentum"].to_numpy()
    assert np.isnan(momentum).tolist() == ["momentum" not in t.params for t in ended]
    assert list(curves.configs["hp_optimizer"].dtype.categories) == ["adam", "sgd"]


def falling(
    pruner: BasePruner,
    steps: Sequence[int],
    *,
    every: int = 1,
    n_trials: int = 30,
    parameter: str = "lr",
    shorter: int = 0,
) -> optuna.Study:
    """A study of errors that fall at the same rate to limits which the parameter tells.

    Trials report at all `steps`, ask at every so many of them, and every third one ends `shorter`.
    """
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(pruner=pruner, sampler=sampler, study_name="tune")

    def objective(trial: optuna.Trial) -> float:
        far = abs(np.log10(trial.suggest_float(parameter, 1e-4, 1, log=True)) + 2)
        value, last = 1.0, len(steps) - shorter * (trial.number % 3 == 0)
        for number, step in enumerate(steps[:last], 1):
            value = 0.1 + 0.05 * far + 0.9 * np.exp(-number / (len(steps) / 10 + far))
            trial.report(value, step)
            if number % every == 0 and trial.should_prune():
                raise optuna.TrialPruned
        return value

    study.optimize(objective, n_trials=n_trials)
    return study


def n_pruned(study: optuna.Study) -> int:
    return sum(trial.state == TrialState.PRUNED for trial in study.trials)


RIDGE = {"model": "ridge", "n_startup_trials": 8}


@pytest.mark.parametrize("every", [7, 10, 25])
def test_it_prunes_at_any_cadence(every: int) -> None:
    often, seldom = (
        falling(CurvePruner(**RIDGE), range(1, 51), every=e, n_trials=40) for e in (1, every)
    )
    assert n_pruned(often) > 15
    assert n_pruned(seldom) >= n_pruned(often) - 3
    assert seldom.best_value == often.best_value


@pytest.mark.parametrize(
    "steps",
    [range(50), range(1000, 51_000, 1000), range(17, 67), range(10**12, 51 * 10**12, 10**12)],
)
def test_steps_may_be_large_and_start_anywhere(steps: range) -> None:
    study, usual = (falling(CurvePruner(**RIDGE), s, every=2) for s in (steps, range(1, 51)))
    assert n_pruned(study) >= n_pruned(usual) - 2 > 5
    assert study.best_value == usual.best_value


def test_choices_may_have_the_same_text() -> None:
    study = optuna.create_study(pruner=CurvePruner())

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_categorical("kernel", [1, "1"])
        for step in range(3):
            trial.report(1 / (step + 1), step)
            trial.should_prune()
        return 0.3

    study.optimize(objective, n_trials=4)
    curves, _ = curves_of(study.trials, study.direction, "study")
    assert list(curves.configs["hp_kernel"].dtype.categories) == ["1"]


def test_trials_may_have_unequal_lengths_and_one_report() -> None:
    assert n_pruned(falling(CurvePruner(**RIDGE), range(1, 31), shorter=10)) > 5
    assert n_pruned(falling(CurvePruner(**RIDGE), [1], n_trials=12)) == 0


def test_studies_of_one_name_have_fits_of_their_own() -> None:
    shared = CurvePruner(**RIDGE)
    for parameter in ("lr", "decay"):
        own = falling(CurvePruner(**RIDGE), range(1, 31), parameter=parameter)
        study = falling(shared, range(1, 31), parameter=parameter)
        assert steps(study) == steps(own)
        assert n_pruned(study) > 5


def test_a_decision_is_stored_with_its_trial_and_stands() -> None:
    study = falling(CurvePruner(**RIDGE, always=0), range(1, 31))
    for trial in study.trials:
        noted = {name: trial.system_attrs.get(f"curvecast:{name}") for name in ATTRIBUTES}
        if trial.state == TrialState.PRUNED:
            assert noted["reason"] == "predicted worse"
            assert noted["probability"] > 0.9
            assert noted["step"] in trial.intermediate_values
            assert study.pruner.prune(study, trial)
        elif trial.number >= 8:
            assert (noted["reason"], noted["probability"] < 1) == ("", True)


ATTRIBUTES = ("step", "probability", "reason")


def test_a_resumed_trial_has_the_curve_of_the_one_that_failed() -> None:
    study = falling(NopPruner(), range(1, 31), n_trials=10)
    bad = {"lr": optuna.distributions.FloatDistribution(1e-4, 1, log=True)}
    values = {step: 0.9 + 0.5 * np.exp(-step / 3) for step in range(1, 31)}

    def trial(state: TrialState, steps: range, **options: object) -> FrozenTrial:
        reports = {step: values[step] for step in steps}
        return optuna.create_trial(
            state=state,
            params={"lr": 1.0},
            distributions=bad,
            intermediate_values=reports,
            **options,
        )

    study.add_trial(trial(TrialState.FAIL, range(1, 16)))
    answers = []
    for attributes in ({"retry_history": [10]}, {}):
        asked = trial(TrialState.RUNNING, range(15, 21), system_attrs=attributes)
        study.add_trial(asked)
        pruner = CurvePruner(**RIDGE, n_warmup_steps=16, always=0)
        answers.append(pruner.prune(study, study.trials[-1]))
    assert answers == [True, False]


def test_the_network_that_has_seen_other_trainings_prunes_from_the_second_trial_on() -> None:
    pruner = CurvePruner(model="pfn", n_startup_trials=0, always=0)
    study = falling(pruner, range(1, 51), every=5, n_trials=12)
    early = [trial.state for trial in study.trials[1:6]]
    assert study.trials[0].state == TrialState.COMPLETE
    assert TrialState.PRUNED in early
    everything = falling(NopPruner(), range(1, 51), n_trials=12)
    assert study.best_value == everything.best_value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delta": 0.0}, "delta 0.0 must be"),
        ({"model": "ridge", "n_startup_trials": 3}, "n_startup_trials 3 at least 4"),
        ({"n_startup_trials": -1}, "n_startup_trials -1 at least 0"),
        ({"always": 1.5}, "always 1.5 must be"),
        ({"model": "nothing"}, "unknown model 'nothing'"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CurvePruner(**options)
