"""Studies in the workflow: what they leave behind, what a change reruns, and how they go on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from curvecast import CurveSet
from curvecast.curves import read_parquet
from curvecast.studies.plan import TRAINING_FIGURES

from .conftest import Project

TOY_FOLLOWS = {"runs of study toy as curves", "figures of study toy", "table of studies"}
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
    for name in (*(f"toy/{figure}" for figure in TRAINING_FIGURES), "tabular/regret"):
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
