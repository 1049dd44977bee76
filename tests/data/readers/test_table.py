from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curvecast import DataError, read_curves
from curvecast.data import readers
from curvecast.data.registry import load_registry

GOOD = """name,lr,layers,optimizer,acc_1,acc_2,acc_3
a,0.1,2,sgd,0.1,0.2,0.3
b,0.001,3,adam,0.2,0.3,0.4
c,0.01,2,sgd,0.3,0.4,0.5
"""


def write(folder: Path, text: str, name: str = "runs.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, **options: object) -> object:
    return read_curves(path, "acc_{epoch}", "maximize", id="name", **options)  # type: ignore[arg-type]


def test_columns_find_their_roles(tmp_path: Path) -> None:
    curves = read_curves(
        write(tmp_path, GOOD),
        curve_columns="acc_{epoch}",
        direction="maximize",
        id="name",
        architecture=["layers"],
    )
    assert curves.configs["id"].tolist() == ["a", "b", "c"]
    assert list(curves.configs.columns) == ["id", "group", "hp_lr", "ap_layers", "hp_optimizer"]
    assert curves.configs["hp_lr"].tolist() == [0.1, 0.001, 0.01]
    assert curves.configs["hp_optimizer"].cat.categories.tolist() == ["adam", "sgd"]
    np.testing.assert_array_equal(curves.values[1], [0.2, 0.3, 0.4])
    assert curves.epochs.tolist() == [1, 2, 3]
    assert (curves.metric, curves.direction, curves.name) == ("acc", "maximize", "runs")
    assert curves.log_columns == ("hp_lr",)
    assert curves.groups.tolist() == [0, 1, 2]
    assert curves.notes == ()


def test_parquet_tsv_and_gzip_give_the_same_curves(tmp_path: Path) -> None:
    expected = read(write(tmp_path, GOOD))
    frame = pd.read_csv(tmp_path / "runs.csv")
    frame.to_parquet(tmp_path / "runs.parquet")
    write(tmp_path, GOOD.replace(",", "\t"), "runs.tsv")
    (tmp_path / "runs.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    for name in ("runs.parquet", "runs.tsv", "runs.csv.gz"):
        curves = read(tmp_path / name)
        np.testing.assert_array_equal(curves.values, expected.values)
        pd.testing.assert_frame_equal(
            curves.configs, expected.configs, check_dtype=False, check_categorical=False
        )


def test_a_stanza_of_a_config_gives_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    registry = load_registry(
        {
            "mine/runs": {
                "reader": "table",
                "file": str(path),
                "curve_columns": "acc_{epoch}",
                "direction": "maximize",
                "metric": "test accuracy",
                "id": "name",
            }
        }
    )
    curves = readers.read("mine/runs", registry["mine/runs"], [path])
    np.testing.assert_array_equal(curves.values, read(path).values)
    assert (curves.name, curves.metric) == ("mine/runs", "test accuracy")


def test_log_scale_is_seen_at_two_decades(tmp_path: Path) -> None:
    text = "two,less,zero,acc_1\n1,1,0,.1\n100,99,1000,.2\n"
    curves = read_curves(write(tmp_path, text), "acc_{epoch}", "maximize")
    assert curves.log_columns == ("hp_two",)
    curves = read_curves(tmp_path / "runs.csv", "acc_{epoch}", "maximize", log=["less"])
    assert curves.log_columns == ("hp_less",)
    curves = read_curves(tmp_path / "runs.csv", "acc_{epoch}", "maximize", log=[])
    assert curves.log_columns == ()
    with pytest.raises(DataError, match="column zero: a column on a log scale holds something"):
        read_curves(tmp_path / "runs.csv", "acc_{epoch}", "maximize", log=["zero"])
    with pytest.raises(DataError, match="column three: a log column is no hyper-parameter"):
        read_curves(tmp_path / "runs.csv", "acc_{epoch}", "maximize", log=["three"])


def test_series_and_epochs(tmp_path: Path) -> None:
    text = "lr,err 5,err 10,err 20,loss10,loss20\n1,9,8,7,.9,.8\n2,6,5,4,.7,.6\n"
    curves = read_curves(
        write(tmp_path, text), "err {epoch}", "minimize", series={"train": "loss{epoch}"}
    )
    assert curves.epochs.tolist() == [5, 10, 20]
    np.testing.assert_array_equal(curves.series["train"], [[np.nan, 0.9, 0.8], [np.nan, 0.7, 0.6]])
    assert list(curves.configs.columns) == ["id", "group", "hp_lr"]
    assert curves.configs["id"].tolist() == ["1", "2"]
    assert "13 epochs between the first and the last are not recorded" in curves.notes
    ahead = write(tmp_path, "lr,err 1,err 2,err 9\n1,9,8,\n2,6,5,\n")
    assert not any("not recorded" in n for n in read_curves(ahead, "err {epoch}", "minimize").notes)
    write(tmp_path, text)
    by_name = read_curves(tmp_path / "runs.csv", "err {epoch}", "minimize", series=["loss{epoch}"])
    assert list(by_name.series) == ["loss"]
    with pytest.raises(DataError, match="column err 5: series 'train' has epoch 5"):
        read_curves(
            tmp_path / "runs.csv", "loss{epoch}", "minimize", series={"train": "err {epoch}"}
        )


def test_numbers_in_names_may_count_differently(tmp_path: Path) -> None:
    curves = read_curves(
        write(tmp_path, "lr,acc_0,acc_1\n1,.1,.2\n2,.3,.4\n"),
        "acc_{epoch}",
        "maximize",
        first_epoch=1,
    )
    assert curves.epochs.tolist() == [1, 2]


def test_diverged_runs_are_kept_and_noted(tmp_path: Path) -> None:
    text = "lr,acc_1,acc_2\n1,.1,.2\n2,.3,\n3,,NaN\n4,-inf,inf\n5,.5,.6\n"
    curves = read_curves(write(tmp_path, text), "acc_{epoch}", "maximize")
    np.testing.assert_array_equal(
        curves.values, [[0.1, 0.2], [0.3, np.nan], [np.nan] * 2, [-np.inf, np.inf], [0.5, 0.6]]
    )
    assert curves.notes == (
        "2 runs without any value, kept as diverged: rows 3, 4",
        "3 runs without a finite final value (diverged or ended early), kept but never a target: "
        "rows 2, 3, 4",
    )


def test_constant_target_is_noted(tmp_path: Path) -> None:
    text = "lr,acc_1,acc_2\n1,.1,.2\n2,.3,.2\n"
    curves = read_curves(write(tmp_path, text), "acc_{epoch}", "maximize")
    assert curves.notes == ("the final value is constant (0.2): R² is not defined",)


def test_missing_settings_are_legal(tmp_path: Path) -> None:
    text = "lr,momentum,schedule,acc_1\n1,.9,cosine,.1\n2,,,.2\n"
    curves = read_curves(write(tmp_path, text), "acc_{epoch}", "maximize")
    np.testing.assert_array_equal(curves.configs["hp_momentum"], [0.9, np.nan])
    assert curves.configs["hp_schedule"].isna().tolist() == [False, True]


def test_groups_and_duplicates(tmp_path: Path) -> None:
    text = "lr,seed,acc_1\n1,0,.1\n2,0,.2\n1,1,.3\n2,0,.2\n"
    path = write(tmp_path, text)
    curves = read_curves(path, "acc_{epoch}", "maximize", ignore=["seed"])
    assert curves.groups.tolist() == [0, 1, 0, 1]
    assert curves.notes == ("1 rows that equal an earlier one in every cell kept",)
    curves = read_curves(path, "acc_{epoch}", "maximize", group="seed", drop_duplicates=True)
    assert curves.groups.tolist() == [0, 0, 1]
    assert curves.configs["id"].tolist() == ["1", "2", "3"]
    assert curves.notes == ("1 rows that equal an earlier one in every cell dropped",)
    assert list(curves.configs.columns) == ["id", "group", "hp_lr"]


def test_rows_are_counted_in_the_file_after_duplicates_were_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, "lr,acc_1\n1,.1\n1,.1\n2,x\n")
    with pytest.raises(
        DataError, match=r"row 3 \(header not counted\), column acc_1: 'x' is not a number"
    ):
        read_curves(path, "acc_{epoch}", "maximize", drop_duplicates=True)


def test_categories_can_be_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "kernel,acc_1\n3,.1\n5,.2\n3,.3\n")
    curves = read_curves(path, "acc_{epoch}", "maximize", categorical=["kernel"])
    assert curves.configs["hp_kernel"].tolist() == ["3", "5", "3"]
    assert isinstance(curves.configs["hp_kernel"].dtype, pd.CategoricalDtype)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "0.3,0.4\n",
            "0.3,high\n",
            r"row 2 \(header not counted\), column acc_3: 'high' is not a number",
        ),
        (
            "0.001",
            "small",
            r"row 2 \(header not counted\), column lr: 'small' is text in a column of numbers",
        ),
        ("0.001", "inf", r"row 2 \(header not counted\), column lr: a hyper-parameter is infinite"),
        (
            "b,0.001",
            "a,0.001",
            r"row 2 \(header not counted\), column name: duplicate id 'a', first in row 1",
        ),
        ("b,0.001", ",0.001", r"row 2 \(header not counted\), column name: the id is missing"),
        ("name,lr", "name,layers", r"column layers: the header has this column twice"),
        ("acc_2,acc_3", "acc_2,acc_02", r"column acc_02: a second column for epoch 2"),
        ("acc_", "val_", r"no column fits the pattern 'acc_\{epoch\}'; there are name, lr"),
        ("name,", "run,", r"column name: the file has no such column"),
        ("0.5\n", "0.5,0.6\n", r"row 3 \(header not counted\): the row has 8 cells, the header 7$"),
        (
            ",0.4,0.5\n",
            "",
            r"row 3 .*, column acc_2: the row has 5 cells, the header 7; is the file cut off",
        ),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert "runs.csv" in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"name,lr,acc_1\n", "a header but no data rows"),
        (b"name,lr,acc_1\na,1,\nb,2,nan\n", "hold not a single number"),
        (b"name,lr,acc_1\na,\xff\xfe,0.1\n", "not a complete table .*utf-8"),
        (b'name,lr,acc_1\na,1,"0.1\n', "not a complete table"),
    ],
)
def test_unusable_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"runs\.csv: .*{message}"):
        read(path)


def test_unusable_parquet_gzip_and_names(tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": ["a", "b"], "lr": [1.0, 2.0], "acc_1": ["0.1", "high"]})
    path = tmp_path / "runs.parquet"
    frame.to_parquet(path)
    with pytest.raises(
        DataError, match=r"row 2 \(header not counted\), column acc_1: 'high' is not a number"
    ):
        read(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match=r"runs\.parquet: not a complete Parquet file"):
        read(path)
    packed = tmp_path / "runs.csv.gz"
    packed.write_bytes(gzip.compress(GOOD.encode() * 50)[:-20])
    with pytest.raises(DataError, match=r"runs\.csv\.gz: not a complete table"):
        read(packed)
    with pytest.raises(DataError, match=r"runs\.xlsx: the name does not end with"):
        read(write(tmp_path, GOOD, "runs.xlsx"))
    with pytest.raises(DataError, match=r"absent\.csv: the file does not exist"):
        read(tmp_path / "absent.csv")


def test_wrong_layouts(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(DataError, match=r"the pattern 'acc_\*' does not have one \{epoch\}"):
        read_curves(path, "acc_*", "maximize")
    with pytest.raises(DataError, match=r"direction: input should be .*, not 'up'"):
        read_curves(path, "acc_{epoch}", "up")
    with pytest.raises(DataError, match="column optimizer: the column has no role"):
        read(path, hyperparameters=["lr", "layers"])
    with pytest.raises(DataError, match="column lr: the column has two roles"):
        read(path, architecture=["lr"], ignore=["lr"])
    with pytest.raises(DataError, match="column lr: the column has two roles"):
        read(path, architecture=["lr"], hyperparameters=["lr", "optimizer", "layers"])
    with pytest.raises(DataError, match="column width: the file has no such column"):
        read(path, architecture=["width"])
    with pytest.raises(DataError, match=r"log: input should be .*or 'auto', not 'yes'"):
        read(path, log="yes")


@pytest.mark.parametrize("n_empty", [0, 30])
def test_free_text_is_no_setting(tmp_path: Path, n_empty: int) -> None:
    rows = "".join(f"comment {i},0.{i}\n" for i in range(12)) + ",0.5\n" * n_empty
    path = write(tmp_path, "remark,acc_1\n" + rows)
    curves = read_curves(path, "acc_{epoch}", "maximize", drop_duplicates=True)
    assert "hp_remark" not in curves.configs
    assert "left out, free text: remark" in curves.notes
    with pytest.raises(DataError, match="column remark: most runs have a text of their own here"):
        read_curves(path, "acc_{epoch}", "maximize", hyperparameters=["remark"])
