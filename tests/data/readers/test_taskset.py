from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curvecast import CurveSet, DataError
from curvecast.data import readers
from curvecast.data.registry import load_registry

REGISTRY = load_registry()
NAME = "taskset/patch32_GRU128_bs128"
NAMES = [name for name in REGISTRY if name.startswith("taskset/")]
COLUMNS = REGISTRY[NAME]["columns"]


def records(n: int = 4) -> list[dict[str, Any]]:
    """Runs as the DyHPO repository writes them: 51 losses of three parts, eight settings."""
    rng = np.random.default_rng(0)
    return [
        {
            "hp": dict(zip(COLUMNS, rng.uniform(0.1, 0.9, 8).tolist(), strict=True)),
            **{part: {"loss": rng.gamma(2, 1, 51).tolist()} for part in ("train", "valid", "test")},
        }
        for _ in range(n)
    ]


def read(path: Path, content: Any, **changes: Any) -> CurveSet:
    path = path / "task.json"
    path.write_text(json.dumps(content))
    return readers.read(
        NAME, {**REGISTRY[NAME], "files": [{"local": str(path)}], **changes}, [path]
    )


def test_losses_settings_and_series(tmp_path: Path) -> None:
    runs = records()
    runs[1]["valid"]["loss"][-2:] = [6e18, float("nan")]
    runs[2]["valid"]["loss"][3] = None
    runs[3]["hp"]["beta2"] = 1 - 1e-6
    curves = read(tmp_path, runs, series=["train", "test"])
    expected = np.array([run["valid"]["loss"] for run in runs], dtype=float)
    np.testing.assert_array_equal(curves.values, expected)
    assert curves.values[1, 49] == 6e18
    assert np.isnan(curves.values[1, 50])
    assert np.isnan(curves.values[2, 3])
    assert curves.epochs.tolist() == list(range(51))
    assert sorted(curves.series) == ["test_loss", "train_loss"]
    np.testing.assert_array_equal(curves.series["test_loss"][2], runs[2]["test"]["loss"])
    assert (curves.metric, curves.direction) == ("validation loss", "minimize")
    settings = list(curves.configs.columns[2:])
    assert settings[:4] == [
        "hp_learning_rate",
        "hp_one_minus_beta1",
        "hp_one_minus_beta2",
        "hp_epsilon",
    ]
    assert len(settings) == 8
    assert list(curves.log_columns) == settings
    assert curves.configs["hp_one_minus_beta1"][0] == 1 - runs[0]["hp"]["beta1"]
    assert curves.configs["hp_one_minus_beta2"][3] == pytest.approx(1e-6)
    assert not read(tmp_path, runs).series


def wrong(change: Any) -> Any:
    runs = records()
    change(runs)
    return runs


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "task.json: not a list of runs"),
        ([1], "row 1, column hp: the run lacks this"),
        (wrong(lambda r: r[2].pop("valid")), "row 3, column valid: the run lacks this"),
        (wrong(lambda r: r[1]["hp"].pop("l1")), "row 2, column hp/l1: None is not a number"),
        (wrong(lambda r: r[1]["valid"].pop("loss")), "column valid/loss: not a list of 51 values"),
        (wrong(lambda r: r[0]["valid"]["loss"].pop()), "row 1, .*: not a list of 51 values"),
        (wrong(lambda r: r[0]["valid"].update(loss=["a"] * 51)), "valid/loss: 'a' is not a number"),
        (wrong(lambda r: r[0]["hp"].update(l2=True)), "hp/l2: True is not a number"),
    ],
)
def test_wrong_content(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps(records())[:-9])
    with pytest.raises(DataError, match="not JSON"):
        readers.read(NAME, {**REGISTRY[NAME], "files": [{"local": str(path)}]}, [path])


@pytest.mark.real_data
@pytest.mark.parametrize("name", NAMES)
def test_published_tasks(mirror: Path, name: str) -> None:
    path = mirror / REGISTRY[name]["files"][0]["path"]
    if not path.is_file():
        pytest.skip("the mirror does not have this task")
    curves = readers.read(name, REGISTRY[name], [path])
    assert curves.values.shape == (1000, 51)
    assert len(np.unique(curves.groups)) == 1000
    settings = curves.configs.drop(columns=["id", "group"])
    assert settings.shape[1] == 8
    assert (settings > 0).all(axis=None)
    assert np.isfinite(curves.final).sum() > 700
    # Untrained networks are alike, whatever their settings.
    assert curves.values[:, 0].max() < 3 * curves.values[:, 0].min()
