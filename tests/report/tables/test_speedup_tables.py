"""Speedup tables: summaries over orderings and data sets, and published values beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError
from curvecast.report.tables import published_speedups
from curvecast.report.tables import speedups as tables

PUBLISHED_FOLDER = Path(__file__).resolve().parents[3] / "resources/published"


@pytest.fixture
def published():
    return published_speedups.load(PUBLISHED_FOLDER, "sequential")


def hyperband_table(outcomes):
    """Ours beside the published speedups of Hyperband."""
    published = published_speedups.load(PUBLISHED_FOLDER, "hyperband")
    table = published_speedups.add(tables.speedup_hyperband(outcomes), published, "hyperband")
    return table


def sequential_table(outcomes, published):
    return published_speedups.add(tables.speedup_sequential(outcomes), published, "sequential")


def sequential_rows(
    dataset="baker/metaqnn_cifar10", predictor="nusvr_rbf", setting="baker", delta=0.8, **columns
):
    speedup = np.array([6.0, 7.0, 8.0])
    return pd.DataFrame(
        {
            "dataset": dataset,
            "predictor": predictor,
            "setting": setting,
            "delta": delta,
            "default": False,
            "ordering": range(3),
            "epochs": 16800 / speedup,
            "speedup": speedup,
            "seconds": np.nan,
            "speedup_seconds": np.nan,
            "regret": [0.0, 0.004, 0.02],
            "recovered": [True, True, False],
            "exactly": [True, False, False],
            "beating": [2, 0, 3],
            "lost": [0, 0, 1],
            "oracle_speedup": 9.0,
        }
    ).assign(**columns)


def hyperband_rows(predictor="nusvr_rbf", setting="kappa=1", **columns):
    frame = pd.DataFrame(
        {
            "dataset": "baker/cudaconvnet_cifar10",
            "predictor": predictor,
            "setting": setting,
            "delta": 0.95,
            "default": False,
            "repeat": range(2),
            "window": "settled",
            "first": 11,
            "last": 40,
            "budget": 27,
            "direction": "maximize",
            "epochs": [2100, 1900],
            "speedup": [1.9, 2.1],
            "seconds": [100.0, 300.0],
            "speedup_seconds": [2.0, 1.0],
            "oracle_speedup": 4.0,
            "loss": [0.0, 0.001],
            "loss_relative": [0.0, 0.02],
        }
    )
    return frame.assign(**columns)


def test_a_row_sums_up_its_orderings(published):
    table = sequential_table(sequential_rows(), published)
    assert len(table) == 1
    row = table.iloc[0]
    # 3 * 16800 epochs in place of 2800 + 2400 + 2100; all three resampled orderings are the
    # slowest one in 1 of 27 cases, which is more than 2.5 %
    assert row["speedup"] == pytest.approx(50400 / 7300)
    assert row[["speedup_low", "speedup_high"]].tolist() == pytest.approx([6, 8])
    assert (row["recovered"], row["exactly_recovered"], row["orderings"]) == (2, 1, 3)
    assert row["recovered_share"] == pytest.approx(2 / 3)
    assert row[["regret_low", "regret_high"]].tolist() == [0.0, 0.02]
    assert row["regret_mean"] == pytest.approx(0.008)
    assert row["lost_share"] == pytest.approx(1 / 5)
    assert row["oracle_bound"] == 9


def test_ratios_of_sums_and_their_intervals_worked_out_by_hand():
    one = tables.ratio_of_sums(pd.Series([6.0]), pd.Series([2.0]))
    assert one[0] == 3.0
    assert np.isnan(one[1:]).all()
    # resampling two orderings gives either of them twice in a quarter of the cases
    assert tables.ratio_of_sums(pd.Series([6.0, 6.0]), pd.Series([1.0, 3.0])) == (3.0, 2.0, 6.0)
    assert tables.ratio_of_sums(pd.Series([0.0, 1.0])) == (0.5, 0.0, 1.0)
    many = tables.ratio_of_sums(pd.Series(np.tile([0.0, 1.0], 50)))
    # the standard error of the mean of 100 coin flips is .05
    assert many[1:] == pytest.approx((0.402, 0.598), abs=0.011)


def test_more_than_half_of_the_orderings_is_exact():
    half = [True] * 5 + [False] * 5
    rows = [
        pd.concat([sequential_rows(dataset=f"lcbench/{name}")] * 4).iloc[:10].assign(recovered=hits)
        for name, hits in (("a", half), ("b", [True, *half[:-1]]))
    ]
    table = tables.speedup_sequential(pd.concat(rows))
    assert table["recovered"].tolist() == [5, 6]
    assert tables.over_data_sets(table)["recovered_datasets"].tolist() == [1]


def test_published_speedups_stand_beside_ours(published):
    rows = [
        sequential_rows(),
        sequential_rows(setting="top10", delta=0.99),
        sequential_rows(predictor="lce", delta=0.95),
        sequential_rows(delta=0.9, dataset="baker/metaqnn_svhn"),
        sequential_rows(dataset="lcbench/adult"),
    ]
    table = sequential_table(pd.concat(rows), published)
    table = table.set_index(["dataset", "predictor", "setting", "delta"])
    row = table.loc[("baker/metaqnn_cifar10", "nusvr_rbf", "baker", 0.8)]
    assert (row["published"], row["published_recovered"], row["note"]) == (
        6.10,
        False,
        "not explained",
    )
    assert row["ratio"] == pytest.approx(50400 / 7300 / 6.10)
    row = table.loc[("baker/metaqnn_cifar10", "nusvr_rbf", "top10", 0.99)]
    assert (row["published"], row["published_recovered"]) == (3.38, True)
    assert table.loc[("baker/metaqnn_cifar10", "lce", "baker", 0.95), "published"] == 2.57
    row = table.loc[("baker/metaqnn_svhn", "nusvr_rbf", "baker", 0.9)]
    assert row["published"] == 2.66
    assert "1300 runs" in row["note"]
    row = table.loc[("lcbench/adult", "nusvr_rbf", "baker", 0.8)]
    assert np.isnan(row["published"])
    assert row["note"] == ""


def test_hyperband_rows_and_what_counts_as_not_worse():
    rows = [
        hyperband_rows(),
        hyperband_rows(setting="kappa=0.5", loss=[0.002, 0.001]),
        hyperband_rows(predictor="gain_gp"),
        hyperband_rows(setting="top1", direction="minimize"),
        hyperband_rows(setting="kappa=0.1", direction="minimize", loss_relative=0.011),
    ]
    table = hyperband_table(pd.concat(rows))
    table = table.set_index(["predictor", "setting"])
    row = table.loc[("nusvr_rbf", "kappa=1")]
    # the two repeats of plain Hyperband took 3990 epochs each, and 200 and 300 seconds
    assert row["speedup"] == pytest.approx(7980 / 4000)
    assert row["share_of_bound"] == pytest.approx(7980 / 4000 / 4)
    assert row["speedup_seconds"] == pytest.approx(500 / 400)
    assert (row["published"], row["published_recovered"], row["note"]) == (1.95, True, "")
    assert np.isnan(table.loc[("gain_gp", "kappa=1"), "published"])
    assert table.loc["nusvr_rbf", "not_worse"].to_dict() == {
        "kappa=0.1": False,
        "kappa=0.5": False,
        "kappa=1": True,
        "top1": True,
    }


def test_summaries_over_data_sets():
    rows = [
        sequential_rows(dataset="lcbench/a", delta=0.9, default=True),
        sequential_rows(
            dataset="lcbench/b", delta=0.9, default=True, recovered=[True, False, False]
        ),
        sequential_rows(dataset="baker/a", predictor="patience", setting="2 epochs", delta=np.nan),
        sequential_rows(dataset="baker/b", predictor="patience", setting="50 epochs", delta=np.nan),
    ]
    rows[1]["epochs"] *= 4
    rows[1]["speedup"] /= 4
    summary = tables.over_data_sets(tables.speedup_sequential(pd.concat(rows)))
    summary = summary.set_index("collection")
    assert summary["datasets"].to_dict() == {"baker": 2, "lcbench": 2}
    assert summary.loc["lcbench", "speedup"] == pytest.approx(50400 / 7300 / 2)
    assert summary.loc["lcbench", "recovered_datasets"] == 1
    assert summary.loc["baker", "setting"] == "a tenth of the epochs"
    hyper = [hyperband_rows(), hyperband_rows(dataset="baker/b", speedup=3.0, loss=0.0)]
    summary = tables.over_data_sets(tables.speedup_hyperband(pd.concat(hyper)))
    assert summary[["datasets", "not_worse_datasets", "reached_datasets"]].values.tolist() == [
        [2, 2, 1]
    ]
    assert summary["share_of_bound"].iloc[0] == pytest.approx((7980 / 4000 + 3) / 4 / 2)


def test_seconds_are_sums_over_orderings():
    row = ("baker/a", "lce", "sequential")
    frame = pd.DataFrame(
        [(*row, 0, 5, 1.0, 2.0), (*row, 1, 5, 0.5, 0.25)],
        columns=["dataset", "predictor", "search", "repeat", "fits", "fit_seconds", "ask_seconds"],
    )
    made = tables.stopping_timings_tables(frame)
    found = made["stopping_timings"][0].iloc[0]
    assert found[["fits", "fit_seconds", "ask_seconds", "seconds"]].tolist() == [
        10,
        1.5,
        2.25,
        3.75,
    ]


def test_a_damaged_file_of_published_speedups_is_named(tmp_path):
    for name in ("baker2017_thesis_speedups.csv", "speedup_notes.csv"):
        (tmp_path / name).write_text((PUBLISHED_FOLDER / name).read_text(encoding="utf-8"))
    frame = pd.read_csv(tmp_path / "speedup_notes.csv").drop(columns="delta")
    frame.to_csv(tmp_path / "speedup_notes.csv", index=False)
    with pytest.raises(DataError, match=r"speedup_notes\.csv.*column delta"):
        published_speedups.load(tmp_path, "sequential")


def test_markdown_never_shows_a_speedup_without_its_loss(published):
    rows = [
        sequential_rows(),
        sequential_rows(setting="online", predictor="gain_gp", delta=0.9, default=True),
        sequential_rows(predictor="median", setting="vizier", delta=np.nan),
    ]
    table = sequential_table(pd.concat(rows), published)
    text = tables.text("sequential", table, tables.over_data_sets(table))
    assert "## The fixed setting: online, gain_gp, Delta 0.9" in text
    assert "| 6.904 [6, 8] |  | 9 | 0.6667 | 0.008 | 3 | 2 | 1 | 0.2 |" in text
    assert "| baker/metaqnn_cifar10 | nusvr_rbf | baker |  | 6.904 / 0.6667 / 0.008 |  |" in text
    assert "| median | vizier | 6.904 / 0.6667 / 0.008 |  |  |" in text
    assert "| 6.1 | no | 6.904 [6, 8] | 0.6667 | 0.008 | 1.132 | not explained |" in text
    hyper = hyperband_table(hyperband_rows(default=True))
    text = tables.text("hyperband", hyper, tables.over_data_sets(hyper))
    assert (
        "| 27 | settled | 11 | 40 | 1.995 [1.9, 2.1] | 1.25 | 4 | 0.4988 | 0.01 | 0.0005 |" in text
    )
    assert "| 1.995 / 0.4988 / 0.01 |" in text
