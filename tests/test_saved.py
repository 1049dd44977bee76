"""Models that are kept, and runs under way that are shown to them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import curvecast
from curvecast import DataError, saved
from curvecast.data.readers.table import read_curves
from curvecast.predictors import storage
from curvecast.saved import Runs, Saved

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


def opened(model: Path, under_way: Path) -> tuple[Saved, Runs]:
    loaded = saved.load(model)
    return loaded, saved.read_runs(under_way, loaded)


def test_a_saved_model_is_the_model(model: Path) -> None:
    curves = read_curves(model.with_name("finished.csv"), "err_{epoch}", "minimize", id="run")
    fresh = saved.train("ridge", curves, [0.25, 0.5], curve_columns="err_{epoch}")
    loaded = saved.load(model)
    assert loaded.taus == fresh.taus == (5, 10)
    assert (loaded.model, loaded.curve_columns) == ("ridge", "err_{epoch}")
    assert loaded.like.log_columns == ("hp_lr",)
    assert loaded.like.direction == "minimize"
    assert list(loaded.like.configs["hp_optimizer"].dtype.categories) == ["adam", "sgd"]
    assert loaded.best == pytest.approx(curves.final.min())
    one, other = fresh.predictor.predict(curves, 5), loaded.predictor.predict(curves, 5)
    np.testing.assert_array_equal(one.mean, other.mean)
    assert type(curvecast.load_predictor(model)) is type(fresh.predictor)


def test_runs_are_read_as_they_are(model: Path, under_way: Path) -> None:
    _, runs = opened(model, under_way)
    assert runs.seen.tolist() == [5, 8, 2, 6, 20]
    assert runs.diverged.tolist() == [False, False, False, True, False]
    assert runs.curves.configs["id"].tolist() == [f"r{i}" for i in range(5)]
    assert np.isnan(runs.curves.values[0, 5:]).all()


def test_predictions_are_made_at_the_last_fitted_epoch(
    model: Path, under_way: Path, table_of: TableOf
) -> None:
    loaded, runs = opened(model, under_way)
    rows = saved.predictions(loaded, runs, beat=0.2)
    assert rows["epoch"].tolist()[:2] == [5, 5]
    assert rows["epoch"][4] == 10
    assert rows["note"].tolist() == [
        "",
        "",
        "too early: the first epoch for a prediction is 5",
        "diverged",
        "",
    ]
    final = table_of(5)["err_20"]
    for row in (0, 1, 4):
        assert rows["low"][row] < rows["mean"][row] < rows["high"][row]
        assert rows["mean"][row] == pytest.approx(final[row], abs=0.03)
        # smaller is better: beaten where the prediction lies below
        assert (rows["beats"][row] > 0.5) == (rows["mean"][row] < 0.2)
    assert rows.loc[[2, 3], ["mean", "low", "high", "beats"]].isna().all(axis=None)


def test_an_epoch_hides_what_comes_after_it(model: Path, under_way: Path) -> None:
    loaded, runs = opened(model, under_way)
    at_five = saved.predictions(loaded, runs, epoch=5)
    assert at_five["epoch"][4] == 5
    changed = Runs(runs.curves, runs.seen, runs.diverged)
    changed.curves.values[4, 5:] = 9.0
    assert saved.predictions(loaded, changed, epoch=5)["mean"][4] == at_five["mean"][4]
    with pytest.raises(DataError, match="not fitted for epoch 7, only for 5, 10"):
        saved.predictions(loaded, runs, epoch=7)


def test_decisions_follow_the_probability(model: Path, under_way: Path) -> None:
    loaded, runs = opened(model, under_way)
    worse = 1 - saved.predictions(loaded, runs, beat=0.15)["beats"]
    decided = saved.decisions(loaded, runs, beat=0.15, delta=0.9)
    for row in (0, 1, 4):
        assert decided.probability[row] == worse[row]
        assert decided.stop[row] == (worse[row] >= decided.level[row])
    lenient = saved.decisions(loaded, runs, beat=0.5, delta=0.9)
    assert [decided.stop[0], lenient.stop[0]] == [True, False]
    assert (decided.stop[2], decided.reason[2]) == (False, "")
    assert (decided.stop[3], decided.reason[3]) == (True, "diverged")


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (
            "optimizer",
            "rmsprop",
            r"row 2 .*column optimizer: 'rmsprop' is no value .*\(adam, sgd\)",
        ),
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


def test_a_file_without_all_parts_is_named(tmp_path: Path) -> None:
    storage.write(tmp_path / "part", {"model": "ridge"})
    with pytest.raises(DataError, match="part: the file lacks 'epochs'"):
        saved.load(tmp_path / "part")


def test_reading_imports_no_torch_for_a_ridge(model: Path) -> None:
    code = (
        "import sys, curvecast; curvecast.load_predictor(sys.argv[1]); "
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(model)], env=environment, check=True)
