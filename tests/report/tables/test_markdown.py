from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from curvecast.benchmark import comparisons
from curvecast.benchmark.ranks import average
from curvecast.report.tables import accuracy, data, markdown

MakeScores = Callable[..., pd.DataFrame]
NO_DRAWS = pd.DataFrame(columns=["dataset", "fraction", "tau", "n_train"])
TWO = {
    ("baker/a", "ols"): [0.5, 0.7, 0.6],
    ("baker/a", "ridge"): [0.8, 0.8, 0.9],
    ("baker/b", "ols"): [0.9, 0.9, 0.9],
    ("baker/b", "ridge"): [0.1, 0.2, 0.3],
    ("lcbench/c", "ols"): [-4.0, 0.9, 0.8],
    ("lcbench/c", "ridge"): [0.4, 0.4, 0.4],
}


@pytest.fixture
def summary(make_scores: MakeScores) -> pd.DataFrame:
    return comparisons.summarise(make_scores(TWO))


def test_table_of_cells() -> None:
    frame = pd.DataFrame({"a": ["x|y", "z"], "b": [1, 2]})
    assert markdown.table(frame) == "| a | b |\n| --- | --- |\n| x\\|y | 1 |\n| z | 2 |\n"


def test_values_with_their_errors_and_intervals() -> None:
    frame = pd.DataFrame({"v": [0.123456, 2e4], "low": [-1.0, math.nan], "ok": [True, False]})
    columns = {"value": "v", "error": ("v", "low"), "interval": ("v", "low", "v"), "ok": "ok"}
    assert markdown.table(frame, columns).splitlines()[2:] == [
        "| 0.1235 | 0.1235 ± -1 | 0.1235 [-1, 0.1235] | yes |",
        "| 20000 | 20000 | 20000 | no |",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.500"), (-0.0001, "0.000"), (-5.1234, "-5.123"), (12345.6, "1.23e+04"), (None, "")],
)
def test_number_formats(value: float | None, text: str) -> None:
    assert markdown.number(float("nan") if value is None else value) == text


def test_r2_has_a_table_per_collection_with_the_best_in_bold(summary: pd.DataFrame) -> None:
    text = accuracy.r2_text(summary)
    assert "## fraction 0.25, Baker et al." in text
    assert "## fraction 0.25, LCBench" in text
    assert "| baker/a | 0.600 ± 0.058 | **0.833 ± 0.033** |" in text
    assert "| baker/b | **0.900 ± 0.000** | 0.200 ± 0.058 |" in text


def test_smaller_data_sets_stand_in_the_same_table_with_their_training_runs(
    summary: pd.DataFrame,
) -> None:
    fewer = summary["n_train"].where(summary["dataset"] != "baker/b", 40)
    text = accuracy.r2_text(summary.assign(n_train=fewer))
    assert text.count("## ") == 2
    assert "| baker/a, n_train 100 | 0.600 ± 0.058 | **0.833 ± 0.033** |" in text
    assert "| baker/b, n_train 40 | **0.900 ± 0.000** | 0.200 ± 0.058 |" in text


def test_smaller_data_sets_count_in_averages_and_ranks(make_scores: MakeScores) -> None:
    scores = make_scores(TWO)
    scores["n_train"] = scores["n_train"].where(scores["dataset"] != "baker/b", 40)
    fewer = make_scores({("baker/b", "ols"): [0.1, 0.2, 0.3]}).assign(n_train=10)
    frame = pd.concat([scores, fewer], ignore_index=True)
    tables = accuracy.r2_tables(frame, NO_DRAWS, ["baker"], 2)
    averages = tables["averages"][0].set_index(["collection", "n_train", "model"])["datasets"]
    assert averages["baker"].to_dict() == {(10, "ols"): 1, (100, "ols"): 2, (100, "ridge"): 2}
    assert set(tables["ranks"][0][["n_train", "sets"]].itertuples(index=False)) == {(100, 2)}
    assert set(tables["differences"][0]["n_train"]) == {40, 100}
    text = tables["differences"][1]
    assert "## R², Baker et al., fraction 0.25, n_train 100: data sets by error: 2 Nad" in text


def test_fractions_of_single_epochs_are_short(
    summary: pd.DataFrame, make_scores: MakeScores
) -> None:
    frame = summary.assign(fraction=7 / 60)
    texts = [accuracy.r2_text(frame), accuracy.averages_text(average(frame))]
    assert all("fraction 0.1167" in text and "0.11666" not in text for text in texts)


def test_heavy_tails_show_median_and_minimum(summary: pd.DataFrame) -> None:
    assert "-0.767 ± 1.617 (0.800; -4.000)" in accuracy.r2_text(summary)


def test_models_stand_in_their_order(summary: pd.DataFrame, make_scores: MakeScores) -> None:
    more = make_scores({("baker/a", m): [0.5, 0.6] for m in ("zebra", "nusvr_rbf", "mean")})
    text = accuracy.r2_text(comparisons.summarise(more))
    assert "| dataset | mean | nusvr_rbf | zebra |" in text


def test_undefined_r2_is_said(summary: pd.DataFrame, make_scores: MakeScores) -> None:
    text = accuracy.r2_text(comparisons.summarise(make_scores({("x", "ols"): [float("nan")] * 2})))
    assert "| x | not defined |" in text


def test_ablation_and_depth(make_scores: MakeScores) -> None:
    blocks = [
        make_scores({("baker/a", "ols"): [v, v]}, features=f)
        for f, v in (("HP", 0.1), ("TS", 0.5), ("TS+AP+HP", 0.7))
    ]
    text = accuracy.r2_text(comparisons.summarise(pd.concat(blocks)), "ablation")
    assert "| dataset | TS | HP | TS+AP+HP |" in text
    assert "| baker/a | 0.500 ± 0.000 | 0.100 ± 0.000 | **0.700 ± 0.000** |" in text
    depths = [make_scores({("baker/a", "ols"): [v, v]}, depth=d) for d, v in ((32, 0.1), (62, 0.2))]
    text = accuracy.r2_text(comparisons.summarise(pd.concat(depths)), "depth")
    assert "| dataset | model | 32 | 62 |" in text
    assert "| baker/a | ols | 0.100 ± 0.000 | 0.200 ± 0.000 |" in text


def test_differences_and_averages(summary: pd.DataFrame, make_scores: MakeScores) -> None:
    rng = np.random.default_rng(0)
    last = {(name, "last_value"): list(0.3 + 0.001 * rng.normal(size=3)) for name, _ in TWO}
    frame = comparisons.differences(make_scores({**TWO, **last}), NO_DRAWS)
    text = accuracy.differences_text(frame)
    assert "## R², Baker et al., fraction 0.25, n_train 100: data sets by error: 2 Nadeau" in text
    assert "| ols | 1 | 1 (0) | 2 (1) | 0 (0) |" in text
    assert "| last_value | 0 | 2 (1) |  |  |" in text
    text = accuracy.averages_text(average(summary))
    assert "## Baker et al., 2 data sets, fraction 0.25, n_train 100" in text
    assert "| ols | TS+AP+HP | 0.75 | 0.75 | 0.6 | 1.5 | 1.5 | 1 |" in text


def test_sizes_have_a_table_per_collection(make_scores: MakeScores) -> None:
    rows = [("x/a", 0, 0.9), ("x/b", 0, 0.7), ("x/a", 10, 0.4), ("x/b", 10, 0.5), ("y", 10, 0.3)]
    frame = pd.DataFrame(rows, columns=["dataset", "n_train", "mae_ratio"])
    text = accuracy.training_size_text(frame.assign(model="gp", fraction=0.25, mae_ratio_se=0.01))
    assert "## x, 2 data sets, fraction 0.25\n\n| model | 0 | 10 |" in text
    assert "| gp | 0.800 [0.750, 0.850] | 0.450 [0.425, 0.475] |" in text
    assert "| gp | 0.300 ± 0.010 |" in text


def test_timings_have_sums() -> None:
    frame = pd.DataFrame(
        {
            "experiment": "main",
            "dataset": ["a", "b", "a"],
            "model": ["ols", "ols", "mean"],
            "seconds": [1.0, 2.0, 0.25],
            "cells": [10, 10, 10],
        }
    )
    text = data.timings_text(frame)
    assert "## main, per cell" in text
    assert "| a | 0.025 | 0.1 |" in text
    assert "| dataset | mean | ols | sum |" in text
    assert "| sum | 0.25 | 3 | 3.25 |" in text


def test_runs_without_a_value_so_far_are_named(summary: pd.DataFrame) -> None:
    assert "Runs without a value" not in accuracy.r2_text(summary)
    name, tau = summary[["dataset", "tau"]].iloc[0]
    some = (summary["dataset"] == name) & (summary["tau"] == tau)
    text = accuracy.r2_text(summary.assign(unseen=np.where(some, 7, 0)))
    assert f"Runs without a value so far are in no score: 7 of {name} at epoch {tau}." in text
