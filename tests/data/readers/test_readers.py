from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curvecast import CurveSet, DataError
from curvecast.data import readers
from curvecast.data import registry as datasets
from curvecast.files import checksum
from curvecast.validation import validated


def check(name: str, stanza: dict[str, Any]) -> None:
    """Read the stanza with the model of its reader."""
    validated(
        readers.model_of(stanza["reader"], f"data set {name!r}"), stanza, f"data set {name!r}"
    )


TABLE = {
    "reader": "table",
    "curve_columns": "acc_{epoch}",
    "direction": "maximize",
    "files": [{"local": "runs.csv"}],
}


def test_a_written_set_is_read_back_under_its_name(
    make_curves: Callable[..., CurveSet], tmp_path: Path
) -> None:
    path = tmp_path / "set.parquet"
    curves = make_curves(n=6)
    curves.to_parquet(path)
    stanza = {"reader": "curveset", "direction": "maximize", "files": [{"local": str(path)}]}
    back = readers.read("embedded/other", stanza, [path])
    assert back.name == "embedded/other"
    np.testing.assert_array_equal(back.values, curves.values)
    with pytest.raises(DataError, match="direction is 'maximize', its stanza says 'minimize'"):
        readers.read("embedded/other", {**stanza, "direction": "minimize"}, [path])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"reader": "excel"},
            r"'mine': reader is 'excel', not one of baker, curveset, lcbench, log, table, taskset",
        ),
        ({"reader": None}, "reader is None"),
        (
            {"curve_column": "acc_{epoch}"},
            "unknown key 'curve_column', the nearest known key is",
        ),
        ({"network": "net"}, "unknown key 'network'"),
    ],
)
def test_stanzas_are_checked(changes: dict[str, Any], message: str) -> None:
    check("mine", TABLE)
    with pytest.raises(DataError, match=message):
        check("mine", {**TABLE, **changes})


def test_missing_keys_are_named() -> None:
    without = {key: value for key, value in TABLE.items() if key != "direction"}
    with pytest.raises(DataError, match="'mine': key 'direction' is missing"):
        check("mine", without)


def test_files_are_verified_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("lr,acc_1\n1,.1\n2,.2\n")
    stanza = {**TABLE, "files": [{"path": "runs.csv", "checksum": "md5:" + "0" * 32}]}
    actual = checksum(path, "md5")
    message = rf"runs\.csv: wrong checksum.* {'0' * 32}, the file has {actual}"
    with pytest.raises(DataError, match=message):
        readers.read("mine", stanza, [path])
    stanza["files"] = [{"path": "runs.csv", "checksum": f"md5:{actual}"}]
    assert len(readers.read("mine", stanza, [path])) == 2
    with pytest.raises(DataError, match=r"absent\.csv: the file does not exist"):
        readers.read("mine", stanza, [tmp_path / "absent.csv"])


@pytest.mark.parametrize(
    "name", ["breast_cancer_mlp", "digits_mlp", "digits_small_mlp", "digits_unstable_mlp"]
)
def test_the_embedded_collections_are_read(name: str) -> None:
    registry = datasets.load_registry()
    stanza = registry[f"embedded/{name}"]
    curves = readers.read(
        f"embedded/{name}", stanza, [file.destination(".") for file in datasets.files_of(stanza)]
    )
    assert len(curves) >= 300
    assert curves.epochs.tolist() == list(range(51))
    assert (curves.metric, curves.direction) == ("validation cross-entropy", "minimize")
    assert {"hp_learning_rate", "ap_num_layers"} <= set(curves.configs.columns)
    assert "seconds" in curves.series
