"""Models that are kept, and runs under way that are shown to them."""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import curvecast
from curvecast import CurveSet, DataError, saved
from curvecast.data.readers.table import read_curves
from curvecast.files import read_arrays, write_arrays
from curvecast.predictors import storage
from curvecast.saved import Saved

TableOf = Callable[..., pd.DataFrame]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, table_of: TableOf) -> Path:
    """A ridge that was fitted at 25 and 50 % of 40 runs, saved."""
    folder = tmp_path_factory.mktemp("model")
    table_of().to_csv(folder / "finished.csv", index=False)
    curves = read_curves(folder / "finished.csv", "err_{epoch}", "minimize", id="run")
    made = saved.train("ridge", curves, [0.25, 0.5], curve_columns="err_{epoch}")
    saved.save(made, folder / "ridge.safetensors")
    return folder / "ridge.safetensors"


@pytest.fixture
def under_way(tmp_path: Path, table_of: TableOf) -> Path:
    """Five runs: 5, 8 and 2 epochs old, diverged at 6, and a finished one."""
    frame = table_of(5).astype(object)
    for row, seen in enumerate([5, 8, 2, 6, 20]):
        frame.iloc[row, 3 + seen :] = ""
    frame.loc[3, "err_6"] = "nan"
    frame.to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path / "runs.csv"


def opened(model: Path, under_way: Path) -> tuple[Saved, CurveSet]:
    loaded = saved.load(model)
    return loaded, saved.read_runs(under_way, loaded)


def test_runs_in_a_parquet_are_those_of_the_csv(
    model: Path, tmp_path: Path, table_of: TableOf
) -> None:
    loaded, frame = saved.load(model), table_of(6)
    frame.to_csv(tmp_path / "runs.csv", index=False)
    frame.to_parquet(tmp_path / "runs.parquet")
    of_csv, of_parquet = (
        saved.read_runs(tmp_path / f"runs.{kind}", loaded) for kind in ("csv", "parquet")
    )
    np.testing.assert_array_equal(of_parquet.values, of_csv.values)


def test_a_saved_model_is_the_model(model: Path) -> None:
    curves = read_curves(model.with_name("finished.csv"), "err_{epoch}", "minimize", id="run")
    fresh = saved.train("ridge", curves, [0.25, 0.5], curve_columns="err_{epoch}")
    loaded = saved.load(model)
    assert loaded.taus == fresh.taus == (5, 10)
    assert (loaded.model, loaded.curve_columns) == ("ridge", "err_{epoch}")
    assert loaded.like.log_columns == ("hp_lr",)
    assert loaded.like.direction == "minimize"
    assert list(loaded.like.configs["hp_optimizer"].dtype.categories) == ["adam", "sgd"]
    assert loaded.bar(curves) == (pytest.approx(curves.final.min()), "the best finished run")
    one, other = fresh.predictor.predict(curves, 5), loaded.predictor.predict(curves, 5)
    np.testing.assert_array_equal(one.mean, other.mean)
    assert type(curvecast.load_predictor(model)) is type(fresh.predictor)


def test_runs_are_read_as_they_are(model: Path, under_way: Path) -> None:
    loaded, runs = opened(model, under_way)
    assert saved.predictions(loaded, runs)["seen"].tolist() == [5, 8, 2, 6, 20]
    assert np.isinf(runs.values).sum(axis=1).tolist() == [0, 0, 0, 1, 0]
    assert runs.configs["id"].tolist() == [f"r{i}" for i in range(5)]
    assert np.isnan(runs.values[0, 5:]).all()


def test_a_large_table_is_asked_about_in_blocks(
    model: Path, under_way: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, runs = opened(model, under_way)
    ways = saved.predictions, saved.decisions
    at_once = [ask(loaded, runs) for ask in ways]
    for size in (1, 2):
        monkeypatch.setattr(saved, "_BLOCK", size)
        for ask, whole in zip(ways, at_once, strict=True):
            pd.testing.assert_frame_equal(ask(loaded, runs), whole, rtol=1e-12)


def test_predictions_are_made_at_the_last_fitted_epoch(
    model: Path, under_way: Path, table_of: TableOf
) -> None:
    loaded, runs = opened(model, under_way)
    rows = saved.predictions(loaded, runs, beat=0.2)
    assert rows["epoch"].tolist()[:2] == [5, 5]
    assert pd.isna(rows["epoch"][4])
    assert rows["note"].tolist() == [
        "",
        "",
        "too early: the first epoch for a prediction is 5",
        "diverged",
        "finished",
    ]
    final = table_of(5)["err_20"]
    assert (rows.loc[4, ["mean", "low", "high"]] == final[4]).all()
    for row in (0, 1):
        assert rows["low"][row] < rows["mean"][row] < rows["high"][row]
        assert rows["mean"][row] == pytest.approx(final[row], abs=0.03)
        # smaller is better: beaten where the prediction lies below
        assert (rows["beats"][row] > 0.5) == (rows["mean"][row] < 0.2)
    assert rows.loc[[2, 3], ["mean", "low", "high", "beats"]].isna().all(axis=None)


def test_an_epoch_hides_what_comes_after_it(model: Path, under_way: Path) -> None:
    loaded, runs = opened(model, under_way)
    at_five = saved.predictions(loaded, runs, epoch=5)
    assert at_five["epoch"][4] == 5
    runs.values[4, 5:] = 9.0
    assert saved.predictions(loaded, runs, epoch=5)["mean"][4] == at_five["mean"][4]
    with pytest.raises(DataError, match="not fitted for epoch 7, only for 5, 10"):
        saved.predictions(loaded, runs, epoch=7)


def test_decisions_follow_the_probability(model: Path, under_way: Path) -> None:
    loaded, runs = opened(model, under_way)
    worse = 1 - saved.predictions(loaded, runs, beat=0.15)["beats"]
    decided = saved.decisions(loaded, runs, beat=0.15, delta=0.9)
    for row in (0, 1):
        assert decided["worse"][row] == worse[row]
        stops = worse[row] >= decided["stops_at"][row]
        assert (decided["decision"][row] == "stop") == stops
    lenient = saved.decisions(loaded, runs, beat=0.5, delta=0.9)
    assert [decided["decision"][0], lenient["decision"][0]] == ["stop", "go on"]
    assert decided.loc[2, ["decision", "reason"]].tolist() == [
        "go on",
        "too early: the first epoch for a prediction is 5",
    ]
    assert decided.loc[3, ["decision", "reason"]].tolist() == ["stop", "diverged"]
    assert decided.loc[4, ["decision", "reason"]].tolist() == ["go on", "finished"]


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("lr", "fast", r"column lr: 'fast' is text"),
        ("err_3", "oops", r"row 2 .*column err_3: 'oops' is not a number"),
    ],
)
def test_wrong_cells_are_named(
    model: Path, under_way: Path, column: str, cell: str, message: str
) -> None:
    frame = pd.read_csv(under_way, dtype=str)
    frame.loc[1, column] = cell
    frame.to_csv(under_way, index=False)
    with pytest.raises(DataError, match=rf"runs\.csv, .*{message}"):
        opened(model, under_way)


def test_empty_cells_have_many_spellings(model: Path, under_way: Path) -> None:
    frame = pd.read_csv(under_way, dtype=str, keep_default_na=False)
    for row, nothing in enumerate(["NA", "null", "None", "n/a"]):
        frame.loc[row, frame.loc[row] == ""] = nothing
    frame.to_csv(under_way, index=False)
    loaded, runs = opened(model, under_way)
    assert saved.predictions(loaded, runs)["seen"].tolist() == [5, 8, 2, 6, 20]
    assert np.isinf(runs.values).sum(axis=1).tolist() == [0, 0, 0, 1, 0]


def test_runs_keep_the_names_of_their_column(tmp_path: Path, table_of: TableOf) -> None:
    table = table_of().rename(columns={"run": "job"})
    table.to_csv(tmp_path / "t.csv", index=False)
    curves = read_curves(tmp_path / "t.csv", "err_{epoch}", "minimize", id="job")
    made = saved.train("ridge", curves, [0.5], curve_columns="err_{epoch}", id="job")
    saved.save(made, tmp_path / "m.safetensors")
    loaded = saved.load(tmp_path / "m.safetensors")
    runs = saved.read_runs(tmp_path / "t.csv", loaded)
    assert saved.predictions(loaded, runs)["run"].tolist() == table["job"].tolist()
    table.assign(hp_lr=table["lr"]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="column hp_lr: both this column and lr are hp_lr"):
        saved.read_runs(tmp_path / "t.csv", loaded)


def test_wrong_columns_are_named(model: Path, under_way: Path) -> None:
    frame = pd.read_csv(under_way, dtype=str)
    frame.drop(columns="lr").to_csv(under_way, index=False)
    with pytest.raises(DataError, match="column lr: the model needs this column"):
        opened(model, under_way)
    frame.assign(err_21="0.1").to_csv(under_way, index=False)
    with pytest.raises(DataError, match=r"column err_21: epoch 21 is none .* \(1 to 20\)"):
        opened(model, under_way)


def test_too_few_runs_to_fit_on(tmp_path: Path, table_of: TableOf) -> None:
    table_of(3).to_csv(tmp_path / "few.csv", index=False)
    curves = read_curves(tmp_path / "few.csv", "err_{epoch}", "minimize", id="run")
    with pytest.raises(DataError, match="3 runs have a final value, at least 4"):
        saved.train("ridge", curves)


def test_a_category_that_no_training_run_has_is_answered(model: Path, under_way: Path) -> None:
    frame = pd.read_csv(under_way, dtype=str)
    frame.loc[1, "optimizer"] = "rmsprop"
    frame.to_csv(under_way, index=False)
    loaded, runs = opened(model, under_way)
    assert runs.configs["hp_optimizer"][1] == "rmsprop"
    rows = saved.predictions(loaded, runs)
    assert np.isfinite(rows["mean"][[0, 1]]).all()
    assert rows["note"][0] == ""
    assert "rmsprop" in rows["note"][1]


def test_a_gap_at_a_fitted_epoch_leaves_the_epoch_before(model: Path, under_way: Path) -> None:
    frame = pd.read_csv(under_way, dtype=str)
    frame.iloc[4, 3 + 9 :] = ""
    frame.loc[4, ["err_9", "err_11"]] = "0.2"
    frame.to_csv(under_way, index=False)
    rows = saved.predictions(*opened(model, under_way))
    assert (rows["seen"][4], rows["epoch"][4]) == (11, 5)


def test_a_file_without_all_parts_is_named(tmp_path: Path) -> None:
    storage.write(tmp_path / "part", {"model": "ridge"})
    with pytest.raises(DataError, match=r"part: not a complete saved model \('settings'\)"):
        saved.load(tmp_path / "part")


def test_a_model_that_answers_otherwise_than_before_is_refused(model: Path, tmp_path: Path) -> None:
    arrays, meta = read_arrays(model)
    for array in arrays.values():
        if array.dtype == float and array.ndim == 1:
            array += 1.0
    write_arrays(arrays, tmp_path / "changed", meta)
    with pytest.raises(DataError, match="changed: not a complete saved model"):
        saved.load(tmp_path / "changed")


FUZZED = {
    "ridge": {},
    "extra_trees": {"max_trees": 10, "max_features": 0.5},
    "nusvr_rbf": {"draws": 3},
    "cnn": {"epochs": 1},
}


@pytest.fixture(scope="module")
def hostile(model: Path) -> Path:
    """A folder with saved models of several kinds."""
    curves = read_curves(model.with_name("finished.csv"), "err_{epoch}", "minimize", id="run")
    for name, options in FUZZED.items():
        made = saved.train(name, curves.take(range(16)), [0.25], options=options)
        saved.save(made, model.with_name(name))
    return model.parent


@pytest.mark.parametrize("name", FUZZED)
def test_a_damaged_model_is_refused_or_the_same(name: str, hostile: Path, tmp_path: Path) -> None:
    whole, rng = (hostile / name).read_bytes(), np.random.default_rng(0)
    expected = saved.load(hostile / name)
    for _ in range(250):
        content = bytearray(whole)
        at = int(rng.integers(len(content)))
        end = at + int(rng.choice([0, 1, 8, 1000]))
        kind = rng.integers(4)
        if kind == 0:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del content[at:end]
        elif kind == 2:
            content[at:end] = rng.bytes(end - at)
        else:
            content[at:at] = content[at:end]
        (tmp_path / "file").write_bytes(content)
        try:
            again = saved.load(tmp_path / "file")
        except DataError:
            continue
        assert bytes(content) == whole or saved._answers(again).tolist() == (
            saved._answers(expected).tolist()
        )


def _nodes(tree: Any) -> list[tuple[Any, Any]]:
    """Every place in a tree of JSON: its container and its key."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
    places = [(tree, key) for key, _ in inner]
    for container, key in list(places):
        if isinstance(container[key], dict | list):
            places += _nodes(container[key])
    return places


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUZZED)
def test_a_model_that_somebody_made_ends_in_one_clear_error(
    name: str, hostile: Path, tmp_path: Path
) -> None:
    """Changed numbers, names and structure under a digest that fits: no traceback, no signal."""
    rng = np.random.default_rng(1)
    arrays, meta = read_arrays(hostile / name)
    text, refused = json.dumps(meta), 0
    for _ in range(250):
        tensors, head = {k: v.copy() for k, v in arrays.items()}, json.loads(text)
        if rng.random() < 0.5:
            places = _nodes(head)
            container, key = places[rng.integers(len(places))]
            other = places[rng.integers(len(places))]
            odd = [None, -1, 0, 2**70, -(2**40), 1e308, math.nan, "", "x", [], {}, True]
            odd.append(copy.deepcopy(other[0][other[1]]))
            container[key] = odd[rng.integers(len(odd))]
        else:
            key = sorted(tensors)[rng.integers(len(tensors))]
            array = tensors[key]
            if rng.random() < 0.3 or not array.size:
                tensors[key] = [array[:0], array.ravel()[:-1], array.astype(np.int8), array[None]][
                    rng.integers(4)
                ]
            else:
                raw = array.reshape(-1).view(np.uint8)
                raw[rng.integers(len(raw), size=3)] = rng.integers(256, size=3)
                tensors[key] = raw.view(array.dtype).reshape(array.shape)
        write_arrays(tensors, tmp_path / "file", head)
        try:
            saved.load(tmp_path / "file")
        except DataError:
            refused += 1
    assert refused > 50


def test_reading_imports_no_torch_for_a_ridge(model: Path) -> None:
    code = (
        "import sys, curvecast; curvecast.load_predictor(sys.argv[1]); "
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(model)], env=environment, check=True)
