"""The page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curvecast.benchmark import comparisons
from curvecast.benchmark.ranks import average
from curvecast.curves import DataError
from curvecast.files import write_csv, write_text
from curvecast.predictors import registry
from curvecast.report.figures import style
from curvecast.report.page import page, runs
from curvecast.report.page.about import facts, protocol, sources
from curvecast.report.page.running import running
from curvecast.report.tables import accuracy
from curvecast.stopping.advice import advise
from curvecast.testing import saturating_curves
from curvecast.workflow.config import load

ROOT = Path(__file__).resolve().parents[3]
SAYINGS = ROOT / "resources/methods.yaml"
LookAt = Callable[[Path, int], dict[str, Any]]


def drawn() -> Any:
    figure, axes = style.panels([""], columns=1, width=3)
    axes[0].plot([0, 1], [0, 1])
    return figure


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    """Curves of 20 finished runs and of 10 under way."""
    whole = saturating_curves(30)
    values = whole.values.copy()
    values[20:, 6:] = np.nan
    state = np.where(np.arange(30) < 20, "finished", "running")
    configs = whole.configs.assign(info_state=state)
    replace(whole, values=values, configs=configs).to_parquet(tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


def test_the_chart_of_the_first_run_shows_its_predicted_end() -> None:
    curves = saturating_curves(1)
    curves = replace(curves, values=np.where(curves.epochs > 4, np.nan, curves.values))
    curves = replace(curves, configs=curves.configs.assign(info_state="running"))
    advice = advise(curves)
    (row,) = advice.to_dict("records")
    spec = json.loads(runs.drawn(curves, advice))
    low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low < np.nanmin(curves.values) < row["high"] < high
    assert low < row["low"] < row["predicted"] < row["high"]
    assert spec["encoding"]["x"]["axis"]["tickMinStep"] == 1


def test_runs_under_way_come_first(tmp_path: Path, logged: Path) -> None:
    saturating_curves(30).to_parquet(tmp_path / "whole.parquet")
    (part,) = running([logged, tmp_path / "whole.parquet"])
    assert part["title"] == "synthetic/saturating"
    stop = part["table"].count("<td>stop</td>")
    assert part["text"].startswith(f"Stop {stop} of 10 runs under way")
    assert "On the finished runs the same rule would have saved" in part["text"]
    assert part["table"].count("<tr>") == 11
    assert [i for i in range(30) if f'"run": "run{i}"' not in part["spec"]] == []


@pytest.fixture
def report(tmp_path: Path, make_scores: Callable[..., pd.DataFrame]) -> Path:
    """A report of a small run with two data sets."""
    return written(tmp_path, make_scores)


def written(
    tmp_path: Path, make_scores: Callable[..., pd.DataFrame], logs: Iterable[Path] = ()
) -> Path:
    scores = make_scores(
        {
            (f"mine/{name}", model): [r2, r2 + 0.1]
            for name, model, r2 in (
                ("a", "last_value", 0.2),
                ("b", "last_value", 0.7),
                ("a", "ols", 0.5),
                ("a", "ridge", 0.7),
                ("b", "ols", 0.6),
                ("b", "ridge", -0.2),
            )
        }
    )
    summary = comparisons.summarise(scores)
    write_csv(summary, tmp_path / "tables/r2.csv", sealed=True)
    none = pd.DataFrame(columns=["dataset", "fraction", "tau", "n_train"])
    write_csv(
        comparisons.differences(scores, none), tmp_path / "tables/differences.csv", sealed=True
    )
    write_text(accuracy.r2_text(summary), tmp_path / "tables/r2.md")
    for name in ("r2/mine", "gallery/mine/a", "gallery/mine/b", "gallery/mine/c"):
        style.save(style.styled(drawn)(), tmp_path / "figures" / name)
    caption = tmp_path / "gallery.rst"
    caption.write_text("Curves and *predictions*.\n")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/predict.tsv").write_text("s\tmax_rss\tcpu_time\n1.5\t200\t1.0\n")
    about = {
        "results": str(tmp_path),
        "fraction": float(scores["fraction"].iloc[0]),
        "models": ["ols", "ridge"],
        "datasets": {
            "mine/a": {"licence": "MIT", "citation": "Me (2026)", "description": "1 < 2 & 3"},
            "mine/b": {"licence": "", "citation": "", "description": ""},
        },
        "tasks": {"task/images": {"licence": "CC", "citation": "You", "description": "digits"}},
        "left_out": ["baker/lost"],
        "facts": {"data sets": "mine/a, mine/b"},
    }
    page.write(
        tmp_path / "report.html",
        about,
        tables=(tmp_path / "tables").iterdir(),
        figures=(tmp_path / "figures").rglob("*.*"),
        captions=[caption],
        method_texts=SAYINGS,
        benchmarks=tmp_path / "benchmarks",
        logs=logs,
    )
    return tmp_path / "report.html"


@pytest.mark.parametrize("width", [1400, 400])
def test_everything_is_there_and_the_page_fits(
    tmp_path: Path,
    make_scores: Callable[..., pd.DataFrame],
    logged: Path,
    look_at: LookAt,
    width: int,
) -> None:
    found = look_at(written(tmp_path, make_scores, [logged]), width)
    assert found["wider"] <= 0
    figures = {name for name, pixels in found["images"] if pixels > 0}
    assert figures == {f"figures-{n}" for n in ("r2-mine", *(f"gallery-mine-{c}" for c in "abc"))}
    sections = {section["id"]: section for section in found["sections"]}
    assert sections["running"]["charts"] == 1
    assert list(sections) == ["running", "findings", "accuracy", "methods", "sources", "jobs"]
    assert sections["findings"]["findings"] >= 2
    assert all(section["words"] > 20 for section in sections.values())
    grids = [table for table in found["tables"] if table["id"] == "tables-r2"]
    assert [(table["rows"], table["moved"]) for table in grids] == [(2, True)]


def test_words_of_the_page(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert "<strong>Left out</strong>, because files are missing:\nbaker/lost." in text
    assert "on 2\ndata sets of learning curves" in text
    assert "1 &lt; 2 &amp; 3" in text
    assert "<td>task/images</td><td>CC</td><td>You</td><td>digits</td>" in text
    assert "Curves and <em>predictions</em>." in text
    assert "2 splits with 100 training runs on 2 data sets" in text
    assert '<details class="part" open>\n<summary>R2: mine</summary>' in text
    assert '<details class="part" id="tables-r2" data-shaded>' in text
    assert 'download="r2.csv"' in text
    assert "<td>predict</td>\n<td>1</td>\n<td>1.5</td>" in text
    assert "http" not in text.replace("http://www.w3.org/", "")  # nothing comes from elsewhere


def test_a_table_is_open_at_the_fraction_and_the_training_runs_of_the_findings(
    tmp_path: Path, make_scores: Callable[..., pd.DataFrame]
) -> None:
    sizes = [make_scores({("mine/a", "ols"): [0.5, 0.6]}).assign(n_train=n) for n in (0, 10, 100)]
    scores = pd.concat([*sizes, sizes[2].assign(fraction=1.0)])
    text = accuracy.averages_text(average(comparisons.summarise(scores)))
    write_text(text, tmp_path / "averages.md")
    for fraction in (0.25, 1.0):
        parts = page._table(tmp_path / "averages.md", fraction)["parts"]
        opened = [part["heading"] for part in parts if part["open"]]
        assert opened == [f"mine, 1 data sets, fraction {fraction:g}, n_train 100"]


def test_a_benchmark_of_another_kind_is_an_error(report: Path) -> None:
    (report.parent / "benchmarks/predict.tsv").write_text("x\n1\n")
    about = {"results": report.parent, "fraction": 0.25, "models": []}
    with pytest.raises(DataError, match=r"predict\.tsv"):
        page.write(
            report,
            about,
            tables=[],
            figures=[],
            captions=[],
            method_texts=SAYINGS,
            benchmarks=report.parent / "benchmarks",
        )


def test_the_methods_are_those_of_the_registry_and_of_every_run() -> None:
    rows = {name: (text, cite) for name, text, cite in page.methods(["mean", "tuned"], SAYINGS)}
    assert rows["mean"] == ("The mean of the training runs; R² is zero by construction.", "")
    assert rows["tuned"][0].startswith("A predictor with the options of the incumbent")
    assert rows["Differences between models"][1] == "Nadeau and Bengio (2003)"
    assert all(entry.label for entry in registry().values())


def test_the_protocol_is_the_one_that_was_used() -> None:
    rows = [("lcbench/a", 100, 10), ("lcbench/a", 10, 10), ("baker/b", 100, 8), ("baker/c", 40, 10)]
    r2 = pd.DataFrame(rows, columns=["dataset", "n_train", "repeats"]).assign(fraction=0.25)
    differences = r2.assign(error=["disjoint", "disjoint", "disjoint", "Nadeau-Bengio"])
    assert protocol(r2, differences) == (
        "10 splits with 40 training runs on 1 data set, 8 splits with 100 training runs on 1 data "
        "set, 10 splits with 100 training runs on 1 data set, the same for all predictors. The "
        "splits share no training run and have one test set on 2 of the data sets, and overlap on "
        "1. 25 % of the curve seen."
    )


def test_facts_of_a_run() -> None:
    online = {"run": True, "deltas": []}
    hyperband = {
        "predictors": [], "eta": 3, "budget": None, "hyperbands": 2, "settled": 1, "repeats": 1,
        "deltas": [0.9], "settings": [{"kappa": 1}],
    }  # fmt: skip
    given: dict[str, Any] = {
        "datasets": ["mine"],
        "models": ["ols", "gp"],
        "protocol": {"n_train": 30, "repeats": 2, "fractions": [0.1, 0.25], "taus": [7]},
        "ablation": {"datasets": ["mine"], "models": ["ols"]},
        "training_size": {"datasets": []},
        "depth": None,
        "task_a": None,
        "saved_models": {"datasets": [], "models": ["ols"]},
        "stopping": {
            "datasets": ["baker/*"],
            "predictors": ["gain_gp"],
            "n_full": 10,
            "orderings": 1,
            "deltas": [0.9],
            "settings": [{"offset": 0}],
            "every_epoch_up_to": 0,
            "online": online,
            "hyperband": hyperband,
        },
        "studies": ["digits"],
    }
    usable = ["mine", *(f"baker/{i}" for i in range(9))]
    said = facts(load(given), usable, {name: {"kind": "curves"} for name in usable})
    assert said["data sets"] == "1 of mine, 9 of baker"
    assert said["ablation"] == "ols on mine"
    assert said["early stopping"] == "gain_gp on 9 of baker"
    assert not {"depth", "saved predictors"} & set(said)
    assert said["studies"] == "digits"
    stanza = {"licence": "MIT", "description": "two\n  lines", "reader": "table"}
    assert sources({"mine": stanza}, ["mine"]) == {
        "mine": {"licence": "MIT", "citation": "", "description": "two lines"}
    }


# run times and memory

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tcpu_time\n"


def test_jobs_are_summed_per_rule(tmp_path: Path) -> None:
    (tmp_path / "predict/mine").mkdir(parents=True)
    for name, line in (
        ("predict/mine/ols.tsv", "2.5\t0:00:02\t100.0\t0\t2.0\n"),
        ("predict/mine/gp.tsv", "4.0\t0:00:04\t300.0\t0\t3.5\n"),
        ("r2_table.tsv", "0.01\t0:00:00\t-\t-\t0.0\n"),
    ):
        (tmp_path / name).write_text(HEADER + line)
    usage = page.usage(tmp_path)
    assert usage["rule"].tolist() == ["predict", "r2_table"]
    assert usage["jobs"].tolist() == [2, 1]
    assert usage["seconds"].tolist() == [6.5, 0.01]
    assert usage["longest job, s"].tolist() == [4.0, 0.01]
    assert usage["processor, s"].tolist() == [5.5, 0.0]
    assert usage["peak memory, MB"][0] == 300.0
    assert np.isnan(usage["peak memory, MB"][1])


def test_another_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(DataError, match=r"other.tsv, column s: not a benchmark file"):
        page.usage(tmp_path)


def test_versions_name_what_numbers_depend_on() -> None:
    found = page.versions()
    assert found["numpy"] == np.__version__
