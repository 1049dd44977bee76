"""What a configuration asks for: jobs, their cells, and mistakes that the schema cannot see."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from curvecast import DataError
from curvecast.workflow import plan

REGISTRY = {name: {"kind": "curves"} for name in ("baker/a", "baker/b", "mine")}
CONFIG: dict[str, Any] = {
    "models": ["ols", "nusvr_rbf"],
    "tuned_models": {"cnn_tuned": "tune"},
    "model_options": {},
    "protocol": {"fractions": [0.25, 0.5], "taus": [], "n_train": 100, "repeats": 5},
    "ablation": {
        "datasets": ["baker/*"],
        "models": ["ols"],
        "fractions": [0.25],
        "features": ["TS", "TS+HP"],
    },
    "training_size": None,
    "depth": {
        "datasets": ["baker/b"],
        "models": ["ols"],
        "fractions": [0.25],
        "thresholds": [32, 62],
        "n_train": 50,
    },
    "saved_models": {"datasets": ["baker/*"], "models": ["ols", "cnn_tuned"]},
    "parts": 1,
}


def changed(section: str, **values: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    config[section] |= values
    return config


def test_a_tuned_model_is_a_model_until_it_is_left_out() -> None:
    config = {**CONFIG, "models": ["ols", "cnn_tuned"]}
    plan.check(config, REGISTRY)
    assert "mine/cnn_tuned" in [job.file for job in plan.jobs(config, ["mine"], REGISTRY)]
    jobs = plan.jobs(config, ["mine"], REGISTRY, left_out=["cnn_tuned"])
    assert [job.file for job in jobs] == ["mine/ols"]


def test_jobs_are_models_times_data_sets_then_the_experiments() -> None:
    jobs = plan.jobs(CONFIG, ["baker/b", "mine"], REGISTRY)
    assert [job.file for job in jobs] == [
        "baker/b/ols",
        "baker/b/nusvr_rbf",
        "mine/ols",
        "mine/nusvr_rbf",
        "baker/b/ols.ablation",
        "baker/b/ols.depth",
    ]


@pytest.mark.parametrize(
    ("section", "values"),
    [("depth", {"thresholds": []}), ("depth", {"models": []}), ("depth", {"datasets": []})],
)
def test_an_empty_list_turns_an_experiment_off(section: str, values: dict[str, Any]) -> None:
    jobs = plan.jobs(changed(section, **values), ["baker/b"], REGISTRY)
    assert {job.experiment for job in jobs} == {"main", "ablation"}


def test_cells_of_an_experiment_depend_on_its_section_and_the_repeats_alone() -> None:
    assert plan.cells_of(CONFIG, "main") == {
        "n_train": [100],
        "repeats": [0, 1, 2, 3, 4],
        "fractions": [0.25, 0.5],
        "taus": [],
    }
    assert plan.cells_of(CONFIG, "depth") == {
        "n_train": [50],
        "repeats": [0, 1, 2, 3, 4],
        "fractions": [0.25],
        "depths": [32, 62],
    }
    other = changed("ablation", features=["TS"])
    assert plan.cells_of(other, "main") == plan.cells_of(CONFIG, "main")
    assert plan.cells_of(other, "ablation") != plan.cells_of(CONFIG, "ablation")


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_parts_are_the_repeats_in_order_once(parts: int) -> None:
    cells = plan.cells_of(CONFIG, "main")
    shares = [plan.part_of(cells, part, parts)["repeats"] for part in range(1, parts + 1)]
    assert [repeat for share in shares for repeat in share] == [0, 1, 2, 3, 4]
    assert all(shares)


def test_words_multiply_out_each_experiment() -> None:
    jobs = plan.jobs(CONFIG, ["baker/a", "baker/b", "mine"], REGISTRY)
    assert plan.words(CONFIG, jobs).splitlines() == [
        "main: 3 data sets x 2 models x 2 fractions x 5 repeats = 60 cells",
        "ablation: 2 data sets x 1 models x 1 fractions x 2 features x 5 repeats = 20 cells",
        "depth: 1 data sets x 1 models x 1 fractions x 2 depths x 5 repeats = 10 cells",
    ]


def test_headline_fraction_is_the_one_next_to_a_quarter() -> None:
    assert plan.headline_fraction(CONFIG) == 0.25
    assert plan.headline_fraction(changed("protocol", fractions=[0.8, 0.3, 0.2])) == 0.2


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (changed("model_options", olz={}), "unknown model 'olz'"),
        (changed("ablation", models=["olz"]), "unknown model 'olz'"),
        (changed("depth", datasets=["baker/c"]), "unknown data set 'baker/c'"),
        (changed("ablation", fractions=[0.3]), r"ablation\.fractions has 0\.3"),
        ({**CONFIG, "parts": 6}, "parts is 6, there are only 5 repeats"),
    ],
)
def test_mistakes_are_named(config: dict[str, Any], said: str) -> None:
    plan.check(CONFIG, REGISTRY)
    with pytest.raises(DataError, match=said):
        plan.check(config, REGISTRY)


def test_models_to_keep_are_those_of_usable_data_sets() -> None:
    usable = ["mine", "baker/b"]
    assert plan.saved_models(CONFIG, usable, REGISTRY) == [
        ("baker/b", "ols"),
        ("baker/b", "cnn_tuned"),
    ]
    kept = plan.saved_models(CONFIG, usable, REGISTRY, left_out=["cnn_tuned"])
    assert kept == [("baker/b", "ols")]
    with pytest.raises(DataError, match="unknown model 'olz'"):
        plan.check(changed("saved_models", models=["olz"]), REGISTRY)


def test_columns_of_a_stanza() -> None:
    stanza = {"curve_columns": "acc_{epoch}", "first_epoch": 1, "reader": "baker"}
    assert plan.columns_of(stanza) == {"curve_columns": "acc_{epoch}", "first_epoch": 1}
    assert plan.columns_of({"reader": "lcbench"}) == {}
