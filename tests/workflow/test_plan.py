"""Plans of runs: jobs, their cells, early stopping, and mistakes in the configuration."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from curvecast import DataError
from curvecast.benchmark.task_a import Variant
from curvecast.data.registry import load_registry
from curvecast.predictors import make_predictor
from curvecast.workflow.plan import Plan

from .conftest import ROOT
from .planning import cell, merged, plan_of

NAMES = ["baker/a", "baker/b", "lcbench/c", "mine"]
CONFIG: dict[str, Any] = {
    "ablation": {"datasets": ["baker/*"], "models": ["ols"]},
    "depth": {"datasets": ["baker/b"], "models": ["ols"]},
    "saved_models": {"datasets": ["baker/*"], "models": ["ols", "nusvr_rbf"]},
}
STOPPING: dict[str, Any] = {"datasets": ["baker/*", "lcbench/c"]}


def planned(changes: dict[str, Any], usable: list[str] | None = None) -> Plan:
    return plan_of(NAMES, merged(CONFIG, changes), usable)


def test_jobs_are_models_times_data_sets_then_the_experiments() -> None:
    plan = planned({}, ["baker/b", "mine"])
    assert [job.file for job in plan.jobs] == [
        "baker/b/ols",
        "baker/b/nusvr_rbf",
        "mine/ols",
        "mine/nusvr_rbf",
        "baker/b/ols.ablation",
        "baker/b/ols.depth",
    ]
    assert plan.experiments == ["ablation", "depth"]
    assert plan.scores() == ["out/scores/baker/b.parquet", "out/scores/mine.parquet"]
    assert plan.scores("ablation") == ["out/scores/baker/b.ablation.parquet"]
    assert plan.scores(collection="mine") == ["out/scores/mine.parquet"]
    assert plan.scored("ablation") == {
        "scores": ["out/scores/baker/b.ablation.parquet"],
        "draws": ["out/draws/baker/b.ablation.parquet"],
    }
    assert plan.timings()[-1] == "out/timings/baker/b/ols.depth.csv"
    assert plan.models_on(cell(dataset="mine", experiment="")) == ["nusvr_rbf", "ols"]
    predictions = plan.predictions(cell(dataset="baker/b", experiment=".depth"))
    assert predictions == ["out/predictions/baker/b/ols.depth.parquet"]


def test_all_models_of_the_run_can_get_all_sizes() -> None:
    sizes = {"datasets": ["*"], "models": ["*"], "fractions": [0.25], "n_train": [0, 10]}
    plan = planned({"training_size": sizes}, ["mine"])
    files = [job.file for job in plan.jobs if job.experiment == "training_size"]
    assert files == ["mine/ols.training_size", "mine/nusvr_rbf.training_size"]
    cells = plan.cells(cell(experiment=".training_size"))
    assert (cells["n_train"], cells["reserve"]) == ([0, 10], 100)
    plan = planned({"training_size": {**sizes, "models": ["*", "ols", "gp"]}}, ["mine"])
    models = [job.model for job in plan.jobs if job.experiment == "training_size"]
    assert models == ["ols", "nusvr_rbf", "gp"]
    with pytest.raises(DataError, match="1 training run has no spread"):
        planned({"training_size": {**sizes, "n_train": [0, 1]}})


@pytest.mark.parametrize("values", [{"thresholds": []}, {"models": []}, {"datasets": []}])
def test_an_empty_list_turns_an_experiment_off(values: dict[str, Any]) -> None:
    assert planned({"depth": values}).experiments == ["ablation"]


def test_cells_of_an_experiment_depend_on_its_section_and_the_repeats_alone() -> None:
    main, depth, ablation = (cell(experiment=name) for name in ("", ".depth", ".ablation"))
    plan = planned({})
    assert plan.cells(main) == {
        "n_train": [100],
        "repeats": [0, 1, 2, 3, 4],
        "fractions": [0.25, 0.5],
        "of": 5,
        "taus": [],
    }
    assert plan.cells(depth) == {
        "n_train": [50],
        "repeats": [0, 1, 2, 3, 4],
        "fractions": [0.25],
        "of": 5,
        "depths": [32, 62],
    }
    assert plan.grid(main) == {"fractions": [0.25, 0.5], "epochs": []}
    job = cell(dataset="baker/b", model="ols", experiment=".depth")
    assert plan.training(job) == {
        "model": "ols",
        "options": {},
        "cells": plan.cells(depth),
        "depth_column": "ap_depth",
    }
    job.experiment = ""
    assert plan.training(job)["depth_column"] == ""
    assert plan.training_inputs(job) == {
        "curves": "out/curves/baker/b.parquet",
        "features": "out/features/baker/b",
        "incumbent": [],
        "code": ["out/code/benchmark.cells+predictors.linear.txt"],
    }
    other = planned({"ablation": {"features": ["TS"]}})
    assert other.cells(main) == plan.cells(main)
    assert other.cells(ablation) != plan.cells(ablation)


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_parts_are_the_repeats_in_order_once(parts: int) -> None:
    plan = planned({"parts": parts})
    shares = [
        plan.cells(cell(experiment="", scatteritem=f"{part}-of-{parts}"))["repeats"]
        for part in range(1, parts + 1)
    ]
    assert [repeat for share in shares for repeat in share] == [0, 1, 2, 3, 4]
    assert all(shares)


def test_the_text_multiplies_out_each_experiment() -> None:
    text = planned({"stopping": STOPPING}, ["baker/a", "baker/b", "mine"]).text()
    assert text.splitlines()[1:] == [
        "main: 3 data sets x 2 models x 2 fractions x 5 repeats = 60 cells",
        "ablation: 2 data sets x 1 models x 1 fractions x 2 features x 5 repeats = 20 cells",
        "depth: 1 data sets x 1 models x 1 fractions x 2 depths x 5 repeats = 10 cells",
        "early stopping: 2 data sets, 10 jobs (4 sequential, 2 hyperband, 2 online, 2 rules)",
    ]


def test_headline_fraction_is_the_one_next_to_a_quarter() -> None:
    assert planned({}).headline_fraction == 0.25
    fractions = {"protocol": {"fractions": [0.8, 0.3, 0.2, 0.25]}}
    assert planned(fractions).headline_fraction == 0.25
    off = {"ablation": {"models": []}, "depth": {"models": []}}
    assert planned({"protocol": {"fractions": [0.8, 0.3, 0.2]}, **off}).headline_fraction == 0.2


def test_ranks_are_compared_in_collections_of_five_sets() -> None:
    names = ["baker/a", *(f"lcbench/{k}" for k in range(6))]
    assert plan_of(names, {}).ranked_collections == ["lcbench"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_options": {"olz": {}}}, "unknown model 'olz'"),
        ({"ablation": {"models": ["olz"]}}, "unknown model 'olz'"),
        ({"saved_models": {"models": ["olz"]}}, "unknown model 'olz'"),
        ({"depth": {"datasets": ["baker/c"]}}, "unknown data set 'baker/c'"),
        ({"ablation": {"fractions": [0.3]}}, r"ablation\.fractions has 0\.3"),
        ({"parts": 6}, "parts is 6, there are only 5 repeats"),
        ({"stopping": {"datasets": ["bakr/*"]}}, r"unknown data set 'bakr/\*'"),
        ({"stopping": {**STOPPING, "predictors": ["lcee"]}}, "unknown model 'lcee'"),
        ({"stopping": {"overrides": {"lcbench/e": {}}}}, "unknown data set 'lcbench/e'"),
        ({"stopping": {"overrides": {"baker/*": {"predictors": ["x"]}}}}, "unknown model 'x'"),
        (
            {"stopping": {**STOPPING, "overrides": {"baker/b": {"hyperband": {"settled": 40}}}}},
            "settled is 40, there are only 40 Hyperbands",
        ),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        planned(changes)


def test_saved_models_are_those_of_usable_data_sets() -> None:
    assert planned({}, ["mine", "baker/b"]).saved_models() == [
        "out/models/baker/b/ols.safetensors",
        "out/models/baker/b/nusvr_rbf.safetensors",
    ]


def test_variants_of_a_model_change_only_what_they_name() -> None:
    plan = planned(
        {
            "model_options": {"ols": {"target": "gain"}},
            "task_a": {
                "datasets": ["mine"],
                "models": ["ols", "ridge"],
                "variants": [
                    {"name": "few", "train": 20},
                    {"name": "level", "models": ["ols"], "options": {"target": "level"}},
                ],
            },
        }
    )
    assert plan.task_a == [("mine", "ols"), ("mine", "ridge")]
    assert plan.timings()[-1] == "out/timings/mine/ridge.task_a.csv"
    ols = [Variant(**v) for v in plan.variants(cell(model="ols"))]
    assert [v.name for v in ols] == ["", "few", "level"]
    assert [(v.train, v.test_from) for v in ols] == [(30, 40), (20, 40), (30, 40)]
    targets = [v.options["target"] for v in ols]
    assert targets == ["gain", "gain", "level"]
    assert [v["name"] for v in plan.variants(cell(model="ridge"))] == ["", "few"]


def test_the_run_of_task_a_asks_for_what_there_is() -> None:
    given = yaml.safe_load((ROOT / "config/task_a.yaml").read_text(encoding="utf-8"))
    registry = load_registry(given["dataset_definitions"])
    assert set(given["task_a"]["datasets"]) <= set(registry)
    assert registry["task_a/gradients"]["dataset"] == "Fashion-MNIST"
    assert len(registry["task_a/gradients"]["series"]) > 0
    wanted = {key: given[key] for key in ("task_a", "model_options") if key in given}
    plan = plan_of(given["task_a"]["datasets"], wanted)
    for model in given["task_a"]["models"]:
        for arguments in plan.variants(cell(model=model)):
            asked = Variant(**arguments)
            assert asked.train + asked.validation <= asked.test_from == 1500
            assert make_predictor(model, **asked.options).seed == 0
    names = {variant["name"] for variant in plan.variants(cell(model="cnn"))}
    assert names == {"", *(variant["name"] for variant in given["task_a"]["variants"])}


def test_a_file_of_the_repository_that_is_gone_is_named() -> None:
    plan = planned({})
    assert len(plan.repository("resources/published/*_r2.csv")) > 1
    with pytest.raises(DataError, match=r"file src/gone\.html: no such file in the repository"):
        plan.repository("src/gone.html")


# --- early stopping -----------------------------------------------------------------------------


def test_searches_of_the_data_sets_at_hand() -> None:
    plan = planned({"stopping": STOPPING}, ["baker/b", "lcbench/c", "mine"])
    assert [job.folder for job in plan.stopping if job.dataset == "baker/b"] == [
        "baker/b/sequential/last_value",
        "baker/b/sequential/gain_gp",
        "baker/b/hyperband/gain_gp",
        "baker/b/online",
        "baker/b/rules",
    ]
    assert {job.dataset for job in plan.stopping} == {"baker/b", "lcbench/c"}
    searches = ("sequential", "hyperband", "online")
    assert plan.stopping_files("timings.csv", *searches, subject="lcbench") == [
        "out/stopping/lcbench/c/sequential/last_value/timings.csv",
        "out/stopping/lcbench/c/sequential/gain_gp/timings.csv",
        "out/stopping/lcbench/c/hyperband/gain_gp/timings.csv",
        "out/stopping/lcbench/c/online/timings.csv",
    ]
    assert plan.stopping_files("ends.parquet", "rules", subject="baker/b") == [
        "out/stopping/baker/b/rules/ends.parquet"
    ]
    assert planned({"stopping": {"datasets": []}}).stopping == []


def told(plan: Plan, search: str, dataset: str) -> dict[str, Any]:
    return plan.search_arguments(search)(cell(dataset=dataset))["plan"]


def test_overrides_change_only_what_they_name_and_the_later_one_counts() -> None:
    overrides = {
        "lcbench/*": {"every_epoch_up_to": 0, "hyperband": {"deltas": [0.9], "budget": 27}},
        "lcbench/c": {"hyperband": {"budget": 9}, "online": {"run": False}},
    }
    plan, plain = planned({"stopping": {**STOPPING, "overrides": overrides}}), planned({})
    assert told(plan, "sequential", "baker/a") == told(plain, "sequential", "baker/a")
    assert told(plan, "sequential", "lcbench/d")["every_epoch_up_to"] == 0
    hyperband = told(plan, "hyperband", "lcbench/c")
    assert (hyperband["budget"], hyperband["deltas"], hyperband["eta"]) == (9, [0.9], 3)
    assert told(plan, "hyperband", "lcbench/d")["budget"] == 27
    searches = {job.search for job in plan.stopping if job.dataset == "lcbench/c"}
    assert searches == {"sequential", "hyperband", "rules"}


def test_a_job_of_a_search_gets_only_what_concerns_it() -> None:
    plain = planned({})
    other = planned({"stopping": {"predictors": ["lce"], "online": {"run": False}}})
    for search in ("sequential", "hyperband"):
        assert told(other, search, "lcbench/c") == told(plain, search, "lcbench/c")
    deltas = planned({"stopping": {"deltas": [0.5]}})
    for search in ("rules", "online"):
        assert told(deltas, search, "baker/a") == told(plain, search, "baker/a")


def test_the_code_of_a_job_is_its_search_and_its_model_with_its_weights() -> None:
    plan = planned({"model_options": {"pfn": {"weights": "own.safetensors"}}})
    code = plan.with_model("curvecast.stopping.sequential")
    ols, pfn = (f"out/code/stopping.sequential+predictors.{m}.txt" for m in ("linear", "pfn"))
    assert code(cell(dataset="mine", model="ols")) == [ols]
    assert code(cell(dataset="mine", model="pfn")) == [pfn, "own.safetensors"]
    assert code(cell(dataset="mine")) == ["out/code/stopping.sequential.txt"]
