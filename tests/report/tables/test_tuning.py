"""The table of tuned predictors."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from curvecast import DataError
from curvecast.report.tables import studies

TASK_A = Path(__file__).parents[3] / "resources/published/lcbench_task_a_mse.csv"


def test_the_published_networks_are_tuned_and_untuned() -> None:
    found = studies.published_tuning(TASK_A).set_index(["model", "variant"])
    assert set(found.index) == {
        ("cnn", "untuned"), ("lstm", "untuned"), ("cnn_lstm", "untuned"),
        ("cnn", "tuned"), ("lstm", "tuned"),
    }  # fmt: skip
    assert found.loc[("cnn", "tuned"), "validation_mse"] == 8.6917
    assert found.loc[("lstm", "untuned"), "test_mse"] == 6.2994


def test_a_table_without_tuned_networks_is_named(tmp_path: Path) -> None:
    frame = pd.read_csv(TASK_A)
    frame[~frame["model"].str.contains("BOHB")].to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="tuned networks of 0 sources"):
        studies.published_tuning(tmp_path / "x.csv")
    frame.drop(columns="val_mse").to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match="missing column"):
        studies.published_tuning(tmp_path / "x.csv")


def test_the_text_has_ours_and_theirs() -> None:
    row = {
        "study": "s", "model": "cnn", "dataset": "d", "epochs": 9, "repeats": 3,
        "options": '{"lr": 0.0408, "optimizer": "Adam"}',
        **{f"{split}_{name}{se}": 0.25 for split in ("validation", "test")
           for name in ("mse", "mae") for se in ("", "_se")},
    }  # fmt: skip
    rows = pd.DataFrame([{**row, "variant": v} for v in ("untuned", "tuned")])
    _, text = studies.tuning_tables(rows, studies.published_tuning(TASK_A))["tuning"]
    assert "| s | cnn | d | tuned | 9 | 0.25 ± 0.25 |" in text
    assert "| lr 0.0408, optimizer Adam |" in text
    assert "| Singh poster | cnn | tuned | 8.692 | 6.99" in text
