from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError
from curvecast.benchmark import comparisons, scores
from curvecast.data import readers
from curvecast.data import registry as datasets
from curvecast.protocol import tau_of
from curvecast.report.tables import published

FOLDER = Path(__file__).parents[3] / "resources" / "published"
HEAD = "dataset,model,features,fraction,depth,n_train,r2,r2_se,reading_error,source\n"
MakeScores = Callable[..., pd.DataFrame]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one_r2.csv").write_text(
        HEAD
        + "x/a,ols,TS+AP+HP,0.25,,100,0.7,0.03,0,paper\n"
        + "x/a,ols,TS+AP+HP,0.25,,100,0.5,,0.04,figure\n"
        + "x/a,nusvr,TS,0.25,,100,0.3,,0,paper\n"
        + "x/a,lcnet,TS+AP+HP,0.25,,100,0.3,,0,paper\n"
        + "x/a,ols,TS+AP+HP,0.25,32,100,0.1,0.1,0,paper\n"
    )
    (tmp_path / "notes.csv").write_text(
        "dataset,model,features,fraction,source,note\n"
        "x/a,,,,,of the data set\n"
        ",ols,,0.25,figure,of the figure\n"
        ",ols,,0.5,,of another fraction\n"
    )
    return tmp_path


@pytest.fixture
def summary(make_scores: MakeScores) -> pd.DataFrame:
    # mean 0.6, standard error 0.1 / sqrt(4) * sqrt(4 / 3)
    r2 = [0.5, 0.7, 0.5, 0.7]
    main = comparisons.summarise(make_scores({("x/a", "ols"): r2, ("x/b", "ols"): r2}))
    ablation = comparisons.summarise(
        make_scores({("x/a", m): r2 for m in ("nusvr_linear", "nusvr_rbf")}, features="TS")
    )
    depth = comparisons.summarise(make_scores({("x/a", "ols"): r2}, depth=32))
    return pd.concat([main, ablation, depth], ignore_index=True)


def test_differences_and_their_standard_errors(folder: Path, summary: pd.DataFrame) -> None:
    frame = published.compare(summary, folder)
    assert list(frame.columns) == list(published.COLUMNS)
    se = np.std([0.5, 0.7, 0.5, 0.7], ddof=1) / 2
    rows = {(r.source, r.model, r.published): r for r in frame.itertuples()}
    printed = rows["paper", "ols", 0.7]
    assert printed.difference == pytest.approx(-0.1)
    assert printed.difference_se == pytest.approx(math.hypot(se, 0.03))
    assert not printed.beyond_2se
    read = rows["figure", "ols", 0.5]  # no published error: ours stands for it
    assert read.difference_se == pytest.approx(math.sqrt(2 * se**2 + 0.04**2))
    deep = rows["paper", "ols", 0.1]
    assert deep.depth == 32
    assert deep.difference == pytest.approx(0.5)
    assert deep.beyond_2se


def test_unnamed_kernels_are_compared_with_both(folder: Path, summary: pd.DataFrame) -> None:
    frame = published.compare(summary, folder)
    both = frame[frame["features"] == "TS"]
    assert both["model"].tolist() == ["nusvr_linear", "nusvr_rbf"]
    assert (both["published"] == 0.3).all()


def test_every_published_number_counts_once(folder: Path, summary: pd.DataFrame) -> None:
    with open(folder / "one_r2.csv", "a", encoding="utf-8") as file:
        # the printed .7 as another figure shows it, and a kernel that another table names
        file.write("x/a,ols,TS+AP+HP,0.25,,100,0.72,,0.04,another figure\n")
        file.write("x/a,nusvr_rbf,TS,0.25,,100,0.3,0.1,0,another table\n")
    frame = published.compare(summary, folder)
    counted = frame[frame["counts"]]
    numbers = set(zip(counted["source"], counted["model"], counted["published"], strict=True))
    assert numbers == {
        ("paper", "ols", 0.7),
        ("figure", "ols", 0.5),  # differs by more than its reading error
        ("another table", "nusvr_rbf", 0.3),
        ("paper", "ols", 0.1),
    }
    text = published.text(frame)
    assert "of 4 published numbers" in text
    assert "lcnet" not in text
    assert "| x/a | ols | TS+AP+HP | 0.25 | 32 | 0.1 ± 0.1 | 0.6 ± 0.05774 |" in text


def test_notes_are_given_where_they_apply(folder: Path, summary: pd.DataFrame) -> None:
    frame = published.compare(summary, folder)
    notes = {(r.source, r.published): r.note for r in frame.itertuples()}
    assert notes["figure", 0.5] == "of the data set of the figure"
    assert notes["paper", 0.7] == "of the data set"
    (folder / "notes.csv").write_text("dataset,model,features,fraction,source,note\n")
    frame = published.compare(summary, folder)
    said = frame.set_index("beyond_2se")["note"]
    assert set(said[True]) == {published.NOT_EXPLAINED}
    assert set(said[False]) == {""}


def test_fractions_are_compared_as_decimals(folder: Path, summary: pd.DataFrame) -> None:
    nearly = summary.assign(fraction=np.nextafter(0.25, 1))
    assert len(published.compare(nearly, folder)) == len(published.compare(summary, folder))


def test_nothing_to_compare_gives_an_empty_table(folder: Path, make_scores: MakeScores) -> None:
    other = comparisons.summarise(make_scores({("mine", "ols"): [0.1, 0.2]}))
    frame = published.compare(other, folder)
    assert frame.empty
    assert list(frame.columns) == list(published.COLUMNS)
    assert "0 of 0 published numbers" in published.text(frame)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("one_r2.csv", HEAD.replace("r2_se,", ""), r"one_r2\.csv, column r2_se: missing"),
        (
            "one_r2.csv",
            HEAD + "x/a,ols,TS,0.25,,100,high,,0,paper\n",
            r"one_r2\.csv, row 0, column r2: 'high'",
        ),
        ("notes.csv", "dataset,model\n", r"notes\.csv, column features: missing"),
        (
            "notes.csv",
            "dataset,model,features,fraction,source,note\nx/a,,,,,\n",
            r"notes\.csv, row 0, column note: no note",
        ),
    ],
)
def test_bad_files(folder: Path, summary: pd.DataFrame, name: str, text: str, message: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        published.compare(summary, folder)


# the published figures themselves


def test_published_figures_of_the_project() -> None:
    frame = published.load(FOLDER)
    assert not frame.duplicated([*published.KEYS, "source"]).any()
    assert frame["source"].str.contains("Baker").all()
    keys = ["source", "dataset", "model", "features", "fraction"]
    values = frame[frame["depth"].isna()].set_index(keys)["r2"].to_dict()
    paper = "Baker, Gupta, Raskar, Naik 2018 (arXiv 1705.10823)"
    cell = ("baker/metaqnn_cifar10", "nusvr_linear", "TS+AP+HP", 0.25)
    assert values[(f"{paper}, Table 1", *cell)] == 0.9444
    assert values[("Baker 2017, MEng thesis (MIT), Figure 4.3", *cell)] == 0.940
    architecture = ("baker/deep_resnets_tinyimagenet", "nusvr", "AP", 0.25)
    assert values[(f"{paper}, Table 2", *architecture)] == 0.8433
    deep = frame[frame["depth"].notna()]
    assert deep[["depth", "r2", "r2_se"]].to_numpy().tolist() == [
        [32, 0.8066, 0.038],
        [62, 0.8458, 0.027],
    ]
    assert frame["r2"].max() <= 1


def test_notes_of_the_project_name_known_sources() -> None:
    notes = published.load_notes(FOLDER / "notes.csv", published.NOTED)
    frame = published.load(FOLDER)
    for key in ("dataset", "source"):
        assert set(notes[key]) - {""} <= set(frame[key])


@pytest.mark.real_data
def test_published_figures_of_metaqnn_svhn_are_of_its_first_1000_runs(mirror: Path) -> None:
    """What notes.csv says about this data set: the last seen value needs no training to check."""
    name = "baker/metaqnn_svhn"
    stanza = datasets.load_registry({})[name]
    paths = [mirror / file.path for file in datasets.files_of(stanza)]
    curves = readers.read(name, datasets.for_reader(stanza), paths)
    assert len(curves) == 1300
    frame = published.load(FOLDER)
    theirs = frame[(frame["dataset"] == name) & (frame["model"] == "last_value")]
    for runs, matches in ((slice(0, 1000), True), (slice(0, 1300), False)):
        ours = [
            scores.r2(curves.final[runs], curves.values[runs, tau_of(fraction, range(1, 21)) - 1])
            for fraction in theirs["fraction"]
        ]
        close = np.abs(np.array(ours) - theirs["r2"].to_numpy()) < 0.005
        assert close.all() == matches
