"""Studies in the workflow: what they leave behind, what a change reruns, and how they go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast import CurveSet
from curvecast.files import read_parquet

from .conftest import Project

FIGURES = (
    "origin", "losses_over_time", "incumbent", "concurrency", "rank_correlation", "importance",
)  # fmt: skip
TOY_FOLLOWS = {
    "runs of study toy as curves",
    "learning curves of study toy",
    "figures of study toy",
    "table of studies",
    "table of effects",
}
TABULAR_FOLLOWS = {
    "table of studies",
    "table of optimisers on recorded curves",
    "figure of regret in study tabular",
}


def evaluations_of(project: Project, path: str) -> pd.DataFrame:
    return read_parquet(project.folder / "out/studies" / path / "evaluations.parquet")[0]


def test_studies_leave_tables_figures_and_curves(finished: Project) -> None:
    out = finished.folder / "out"
    table = pd.read_csv(out / "tables/studies.csv").set_index(["study", "optimizer"])
    assert set(table.index) == {("toy", "bohb"), ("mine", "bohb"), ("mine", "random")}
    assert (table["seeds"] == 2).all()
    toy = table.loc[("toy", "bohb")]
    # One bracket of successive halving: 3 configurations for 1 epoch, 1 of them for 3.
    assert (toy["unique_configurations"], toy["evaluations"]) == (3, 4)
    assert toy["budget_used"] == 3 * 1 + 2
    seeds = [evaluations_of(finished, f"toy/seed={k}/bohb") for k in range(2)]
    tops = [frame.loc[frame["budget"] == 3, "loss"].min() for frame in seeds]
    assert abs(toy["loss"] - sum(tops) / 2) < 1e-5
    curves = CurveSet.from_parquet(out / "studies/toy/curves.parquet")
    assert (curves.name, len(curves)) == ("trained/toy", 6)
    regret = pd.read_csv(out / "tables/study_regret.csv")
    assert regret["share"].max() == 1
    comparison = pd.read_csv(out / "tables/study_comparison.csv")
    assert comparison[["optimizer", "other"]].to_numpy().tolist() == [["bohb", "random"]]
    toys = (f"toy/{figure}" for figure in (*FIGURES, "learning_curves"))
    for name in (*toys, "tabular/regret"):
        assert (out / f"figures/studies/{name}.svg").read_bytes().startswith(b"<?xml")
        assert (out / f"figures/studies/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_one_study_changes_and_no_other(project: Project) -> None:
    project.edit("tiny.yaml", "total_budget: 60", "total_budget: 70")
    searches = {f"{o} of study tabular on mine" for o in ("bohb", "random")}
    assert project.planned() == searches | TABULAR_FOLLOWS
    project.edit("tiny.yaml", "total_budget: 70", "total_budget: 60")
    project.edit("tiny.yaml", "iterations: 1", "iterations: 2")
    searches = {f"bohb of study toy, seed {seed}" for seed in range(2)}
    assert project.planned() == searches | TOY_FOLLOWS


def test_a_further_seed_or_optimiser_reruns_no_other(project: Project) -> None:
    project.edit("tiny.yaml", "workers: 0\n    seeds: 2", "workers: 0\n    seeds: 3")
    assert project.planned() == {"bohb of study toy, seed 2"} | TOY_FOLLOWS
    project.edit("tiny.yaml", "workers: 0\n    seeds: 3", "workers: 0\n    seeds: 2")
    project.edit("tiny.yaml", "optimizers: [bohb, random]", "optimizers: [bohb, hyperband, random]")
    assert project.planned() == {"hyperband of study tabular on mine"} | TABULAR_FOLLOWS


def test_a_longer_study_goes_on_where_its_log_ends(project: Project) -> None:
    before = evaluations_of(project, "toy/seed=0/bohb")
    project.edit("tiny.yaml", "iterations: 1", "iterations: 2")
    project.run(str(Path("out/studies/toy/seed=0/bohb/evaluations.parquet")))
    after = evaluations_of(project, "toy/seed=0/bohb")
    assert len(after) == len(before) + 2
    pd.testing.assert_frame_equal(after.iloc[: len(before)], before)


def test_a_study_without_a_definition_is_named(project: Project) -> None:
    project.edit("tiny.yaml", "studies: [toy, tabular]", "studies: [toi]")
    done = project.snakemake("--cores", "1", "--dry-run")
    assert done.returncode != 0
    assert "unknown study 'toi'" in done.stdout + done.stderr


TUNE = """  tune:
    objective: prediction
    model: cnn
    dataset: mine
    space: predictors.cnn
    fixed: {members: 2}
    parts: {n_train: 30, n_validation: 10, n_test: 10, tau: 3}
    max_budget: 3
    iterations: 1
    workers: 0
"""
TUNED = "tuned_models: {cnn_tuned: tune}\n"


def test_a_tuned_model_waits_for_its_study_and_reruns_no_other(project: Project) -> None:
    project.edit("tiny.yaml", "studies: [toy, tabular]", "studies: [toy, tabular, tune]")
    project.edit("tiny.yaml", "  tabular:\n", TUNE + "  tabular:\n")
    project.edit("tiny.yaml", "models: [ols,", TUNED + "models: [ols, cnn_tuned,")
    planned = project.planned()
    assert {
        "bohb of study tune, seed 0",
        "incumbent of study tune",
        "tuned against untuned predictor of study tune",
        "table of tuned predictors",
        "cnn_tuned on mine",
    } <= planned
    assert not {"ols on mine", "bohb of study toy, seed 0", "curves of mine"} & planned
    out = project.folder / "out"
    wanted = ["predictions/mine/cnn_tuned.parquet", "tables/tuning.md", "tables/studies.csv"]
    project.run(*(f"out/{name}" for name in wanted))
    found = json.loads((out / "studies/tune/incumbent.json").read_text(encoding="utf-8"))
    assert found["options"] == {"members": 2, "epochs": 3, **found["config"]}
    table = pd.read_csv(out / "tables/tuning.csv")
    ours = table[table["study"] == "tune"]
    assert ours["variant"].tolist() == ["untuned", "tuned", "untuned", "tuned"]
    assert ours["epochs"].tolist() == [60, 60, 3, 3]
    assert "Singh poster" in set(table["study"])
    assert "tune" in set(pd.read_csv(out / "tables/studies.csv")["study"])
    project.edit("tiny.yaml", "fixed: {members: 2}", "fixed: {members: 3}")
    planned = project.planned("out/predictions/mine/cnn_tuned.parquet")
    assert planned == {"bohb of study tune, seed 0", "incumbent of study tune", "cnn_tuned on mine"}


def test_the_runs_of_a_study_are_a_data_set(project: Project) -> None:
    project.edit("tiny.yaml", "datasets: [mine]", "datasets: [mine, trained/toy]")
    project.edit("tiny.yaml", "iterations: 1", "iterations: 6")
    project.edit("tiny.yaml", "n_train: 30", "n_train: 6")
    project.run("out/scores/trained/toy.parquet")
    curves = CurveSet.from_parquet(project.folder / "out/curves/trained/toy.parquet")
    # Six brackets of each seed train 1, 2, 1, 2, 1 and 2 networks to the end.
    assert len(curves) == 2 * 9
    assert np.isfinite(curves.final).all()
    scores = read_parquet(project.folder / "out/scores/trained/toy.parquet")[0]
    # The two repeats train on 6 runs each, share none, and are tested on the other 6.
    assert (scores["n_test"] == 6).all()
