"""End to end: what a run leaves behind, the same on one core and two, and how it fails."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast.benchmark.comparisons import SUMMARY_COLUMNS
from curvecast.files import read_parquet

from .conftest import Project


def test_tables_hold_what_the_configuration_asks_for(finished: Project) -> None:
    table = pd.read_csv(finished.folder / "out/tables/r2.csv")
    assert tuple(table.columns) == SUMMARY_COLUMNS
    assert set(zip(table["model"], table["fraction"], table["tau"], strict=True)) == {
        (model, fraction, tau)
        for model in ("ols", "nusvr_rbf")
        for fraction, tau in ((0.25, 3), (0.5, 6))
    }
    assert set(table["features"]) == {"TS+AP+HP"}
    assert set(table["n_train"]) == {30}
    assert set(table["repeats"]) == {2}
    # 12 epochs of little noise: half of the curve tells nearly all, and more than a quarter.
    ols = table[table["model"] == "ols"].set_index("fraction")["r2_mean"]
    assert 0.8 < ols[0.25] < ols[0.5] < 1
    ablation = pd.read_csv(finished.folder / "out/tables/ablation.csv")
    assert set(ablation["features"]) == {"TS", "TS+HP"}
    depth = pd.read_csv(finished.folder / "out/tables/depth.csv")
    assert set(depth["depth"]) == {3}
    assert set(depth["n_train"]) == {10}


def test_task_a_has_a_row_per_variant_beside_the_published_ones(finished: Project) -> None:
    table = pd.read_csv(finished.folder / "out/tables/task_a.csv")
    ours = table[table["source"] == "this run"]
    assert list(ours["variant"].fillna("")) == ["", "fewer"]
    assert list(ours["n_train"]) == [30, 20]
    assert (ours["test_mse"] < 0.01).all()
    assert len(table) > len(ours)


def test_predictions_are_of_test_runs_of_the_shared_splits(finished: Project) -> None:
    folder = finished.folder / "out/predictions/mine"
    frames = {m: read_parquet(folder / f"{m}.parquet")[0] for m in ("ols", "nusvr_rbf")}
    keys = ["repeat", "tau", "configuration", "y_true"]
    pd.testing.assert_frame_equal(frames["ols"][keys], frames["nusvr_rbf"][keys])
    assert set(frames["ols"].groupby(["repeat", "tau"])["configuration"].nunique()) == {30}
    curves = pd.read_csv(finished.folder / "mine.csv")
    expected = curves["acc_12"].to_numpy()[frames["ols"]["configuration"]]
    np.testing.assert_allclose(frames["ols"]["y_true"], expected, rtol=1e-6)
    assert frames["ols"]["y_mean"].dtype == np.float32


def test_every_rule_left_its_log_and_benchmark(finished: Project) -> None:
    logs = {p.parts[-3:-1] for p in (finished.folder / "out/logs/predict").rglob("*.log")}
    assert logs == {("predict", "mine")}
    measured = pd.read_csv(finished.folder / "out/benchmarks/predict/mine/ols.tsv", sep="\t")
    assert measured["s"].iloc[0] > 0
    seconds = pd.read_csv(finished.folder / "out/timings.csv")
    assert set(seconds["model"]) == {"ols", "nusvr_rbf"}
    assert (seconds["seconds"] > 0).all()


def test_figures_are_there_in_both_formats(finished: Project) -> None:
    figures = finished.folder / "out/figures"
    for name in ("r2/mine", "ablation/25", "coverage", "reliability/mine", "gallery/mine"):
        assert (figures / f"{name}.svg").read_bytes().startswith(b"<?xml")
        assert (figures / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_cores_and_parts_do_not_change_a_byte(
    finished: Project, fresh: Callable[[], Project]
) -> None:
    other = fresh()
    targets = ("out/tables/published.md", "out/tables/differences.md")
    done = other.snakemake("--cores", "2", *targets, "--config", "parts=2")
    assert done.returncode == 0, done.stdout + done.stderr
    ours = other.tables()
    assert len(ours) >= 12
    assert {path: finished.tables()[path] for path in ours} == ours


def test_a_run_says_how_much_there_is_to_do_once(project: Project) -> None:
    text = project.run("--dry-run")
    assert text.count("1 data sets x 2 models x 2 fractions x 2 repeats = 8 cells") == 1
    assert text.count("Data: 1 data sets") == 1


def test_bad_data_fail_with_one_line_and_leave_nothing(project: Project) -> None:
    table = pd.read_csv(project.folder / "mine.csv", dtype=str)
    table.loc[7, "acc_5"] = "oops"
    table.to_csv(project.folder / "mine.csv", index=False)
    done = project.snakemake("--cores", "1")
    assert done.returncode != 0
    text = done.stdout + done.stderr
    error = next(line for line in text.splitlines() if line.startswith("Error: "))
    assert re.search(r"file mine.csv, row 8 .*, column acc_5: .*oops", error), error
    assert "Traceback" not in text
    assert not (project.folder / "out/curves/mine.parquet").exists()
    assert list((project.folder / "out/curves").glob(".*")) == []


def fetched(project: Project, content: bytes, **data: object) -> str:
    """Turn the table into a file that has to be fetched; what making its curves printed."""
    digest = hashlib.sha256((project.folder / "mine.csv").read_bytes()).hexdigest()
    entry = f"{{path: own/mine.csv, checksum: sha256:{digest}}}"
    project.edit("tiny.yaml", "file: mine.csv", f"file: {entry}")
    project.edit("tiny.yaml", "results: out", f"results: new\ndata: {json.dumps(data)}")
    mirror = project.folder / "mirror/own"
    mirror.mkdir(parents=True)
    (mirror / "mine.csv").write_bytes(content)
    done = project.snakemake("--cores", "1", "new/curves/mine.parquet")
    return done.stdout + done.stderr


def test_a_mirror_is_asked_and_its_file_verified(project: Project) -> None:
    content = (project.folder / "mine.csv").read_bytes()
    text = fetched(project, content, mirrors=["mirror"], offline=True)
    assert "0 files are in place, 1 come from a mirror" in text
    assert (project.folder / "new/raw/own/mine.csv").read_bytes() == content
    ours, theirs = (project.folder / f"{run}/curves/mine.parquet" for run in ("new", "out"))
    pd.testing.assert_frame_equal(read_parquet(ours)[0], read_parquet(theirs)[0])


def test_a_wrong_file_in_a_mirror_is_refused(project: Project) -> None:
    text = fetched(project, b"run,acc_1\n", mirrors=["mirror"], offline=True)
    assert "Error: file mirror/own/mine.csv: wrong checksum" in text
    assert not (project.folder / "new/raw/own/mine.csv").exists()
    assert not (project.folder / "new/curves/mine.parquet").exists()


def test_without_any_data_set_the_run_says_what_to_put_where(project: Project) -> None:
    text = fetched(project, b"", offline=True, on_missing="skip")
    assert "no data set is left" in text
    assert "put it at new/raw/own/mine.csv" in text


@pytest.mark.real_data
def test_the_full_reproduction_leaves_out_what_cannot_be_had(
    fresh: Callable[[], Project], mirror: Path
) -> None:
    project = fresh()
    data = json.dumps({"data": {"offline": True, "mirrors": [str(mirror)]}})
    (project.folder / "tiny.yaml").write_text(data, encoding="utf-8")
    text = project.run("--dry-run", "--quiet")
    assert "main: 50 data sets x 17 models x 6 fractions x 10 repeats = 51000 cells" in text
    assert (
        "LEFT OUT, because files are missing: baker/cudaconvnet_cifar10, baker/cudaconvnet_svhn, "
        "taskset/patch128_LSTM128_avg_bs64, taskset/patch32_GRU64_avg_bs128, "
        "taskset/patch32_VRNN64_relu_avg_bs128"
    ) in text
    assert "put it at results/raw/baker/cudaconvnet_svhn.csv" in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("models: [ols, ", "models: [olz, ", "unknown model 'olz'"),
        ("datasets: [mine]\nd", "datasets: [min]\nd", "unknown data set 'min'"),
        (
            "results: out",
            "results: out\nresult: out",
            "unknown key 'result', the nearest known key is",
        ),
        ("results: out", "results: out\nresults: out", "the key 'results' is there twice"),
        (
            "n_train: 30",
            "n_train: 1",
            "protocol.n_train: input should be greater than or equal to 2",
        ),
    ],
)
def test_a_mistake_in_the_config_is_named(project: Project, old: str, new: str, said: str) -> None:
    project.edit("tiny.yaml", old, new)
    done = project.snakemake("--cores", "1", "--dry-run")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
