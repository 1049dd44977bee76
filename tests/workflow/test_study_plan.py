from __future__ import annotations

import copy
from typing import Any

import pytest

from curvecast import DataError
from curvecast.workflow import study_plan as plan

REGISTRY = {name: {"kind": "curves"} for name in ("lcbench/a", "lcbench/b", "mine")}
CONFIG: dict[str, Any] = {
    "datasets": ["lcbench/*"],
    "tuned_models": {},
    "studies": ["real", "tab"],
    "study_definitions": {
        "real": {"objective": "training", "task": "digits_mlp", "seeds": 2},
        "tab": {
            "objective": "recorded",
            "datasets": ["lcbench/*"],
            "optimizers": ["bohb", "random"],
            "seeds": 10,
        },
        "other": {"objective": "recorded", "datasets": ["lcbench/b"]},
        "tune": {
            "objective": "prediction",
            "model": "cnn",
            "dataset": "lcbench/a",
            "space": "predictors.cnn",
            "parts": {"n_train": 3, "n_validation": 2, "n_test": 2, "tau": 1},
        },
    },
}


def changed(**definitions: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    for name, values in definitions.items():
        config["study_definitions"][name] |= values
    return config


def test_jobs_are_seeds_of_training_and_data_sets_of_replays() -> None:
    plan.check(CONFIG, REGISTRY)
    assert [s.file for s in plan.trainings(CONFIG)] == [
        "real/seed=0/bohb",
        "real/seed=1/bohb",
    ]
    usable = ["lcbench/b", "mine"]
    found = plan.replays(CONFIG, usable, REGISTRY)
    assert [s.file for s in found] == ["tab/lcbench/b/bohb", "tab/lcbench/b/random"]
    assert plan.words([*plan.trainings(CONFIG), *found]).splitlines() == [
        "study real: 2 seeds x 1 optimisers = 2 jobs",
        "study tab: 1 data sets x 2 optimisers = 2 jobs",
    ]


def test_a_tuned_model_is_that_of_its_study() -> None:
    config = {**CONFIG, "studies": ["tune"], "tuned_models": {"cnn_tuned": "tune"}}
    plan.check(config, REGISTRY)
    assert [s.file for s in plan.tunings(config, ["lcbench/a"])] == ["tune/seed=0/bohb"]
    assert plan.tunings(config, ["lcbench/b"]) == []
    assert plan.models_without_study(config, ["lcbench/b"]) == ["cnn_tuned"]
    assert plan.models_without_study(config, ["lcbench/a"]) == []
    assert plan.base_model(config, "cnn_tuned") == "cnn"
    assert plan.base_model(config, "ols") == "ols"
    assert plan.modules_of(plan.definition_of(config, "tune")) == [
        "curvecast.studies.jobs",
        "curvecast.predictors.networks",
        "curvecast.studies.spaces.predictors",
    ]


def test_real_training_leaves_a_collection() -> None:
    found = plan.trained_stanzas(CONFIG, "out/studies")
    assert list(found) == ["trained/real"]
    assert found["trained/real"]["file"] == {"made": "out/studies/real/curves.parquet"}


def test_a_job_knows_its_own_part_of_the_definition() -> None:
    real, tab = (CONFIG["study_definitions"][name] for name in ("real", "tab"))
    assert plan.for_job(real) == {"objective": "training", "task": "digits_mlp"}
    assert plan.for_job(tab, "lcbench/a") == {
        "objective": "recorded",
        "datasets": ["lcbench/a"],
        "seeds": 10,
    }


def test_the_code_behind_a_study_is_its_task_space_and_predictor() -> None:
    definition = CONFIG["study_definitions"]["real"]
    assert plan.modules_of({**definition, "space": "mlp.lcbench", "stopping": {"Delta": 0.9}}) == [
        "curvecast.studies.jobs",
        "curvecast.studies.objectives.digits",
        "curvecast.studies.spaces.mlp",
        "curvecast.predictors.gain_gp",
    ]
    own = {**definition, "task": "mine.tasks:Big", "space": "spaces/big.py:deep"}
    assert plan.modules_of(own) == ["curvecast.studies.jobs"]
    assert plan.files_of(own) == ["spaces/big.py"]
    assert plan.files_of({**definition, "space": "big.json"}) == ["big.json"]
    assert plan.files_of(definition) == []


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (changed(tab={"datasets": ["lcbench/c"]}), "unknown data set 'lcbench/c'"),
        (
            changed(real={"eta": 1}),
            "'real': eta: input should be greater than",
        ),
        (changed(real={"tusk": 1}), "unknown key 'tusk'"),
        (changed(real={"stopping": {"predictor": "olz"}}), "olz"),
        (
            {**CONFIG, "studies": ["tune"], "datasets": ["mine"]},
            "study 'tune' tunes on 'lcbench/a', which is not in datasets",
        ),
        ({**CONFIG, "tuned_models": {"cnn": "tune"}}, "'cnn' is a model already"),
        ({**CONFIG, "tuned_models": {"x": "tune"}}, "'x' needs 'tune' among the studies"),
        ({**CONFIG, "tuned_models": {"x": "tab"}}, "study 'tab' does not tune a predictor"),
        ({**CONFIG, "studies": ["none"]}, "unknown study 'none'"),
        ({**CONFIG, "studies": ["tab", "other"]}, "both have bohb on lcbench/b"),
    ],
)
def test_mistakes_are_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        plan.check(config, REGISTRY)


def test_a_study_with_a_rule_stands_beside_the_one_without() -> None:
    config = changed(other={"stopping": {"Delta": 0.9}})
    plan.check({**config, "studies": ["tab", "other"]}, REGISTRY)
