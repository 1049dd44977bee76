"""Early stopping in the workflow: what it leaves behind, and what a change reruns."""

from __future__ import annotations

import pandas as pd

from curvecast.stopping.hyperband import DEFAULT_HYPERBAND

from .conftest import Project

FIGURES = ("tradeoff", "best_value", "reliability")
SEQUENTIAL_FOLLOWS = {
    "speedups of the sequential search",
    "seconds of early stopping",
    "figures of early stopping on mine",
    "figure of the runs stopped on mine",
}
HYPERBAND_FOLLOWS = {
    "speedups of the hyperband search",
    "seconds of early stopping",
    "figure of f-Hyperband on mine",
}


def test_speedups_are_shown_with_their_losses(finished: Project) -> None:
    out = finished.folder / "out"
    table = pd.read_csv(out / "tables/speedup_sequential.csv")
    assert set(table["dataset"]) == {"mine"}
    rows = table.set_index(["predictor", "setting"])
    assert set(rows.index) == {
        ("last_value", "baker"),
        ("gain_gp", "online"),
        ("median", "vizier"),
        ("successive_halving", "eta=3"),
        ("patience", "2 epochs"),
        ("oracle", "limit"),
        ("none", "never stop"),
    }
    assert rows.index[rows["default"]].tolist() == [("gain_gp", "online")]
    assert rows.loc[("none", "never stop"), ["speedup", "regret_mean"]].tolist() == [1, 0]
    losses = ["recovered_share", "regret_mean", "oracle_bound"]
    assert rows[losses].notna().all(axis=None)
    hyperband = pd.read_csv(out / "tables/speedup_hyperband.csv")
    keys = hyperband[["predictor", "setting", "delta", "default", "window"]]
    assert set(keys.itertuples(index=False, name=None)) == {
        ("last_value", setting, delta, False, window)
        for setting, delta in (
            ("kappa=1", 0.8),
            (DEFAULT_HYPERBAND.name, DEFAULT_HYPERBAND.delta),
        )
        for window in ("all", "settled")
    }
    assert hyperband[["loss_mean", "share_of_bound"]].notna().all(axis=None)
    seconds = pd.read_csv(out / "stopping_timings.csv")
    assert set(seconds["search"]) == {"sequential", "hyperband", "online"}
    for name in ("speedup_sequential", "speedup_hyperband"):
        assert (out / f"tables/{name}.md").read_text(encoding="utf-8").startswith("# Speedup")
        assert len(pd.read_csv(out / f"tables/{name}_summary.csv")) > 0


def test_figures_of_early_stopping_are_there(finished: Project) -> None:
    folder = finished.folder / "out/figures/stopping"
    for name in (*(f"mine/{figure}" for figure in (*FIGURES, "hyperband")), "stopped/mine"):
        assert (folder / f"{name}.svg").read_bytes().startswith(b"<?xml")
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_change_of_one_search_reruns_no_other(project: Project) -> None:
    project.edit("tiny.yaml", "deltas: [0.9]\n  settings", "deltas: [0.9, 0.95]\n  settings")
    sequential = "sequential search with last_value on mine"
    assert project.planned() == {sequential} | SEQUENTIAL_FOLLOWS
    project.edit("tiny.yaml", "deltas: [0.9, 0.95]\n  settings", "deltas: [0.9]\n  settings")
    project.edit("tiny.yaml", "deltas: [0.8], settings", "deltas: [0.85], settings")
    assert project.planned() == {"Hyperband with last_value on mine"} | HYPERBAND_FOLLOWS
    project.edit("tiny.yaml", "deltas: [0.85], settings", "deltas: [0.8], settings")
    project.edit("tiny.yaml", "online: {deltas: []}", "online: {deltas: [0.8]}")
    assert project.planned() == {"online search on mine"} | SEQUENTIAL_FOLLOWS


def test_code_of_one_search_reruns_no_other(project: Project) -> None:
    project.edit("src/curvecast/stopping/online.py", '"""', '"""Edited. ')
    assert project.planned() == {"online search on mine"} | SEQUENTIAL_FOLLOWS
    project.edit("src/curvecast/stopping/online.py", '"""Edited. ', '"""')
    project.edit("src/curvecast/stopping/hyperband.py", '"""', '"""Edited. ')
    assert project.planned() == {"Hyperband with last_value on mine"} | HYPERBAND_FOLLOWS


def test_a_further_predictor_reruns_no_other(project: Project) -> None:
    project.edit("tiny.yaml", "predictors: [last_value]\n", "predictors: [last_value, mean]\n")
    assert project.planned() == {"sequential search with mean on mine"} | SEQUENTIAL_FOLLOWS


def test_published_speedups_are_inputs_of_their_tables_alone(project: Project) -> None:
    project.edit("resources/published/baker2017_thesis_speedups.csv", "6.10", "6.11")
    planned = project.planned()
    assert {"speedups of the sequential search", "speedups of the hyperband search"} <= planned
    assert not any("search with" in message or "R²" in message for message in planned)


def test_an_empty_list_of_data_sets_turns_it_off(project: Project) -> None:
    project.edit("tiny.yaml", "stopping:\n  datasets: [mine]", "stopping:\n  datasets: []")
    project.edit("tiny.yaml", "results: out", "results: new")
    assert not any("early stopping" in message for message in project.planned())
