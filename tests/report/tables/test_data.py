from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError
from curvecast.files import write_csv
from curvecast.report.tables import data


def test_datasets_table(tmp_path: Path, make_curves) -> None:
    curves = make_curves(n=10, direction="minimize", name="mine/b")
    values = curves.values.copy()
    values[0, -1] = np.nan
    configs = curves.configs.assign(group=[0, 0, *range(2, 10)])
    replace(
        curves, values=values, configs=configs, notes=("3 rows that equal an earlier one",)
    ).to_parquet(tmp_path / "b.parquet")
    make_curves(n=4, name="mine/a").to_parquet(tmp_path / "a.parquet")
    files = [tmp_path / "b.parquet", tmp_path / "a.parquet"]
    frame, _ = data.datasets_tables(files, {"mine/b": "MIT"})["datasets"]
    assert frame["dataset"].tolist() == ["mine/a", "mine/b"]
    row = frame.iloc[1]
    assert (row["runs"], row["groups"], row["diverged"]) == (10, 9, 1)
    assert (row["first_epoch"], row["last_epoch"]) == (1, 20)
    final = values[1:, -1]
    assert row["final_best"] == final.min()  # smaller is better here
    assert row["final_worst"] == final.max()
    assert row["final_median"] == np.median(final)
    assert row["notes"] == "3 rows that equal an earlier one"
    assert frame["licence"].tolist() == ["", "MIT"]


def test_timings_are_summed_per_model_and_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "timings"
    (folder / "baker").mkdir(parents=True)
    seconds = pd.DataFrame(
        {
            "tau": [5, 10],
            "seconds_fit": [1.0, 2.0],
            "seconds_predict": [0.5, 0.25],
            "unconverged": [0.1, 0.3],
        }
    )
    write_csv(seconds, folder / "baker/a.csv", sealed=True)
    seconds = pd.DataFrame({"tau": [5], "seconds_fit": [4.0], "seconds_predict": [0.0]})
    write_csv(seconds, folder / "baker/a.ablation.csv", sealed=True)
    paths = [folder / "baker/a.csv", folder / "baker/a.ablation.csv"]
    frame = data.summed(folder, paths)
    assert frame["experiment"].tolist() == ["ablation", "main"]
    row = frame.iloc[1]
    assert (row["dataset"], row["model"], row["cells"]) == ("baker", "a", 2)
    assert (row["seconds_fit"], row["seconds_predict"], row["seconds"]) == (3.0, 0.75, 3.75)
    assert row["seconds_per_cell"] == 1.875
    assert row["unconverged"] == pytest.approx(0.2)
    assert math.isnan(frame["unconverged"][0])
    write_csv(pd.DataFrame({"tau": [5]}), folder / "baker/b.csv", sealed=True)
    with pytest.raises(DataError, match=r"b\.csv, column seconds_fit: missing"):
        data.summed(folder, [folder / "baker/b.csv"])
