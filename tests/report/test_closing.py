"""What a run says at its end."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pandas as pd

from curvecast.files import write_csv
from curvecast.report import closing as summary


def write(text: str, path: Path) -> None:
    write_csv(pd.read_csv(StringIO(text)), path, sealed=True)


def write_r2(rows: list[tuple[str, float, int, str, float | None]], folder: Path) -> None:
    columns = ["dataset", "fraction", "n_train", "model", "r2_mean"]
    write_csv(pd.DataFrame(rows, columns=columns), folder / "tables/r2.csv", sealed=True)


def test_closing_text_name_the_best_models_of_each_collection(tmp_path: Path) -> None:
    r2s = {"ols": 0.8, "mean": -0.01, "nusvr_rbf": 0.9, "ridge": 0.1, "lce": 0.2, "gp": 0.3}
    models = r2s.items()
    # The smaller set trains on half of its runs, and counts as much as the larger one.
    sets = [("baker/a", 100, -0.1), ("baker/b", 40, 0.1)]
    write_r2(
        [
            *((name, 0.25, n, model, r2 + d) for name, n, d in sets for model, r2 in models),
            ("baker/a", 0.25, 10, "gp", 0.95),
            ("baker/a", 0.5, 100, "ols", 0.99),
            ("mine", 0.25, 100, "ols", 0.5),
        ],
        tmp_path,
    )
    (tmp_path / "report.html").touch()
    text = summary.closing_text(tmp_path, 0.25, left_out=["baker/b", "baker/c"])
    lines = text.splitlines()
    assert lines[1] == "baker, 25 % of the curve, median over 2 data sets: R²"
    assert [line.split() for line in lines[2:7]] == [
        ["nusvr_rbf", "0.900"], ["ols", "0.800"], ["gp", "0.300"], ["lce", "0.200"],
        ["ridge", "0.100"],
    ]  # fmt: skip
    assert lines[7] == "mine, 25 % of the curve, one data set: R²"
    assert [line.split() for line in lines[8:-2]] == [["ols", "0.500"]]
    assert lines[-2] == "LEFT OUT: baker/b, baker/c"
    assert lines[-1] == f"Report: {tmp_path}/report.html"


def test_models_are_told_by_their_errors_where_a_few_runs_decide_r2(tmp_path: Path) -> None:
    columns = ["dataset", "fraction", "n_train", "model", "r2_mean", "mae_mean"]
    rows = [
        ("a", 0.25, 100, "last_value", 0.1, 0.2), ("a", 0.25, 100, "gp", -3.0, 0.05),
        ("a", 0.25, 100, "ols", 0.9, 0.1), ("b", 0.25, 100, "last_value", 0.1, 20.0),
        ("b", 0.25, 100, "gp", 0.5, 10.0), ("b", 0.25, 100, "ols", 0.4, 20.0),
    ]  # fmt: skip
    write_csv(pd.DataFrame(rows, columns=columns), tmp_path / "tables/r2.csv", sealed=True)
    lines = summary.closing_text(tmp_path, 0.25).splitlines()[1:]
    assert [line.split() for line in lines if line.startswith(" ")] == [
        ["gp", "0.250", "-3.000"], ["ols", "0.500", "0.900"], ["last_value", "1.000", "0.100"],
        ["gp", "0.500", "0.500"], ["last_value", "1.000", "0.100"], ["ols", "1.000", "0.400"],
    ]  # fmt: skip


def test_a_study_ends_with_its_incumbent_and_not_with_an_unrelated_r2(tmp_path: Path) -> None:
    write_r2([("mine", 0.25, 100, "ols", 0.5)], tmp_path)
    write(
        "study,optimizer,best_loss,validation,test,incumbent\n"
        'usps,bohb,0.0251,0.9749,0.9721,"{""lr"": 0.0123456, ""units"": 64}"\n'
        "recorded,bohb,0.1,,,{}\n",
        tmp_path / "tables/studies.csv",
    )
    write(
        "network,test,test_sd,test_study_sd\nbest,0.9741,0.003,0.001\ngiven,0.96,,\n",
        tmp_path / "tables/networks.csv",
    )
    assert summary.closing_text(tmp_path, 0.25).splitlines()[1:] == [
        "study usps, bohb: the incumbent has loss 0.0251, validation 0.9749, test 0.9721",
        "  lr 0.01235, units 64",
        "network best: test 0.9741 ± 0.003 (repeats) ± 0.001 (study seeds)",
        "network given: test 0.96",
    ]


def test_a_part_of_the_workflow_has_no_headline(tmp_path: Path) -> None:
    assert summary.closing_text(tmp_path, 0.25) == f"Done. What was asked for is in {tmp_path}."
