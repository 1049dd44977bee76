"""LCBench's Task A: the split in file order, errors by hand, the published rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError
from curvecast.benchmark import task_a
from curvecast.benchmark.task_a import Variant
from curvecast.files import write_parquet
from curvecast.report.making import make
from curvecast.report.tables import task_a as table

Make = Callable[..., CurveSet]
PUBLISHED = Path(__file__).resolve().parents[2] / "resources/published/lcbench_task_a_mse.csv"


def variant(**changes: object) -> Variant:
    plain = Variant("", train=30, validation=10, test=20, test_from=40, options={})
    return replace(plain, **changes)


def test_parts_follow_the_order_of_the_file(make_curves: Make) -> None:
    curves = make_curves(60)
    curves.values[[3, 45], -1] = np.nan
    rows = variant().rows(curves)
    np.testing.assert_array_equal(rows["train"], np.delete(np.arange(30), 3))
    np.testing.assert_array_equal(rows["validation"], np.arange(30, 40))
    np.testing.assert_array_equal(rows["test"], np.delete(np.arange(40, 60), 5))
    more = variant(train=40, validation=0).rows(curves)
    assert len(more["validation"]) == 0
    np.testing.assert_array_equal(more["test"], rows["test"])


def test_parts_that_overlap_or_share_a_configuration_are_errors(make_curves: Make) -> None:
    with pytest.raises(DataError, match=r"35 \+ 10 runs before the test runs 40 to 60"):
        variant(train=35).rows(make_curves(60))
    with pytest.raises(DataError, match="do not fit 50 runs"):
        variant().rows(make_curves(50))
    curves = make_curves(60)
    curves.configs.loc[50, "group"] = 7
    with pytest.raises(DataError, match="row run50: a configuration of the training runs"):
        variant().rows(curves)


def test_errors_of_the_last_value_by_hand(make_curves: Make) -> None:
    curves = make_curves(60, noise=0.01)
    predictions, timings = task_a.run("last_value", curves, 10, [variant()])
    frame = table.errors(
        {("x/y", "last_value"): predictions}, {"x/y": "accuracy"}, table.published(PUBLISHED)
    )
    row = frame.iloc[0]
    gap = (curves.final - curves.values[:, 9])[40:]
    assert row["test_mse"] == pytest.approx(np.mean(gap**2))
    assert row["test_mae"] == pytest.approx(np.mean(np.abs(gap)))
    gap = (curves.final - curves.values[:, 9])[30:40]
    assert row["validation_mse"] == pytest.approx(np.mean(gap**2))
    assert list(row[["n_train", "n_validation", "n_test"]]) == [30, 10, 20]
    assert row["test_mse_low"] < row["test_mse"] < row["test_mse_high"]
    assert list(timings["variant"]) == [""]


def test_the_bootstrap_interval_is_that_of_a_mean_of_many_runs() -> None:
    rng = np.random.default_rng(0)
    gap = rng.normal(size=2000)
    found = table._errors("test", gap, seed=1)
    reach = 1.96 * np.std(gap**2) / np.sqrt(2000)
    assert found["test_mse_high"] - found["test_mse"] == pytest.approx(reach, rel=0.1)
    assert found["test_mse"] - found["test_mse_low"] == pytest.approx(reach, rel=0.1)


def test_a_run_is_the_same_every_time_and_sees_nothing_late(make_curves: Make) -> None:
    curves = make_curves(60, noise=0.01)
    first, _ = task_a.run("extra_trees", curves, 5, [variant(options={"max_trees": 20})])
    late = curves.take(np.arange(60))
    late.values[30:, 5:-1] = 9.0
    again, _ = task_a.run("extra_trees", late, 5, [variant(options={"max_trees": 20})])
    pd.testing.assert_frame_equal(first, again)


def test_published_rows_stand_below_with_their_source(make_curves: Make, tmp_path: Path) -> None:
    curves = make_curves(60, noise=0.01)
    variants = [variant(), variant(name="fewer", train=20)]
    predictions, _ = task_a.run("ridge", curves, 10, variants)
    write_parquet(predictions, tmp_path / "a/b/ridge.task_a.parquet", {"metric": "loss"})
    inputs = {"predictions": [tmp_path / "a/b/ridge.task_a.parquet"], "published": [PUBLISHED]}
    frame, text = make("table", "task_a", [], inputs, {"folder": tmp_path})["task_a"]
    assert tuple(frame.columns) == table.COLUMNS
    assert list(frame["variant"][:2]) == ["", "fewer"]
    theirs = frame[frame["source"] != "this run"].set_index(["source", "model"])
    assert theirs.loc[("Singh poster", "lstm"), "test_mse"] == 6.2994
    assert set(theirs["dataset"]) == {"lcbench_full/Fashion-MNIST"}
    assert "## a/b, loss" in text
    assert "| Schrodi et al. | conditional RNN ensemble |" in text
    assert "| 20 | 10 | 20 |" in text


def test_a_published_file_without_a_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("who,model\nme,ols\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"p\.csv, column val_mse: missing"):
        table.published(tmp_path / "p.csv")
