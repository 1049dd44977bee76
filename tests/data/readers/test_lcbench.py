from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curvecast import CurveSet, DataError
from curvecast.data import readers
from curvecast.data.registry import load_registry

REGISTRY = load_registry()
NPZ = "lcbench/Fashion-MNIST"
FULL = "lcbench_full/numerai28.6"
COLUMNS = REGISTRY[NPZ]["columns"]
NAMES = [name for name in REGISTRY if name.startswith("lcbench/")]


def settings(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    X = rng.uniform(0.1, 1, (n, 7))
    X[:, [0, 4, 5]] = rng.integers(1, 5, (n, 3))
    return X


def read_npz(path: Path, **changes: Any) -> CurveSet:
    return readers.read(NPZ, {**REGISTRY[NPZ], "files": [{"local": str(path)}], **changes}, [path])


def read_full(path: Path, name: str = FULL, **changes: Any) -> CurveSet:
    stanza = {**REGISTRY[name], "files": [{"local": str(path)}], **changes}
    return readers.read(name, stanza, [path])


def record(x: np.ndarray, logs: dict[str, Any]) -> dict[str, Any]:
    """One run as LCBench writes it."""
    config: dict[str, Any] = dict(zip(COLUMNS, x.tolist(), strict=True))
    for column in ("batch_size", "num_layers", "max_units"):
        config[column] = int(config[column])
    return {
        "config": {**config, "optimizer": "sgd", "imputation_strategy": "mean"},
        "log": logs,
        "results": {"final_val_accuracy": 71.5, "OpenML_task_id": 167120},
    }


def official(X: np.ndarray, Y: np.ndarray) -> dict[str, dict[str, Any]]:
    """{dataset: {config_id: {config, log, results}}} with logs of 52 and of 51 values."""
    return {
        str(i): record(
            x,
            {
                "Train/val_cross_entropy": y.tolist(),
                "Train/val_accuracy": (100 * np.exp(-y)).tolist(),
                "Train/lr": y[:51].tolist(),
                "epoch": list(range(len(y))),
            },
        )
        for i, (x, y) in enumerate(zip(X, Y, strict=True))
    }


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    X = settings(6)
    return X, np.random.default_rng(1).gamma(2.0, 1.0, (6, 52))


@pytest.fixture
def json_file(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> Path:
    X, Y = arrays
    path = tmp_path / "data_2k_lw.json"
    content = {"adult": official(X, Y + 1), "numerai28.6": official(X, Y), "car": official(X, -Y)}
    path.write_text(json.dumps(content))
    return path


def test_npz(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = arrays
    path = tmp_path / "set.npz"
    Y[1, 3], Y[2, 50] = np.nan, np.inf
    np.savez(path, X=X, Y=Y)
    curves = read_npz(path)
    np.testing.assert_array_equal(curves.values, Y[:, :51])
    assert curves.epochs.tolist() == list(range(51))
    assert list(curves.configs.columns[2:]) == [
        "hp_batch_size",
        "hp_learning_rate",
        "hp_momentum",
        "hp_weight_decay",
        "ap_num_layers",
        "ap_max_units",
        "hp_max_dropout",
    ]
    np.testing.assert_array_equal(curves.configs.iloc[:, 2:].to_numpy(), X)
    assert curves.configs["id"].tolist() == list("012345")
    assert curves.log_columns == ("hp_batch_size", "hp_learning_rate", "ap_max_units")
    assert (curves.metric, curves.direction) == ("validation cross-entropy", "minimize")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"X": np.ones((3, 7))}, "the file has no array 'Y'"),
        ({"X": np.ones((3, 6)), "Y": np.ones((3, 52))}, r"column X: the shape is \(3, 6\)"),
        ({"X": np.ones((3, 7)), "Y": np.ones((4, 52))}, r"column Y: the shape is \(4, 52\)"),
        ({"X": np.ones((3, 7)), "Y": np.ones((3, 50))}, r"column Y: the shape is \(3, 50\), not"),
        ({"X": np.ones((3, 7)), "Y": np.full((3, 52), "a")}, "column Y: the type is <U1"),
        ({"X": np.ones((3, 7)), "Y": np.full((3, 52), None)}, "not a complete npz file"),
    ],
)
def test_wrong_arrays(tmp_path: Path, content: dict[str, np.ndarray], message: str) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **content)
    with pytest.raises(DataError, match=rf"set\.npz.*{message}"):
        read_npz(path)


def test_truncated_and_empty_npz(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, X=settings(9), Y=np.ones((9, 52)))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"set\.npz: not a complete npz file"):
        read_npz(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"set\.npz: not a complete npz file"):
        read_npz(path)


def test_official_json(json_file: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = arrays
    curves = read_full(json_file)
    np.testing.assert_array_equal(curves.values, 100 * np.exp(-Y[:, :51]))
    np.testing.assert_array_equal(curves.configs.iloc[:, 2:].to_numpy(), X)
    assert (curves.metric, curves.direction) == ("validation accuracy (percent)", "maximize")
    assert curves.epochs.tolist() == list(range(51))
    assert curves.name == FULL
    assert not curves.series


def test_any_log_is_a_target_or_a_series(
    json_file: Path, arrays: tuple[np.ndarray, np.ndarray]
) -> None:
    Y = arrays[1][:, :51]
    curves = read_full(
        json_file,
        target="Train/val_cross_entropy",
        metric="cross-entropy",
        direction="minimize",
        series=["Train/lr", "Train/val_accuracy"],
    )
    np.testing.assert_array_equal(curves.values, Y)
    np.testing.assert_array_equal(curves.series["lr"], Y)
    np.testing.assert_array_equal(curves.series["val_accuracy"], 100 * np.exp(-Y))
    named = read_full(json_file, series={"rate": "Train/lr"})
    assert list(named.series) == ["rate"]
    with pytest.raises(DataError, match="two logs of `series` end alike"):
        read_full(json_file, series=["Train/lr", "Test/lr"])


def test_a_stanza_like_another_changes_the_target(json_file: Path) -> None:
    changes = {"like": FULL, "target": "Train/val_cross_entropy", "direction": "minimize"}
    stanza = load_registry({"mine/numerai": changes})["mine/numerai"]
    curves = readers.read(
        "mine/numerai", {**stanza, "files": [{"local": str(json_file)}]}, [json_file]
    )
    assert (curves.name, curves.direction) == ("mine/numerai", "minimize")


def test_the_json_is_read_inside_its_zip(json_file: Path) -> None:
    path = json_file.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(json_file, "some/folder/data_2k_lw.json")
    np.testing.assert_array_equal(read_full(path).values, read_full(json_file).values)
    with pytest.raises(DataError, match=r"\.zip: the archive has no file 'other\.json'"):
        read_full(path, member="other.json")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"data_2k_lw\.zip: not a complete JSON file"):
        read_full(path)


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("config", "momentum"), "high", "row 3, column config/momentum: 'high' is not a number"),
        (("config", "momentum"), None, "row 3, column config/momentum: None is not a number"),
        (("log", "Train/val_accuracy"), [1.0] * 50, "row 3, column .*: 50 values, not 51 or 52"),
        (("log", "Train/val_accuracy"), [1.0] * 53, "row 3, column .*: 53 values, not 51 or 52"),
        (
            ("log", "Train/val_accuracy"),
            [1.0] * 9 + ["x"] + [1.0] * 41,
            "row 3, column Train/val_accuracy: 'x' at position 9 is not a number",
        ),
    ],
)
def test_wrong_runs_are_named(
    json_file: Path, where: tuple[str, str], value: object, message: str
) -> None:
    content = json.loads(json_file.read_text())
    content["numerai28.6"]["3"][where[0]][where[1]] = value
    json_file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"data_2k_lw\.json, {message}"):
        read_full(json_file)


def test_missing_parts_of_the_json_are_named(json_file: Path) -> None:
    with pytest.raises(DataError, match="the file has no data set 'higgs'"):
        read_full(json_file, "lcbench_full/higgs")
    with pytest.raises(DataError, match="row 0, column Train/f1: the run has no such log, it has"):
        read_full(json_file, target="Train/f1")
    content = json.loads(json_file.read_text())
    del content["numerai28.6"]["3"]["config"]["num_layers"]
    json_file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="row 3, column config/num_layers: no such setting"):
        read_full(json_file)


def test_null_counts_as_not_observed(json_file: Path) -> None:
    content = json.loads(json_file.read_text())
    content["numerai28.6"]["3"]["log"]["Train/val_accuracy"][7] = None
    json_file.write_text(json.dumps(content))
    assert np.argwhere(np.isnan(read_full(json_file).values)).tolist() == [[3, 7]]


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.99])
def test_truncated_json(json_file: Path, cut: float) -> None:
    whole = json_file.read_bytes()
    json_file.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(DataError, match=r"data_2k_lw\.json: not a complete JSON file"):
        read_full(json_file)


def test_the_json_is_streamed(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """Memory grows by the wanted numbers alone: by much less than the file's size."""
    X, Y = arrays
    path = tmp_path / "data_2k_lw.json"
    text = json.dumps(official(X, Y))
    with path.open("w") as stream:
        many = (f'"other{i}": {text}' for i in range(600))
        stream.write(f'{{{", ".join(many)}, "numerai28.6": {text}}}')
    code = f"""
import resource
from pathlib import Path
from tests.data.readers.test_lcbench import read_full, FULL
small, large = Path({str(path)!r}).with_name("small.json"), Path({str(path)!r})
read_full(small)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert read_full(large).values.shape == (6, 51)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    path.with_name("small.json").write_text(f'{{"numerai28.6": {text}}}')
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert path.stat().st_size > 10e6
    assert int(done.stdout) * unit < 0.3 * path.stat().st_size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit < 4e9


@pytest.mark.real_data
def test_all_real_sets_share_their_configurations(mirror: Path) -> None:
    assert len(NAMES) == 35
    first = readers.read(NAMES[0], REGISTRY[NAMES[0]], [mirror / f"{NAMES[0]}.npz"])
    for name in NAMES:
        curves = readers.read(name, REGISTRY[name], [mirror / f"{name}.npz"])
        assert curves.values.shape == (2000, 51)
        assert curves.epochs.tolist() == list(range(51))
        assert (curves.direction, curves.name) == ("minimize", name)
        assert np.isfinite(curves.values).all()
        assert curves.values.min() > 0
        assert curves.configs.equals(first.configs)
    assert len(np.unique(first.groups)) == 2000
    assert sorted(first.configs["ap_num_layers"].unique()) == [1, 2, 3, 4]
    ranges = first.configs.iloc[:, 2:].agg(["min", "max"]).T
    published = [(16, 512), (1e-4, 0.1), (0.1, 0.99), (1e-5, 0.1), (1, 5), (64, 1024), (0, 1)]
    assert all(
        low <= smallest <= largest <= high
        for (smallest, largest), (low, high) in zip(ranges.to_numpy(), published, strict=True)
    )


@pytest.mark.real_data
def test_official_json_of_real_values_equals_the_npz(mirror: Path, tmp_path: Path) -> None:
    """A small file in exactly LCBench's layout, made of real runs, in its zip."""
    content = {}
    for name in ("Fashion-MNIST", "numerai28.6"):
        with np.load(mirror / "lcbench" / f"{name}.npz") as loaded:
            content[name] = official(loaded["X"][:40], loaded["Y"][:40])
    path = tmp_path / "data_2k_lw.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data_2k_lw.json", json.dumps(content))
    for name in content:
        full = read_full(
            path,
            f"lcbench_full/{name}",
            target="Train/val_cross_entropy",
            metric="validation cross-entropy",
            direction="minimize",
        )
        npz = readers.read(
            f"lcbench/{name}", REGISTRY[f"lcbench/{name}"], [mirror / "lcbench" / f"{name}.npz"]
        ).take(range(40))
        np.testing.assert_array_equal(full.values, npz.values)
        assert full.configs.equals(npz.configs)
        assert full.log_columns == npz.log_columns
