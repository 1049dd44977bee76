"""Plans of studies and networks: their jobs and files, what each job gets, and mistakes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pandas as pd
import pytest
import yaml

from curvecast import DataError
from curvecast.data.registry import load_registry
from curvecast.workflow.plan import Plan
from curvecast.workflow.plan_studies import modules, own_files, trained_stanzas

from .conftest import ROOT
from .planning import cell, merged, plan_of

NAMES = ["lcbench/a", "lcbench/b", "mine"]
STUDIES: dict[str, Any] = {
    "datasets": ["lcbench/*"],
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
NETWORKS: dict[str, Any] = {
    "studies": ["s", "t"],
    "study_definitions": {
        "s": {"objective": "training", "task": "images", "data": "task/usps",
              "task_options": {"n_epochs": 4, "shift": 1}},
        "t": {"objective": "training", "task": "images", "data": "task/kmnist10k",
              "configuration_of": "s"},
    },
    "networks": ["best", "moved", "given"],
    "network_definitions": {
        "best": {"study": "s", "task_options": {"n_epochs": 9}, "repeats": 2},
        "moved": {"study": "t", "weights": "best"},
        "given": {"task": "images", "configuration": "kuzushiji.DEFAULT"},
    },
}  # fmt: skip
TASKS = ["task/usps", "task/kmnist10k"]
TUNED = {"studies": ["tune"], "tuned_models": {"cnn_tuned": "tune"}}


def planned(changes: dict[str, Any], usable: Collection[str] | None = None) -> Plan:
    return plan_of(NAMES, merged(STUDIES, changes), usable)


def with_networks(changes: dict[str, Any], tasks: Collection[str] = TASKS) -> Plan:
    return plan_of(NAMES, merged(NETWORKS, changes), tasks=tasks)


def test_jobs_are_seeds_of_training_and_data_sets_of_replays() -> None:
    studies = planned({}, ["lcbench/b", "mine"]).studies
    assert [search.folder for search in studies.searches] == [
        "real/seed=0/bohb",
        "real/seed=1/bohb",
        "tab/lcbench/b/bohb",
        "tab/lcbench/b/random",
    ]
    assert studies.text([]).splitlines() == [
        "study real: 2 seeds x 1 optimisers = 2 jobs",
        "study tab: 1 data sets x 2 optimisers = 2 jobs",
    ]
    assert studies.files("curves", "training") == [
        f"out/studies/real/seed={seed}/bohb/curves.parquet" for seed in range(2)
    ]
    assert len(studies.files("evaluations")) == 4
    assert studies.of("training", "prediction") == ["real"]
    assert studies.inputs(cell(study="tab", dataset="lcbench/b"))["curves"] == (
        "out/curves/lcbench/b.parquet"
    )


def test_a_tuned_model_is_that_of_its_study() -> None:
    models = {**TUNED, "models": ["ols", "cnn_tuned"]}
    plan = planned(models, ["lcbench/a"])
    tuned = cell(dataset="lcbench/a", model="cnn_tuned")
    assert [search.folder for search in plan.studies.searches] == ["tune/seed=0/bohb"]
    assert (plan.base_model(tuned), plan.base_model(cell(model="ols"))) == ("cnn", "ols")
    assert plan.incumbent(tuned) == ["out/studies/tune/incumbent.json"]
    (code,) = plan.with_model("curvecast.benchmark.cells")(tuned)
    assert code.endswith("cells+predictors.networks+studies.incumbent.txt")
    assert plan.studies.inputs(cell(study="tune", seed="0"))["curves"] == (
        "out/curves/lcbench/a.parquet"
    )
    assert modules(plan.studies.definition("tune"), "bohb") == [
        "curvecast.studies.jobs",
        "curvecast.studies.samplers.bohb",
        "curvecast.predictors.networks",
        "curvecast.studies.spaces.predictors",
    ]
    assert plan.models == ["ols", "cnn_tuned"]


def test_a_tuned_model_is_left_out_without_the_data_of_its_study() -> None:
    models = {**TUNED, "models": ["ols", "cnn_tuned"]}
    plan = planned(models, ["lcbench/b"])
    assert plan.untuned == ["cnn_tuned"]
    assert plan.studies.searches == []
    assert [job.file for job in plan.jobs] == ["lcbench/b/ols"]
    assert plan.text().endswith("LEFT OUT, because their studies lack data: cnn_tuned")


def test_real_training_leaves_a_collection() -> None:
    stanza = trained_stanzas(planned({}).config)["trained/real"]
    assert stanza["file"] == {"made": "out/studies/real/curves.parquet"}
    assert list(trained_stanzas(planned(TUNED).config)) == []


def test_a_job_gets_its_own_part_of_the_definition() -> None:
    studies = planned({}).studies
    real = studies.for_job(cell(study="real", seed="0", optimizer="bohb"))
    assert real == {"objective": "training", "task": "digits_mlp"}
    assert studies.for_job(cell(study="tab", dataset="lcbench/a", optimizer="bohb")) == {
        "objective": "recorded",
        "datasets": ["lcbench/a"],
        "seeds": 10,
    }


@pytest.mark.parametrize(("more", "threads"), [({}, 4), ({"ray": {"address": "auto"}}, 1)])
def test_a_job_takes_a_core_per_worker_of_its_machine(more: dict[str, Any], threads: int) -> None:
    definition = {**STUDIES["study_definitions"]["real"], "workers": 4, **more}
    studies = planned({"study_definitions": {"real": definition}}).studies
    assert studies.threads(cell(study="real", seed="0", optimizer="bohb")) == threads


def test_the_code_behind_a_study_is_its_task_space_and_predictor() -> None:
    definition = STUDIES["study_definitions"]["real"]
    changed = {**definition, "space": "mlp.lcbench", "stopping": {"Delta": 0.9}}
    assert modules(changed, "bohb") == [
        "curvecast.studies.jobs",
        "curvecast.studies.samplers.bohb",
        "curvecast.studies.objectives.digits",
        "curvecast.studies.spaces.mlp",
        "curvecast.predictors.gain_gp",
    ]
    own = {**definition, "task": "mine.tasks:Big", "space": "spaces/big.py:deep"}
    assert modules(own)[2:] == []
    assert own_files(own) == ["spaces/big.py"]
    assert own_files({**definition, "space": "big.json"}) == ["big.json"]
    assert own_files(definition) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study_definitions": {"tab": {"datasets": ["lcbench/c"]}}}, "unknown data set"),
        ({"study_definitions": {"real": {"eta": 1}}}, "eta"),
        ({"study_definitions": {"real": {"tusk": 1}}}, "'?tusk'?"),
        ({"study_definitions": {"real": {"stopping": {"predictor": "olz"}}}}, "olz"),
        (
            {"studies": ["tune"], "datasets": ["mine"]},
            "study 'tune' tunes on 'lcbench/a', which is not in datasets",
        ),
        ({"tuned_models": {"cnn": "tune"}}, "'cnn' is a model already"),
        ({"tuned_models": {"x": "tune"}}, "'x' needs 'tune' among the studies"),
        ({"tuned_models": {"x": "tab"}}, "study 'tab' does not tune a predictor"),
        ({"studies": ["none"]}, "unknown study 'none'"),
        ({"studies": ["tab", "other"]}, "both have bohb on lcbench/b"),
        (
            {"study_definitions": {"tab": {"optimizers": ["bohb", "random", "bohb"]}}},
            "study 'tab' has bohb on lcbench/a twice",
        ),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        planned(changes)


def test_a_study_with_a_rule_stands_beside_the_one_without() -> None:
    planned(
        {
            "studies": ["tab", "other"],
            "study_definitions": {"other": {"stopping": {"Delta": 0.9}}},
        }
    )


# --- networks -----------------------------------------------------------------------------------


def test_a_network_inherits_from_its_study() -> None:
    plan = with_networks({})
    best = plan.studies.network("best")
    assert best["task_options"] == {"n_epochs": 9, "shift": 1}
    assert (best["task"], best["data"]) == ("images", "task/usps")
    assert plan.studies.task_data() == sorted(TASKS)
    assert plan.studies.trainings == [("best", 0), ("best", 1), ("moved", 0), ("given", 0)]
    assert plan.studies.network_files("scores.csv", "given") == [
        "out/networks/given/repeat=0/scores.csv"
    ]
    inputs = plan.studies.network_inputs(cell(network="moved", repeat="0"))
    assert inputs["weights"] == "out/networks/best/repeat=0/weights.safetensors"
    assert inputs["study"] == ["out/studies/t/seed=0/bohb/evaluations.parquet"]
    assert inputs["source"] == ["out/studies/s/seed=0/bohb/evaluations.parquet"]
    source = plan.studies.inputs(cell(study="t", seed="0", optimizer="bohb"))["source"]
    assert source == inputs["source"]


def test_every_seed_of_a_study_has_an_incumbent_that_is_trained() -> None:
    plan = with_networks({"study_definitions": {"s": {"seeds": 3}}})
    assert [r for name, r in plan.studies.trainings if name == "best"] == list(range(6))
    assert plan.studies.notes()["best"]["study_seeds"] == 3
    inputs = plan.studies.network_inputs(cell(network="best", repeat="4"))
    assert inputs["study"] == ["out/studies/s/seed=1/bohb/evaluations.parquet"]


def test_what_cannot_be_had_is_left_out() -> None:
    plan = with_networks({}, ["task/usps"])
    assert plan.left_out == plan.not_run == ["t", "moved"]
    assert with_networks({}, ["task/kmnist10k"]).left_out == ["s", "t", "best", "moved"]
    plan = with_networks({}, [])
    assert plan.studies.trainings == [("given", 0)]
    plan = plan_of(["embedded/a", "trained/s"], NETWORKS)
    assert plan.usable == ["embedded/a"]
    assert plan.data.left_out == {"trained/s": []}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": "s", "speed": 1}, "'?speed'?"),
        ({"task": "images"}, "either a study or a configuration"),
        ({"study": "s", "weights": "none"}, "unknown network 'none'"),
        ({"study": "u"}, "unknown study 'u'"),
    ],
)
def test_wrong_definitions_of_networks_are_named(change: dict[str, Any], message: str) -> None:
    definitions = {**NETWORKS["network_definitions"], "best": change}
    with pytest.raises(DataError, match=message):
        plan_of(NAMES, {**NETWORKS, "network_definitions": definitions})


def test_data_of_a_study_that_nobody_knows_are_named() -> None:
    definitions = {"s": {**NETWORKS["study_definitions"]["s"], "data": "task/none"}}
    with pytest.raises(DataError, match="unknown data 'task/none'"):
        with_networks({"study_definitions": definitions})


@pytest.mark.parametrize("name", ["tasks", "kuzushiji"])
def test_the_configurations_of_the_repository_are_complete(name: str) -> None:
    given = yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8"))
    wanted = ("studies", "study_definitions", "networks", "network_definitions")
    tasks = [name for name, stanza in load_registry().items() if stanza["kind"] == "task"]
    plan = plan_of(NAMES, {key: given[key] for key in wanted}, tasks=tasks)
    assert plan.left_out == []
    notes = plan.studies.notes()
    assert set(notes) == set(given["networks"]) == set(given["network_definitions"])
    files = ("kuzushiji_accuracy", "sikorskyi_networks")
    published = pd.concat(pd.read_csv(ROOT / f"resources/published/{file}.csv") for file in files)
    rows = set(published["dataset"] + ": " + published["what"])
    assert {note["published"] for note in notes.values() if "published" in note} <= rows
