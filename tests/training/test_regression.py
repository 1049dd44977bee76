"""Stacked perceptrons: a stack is its runs, and the Gaussian likelihood knows its variance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from curvecast import DataError
from curvecast.training import regression
from curvecast.training.regression import Recipe, Stack, Table

RECIPE = Recipe((16, 8), 32, 0.01)


def made(seed: int, n: int = 200) -> Table:
    """y = 1000 + 100 (x_0 - x_1) + noise whose standard deviation is 20 exp(x_0)."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(3):
        x = rng.uniform(-1, 1, (n, 2))
        noise = 20 * np.exp(x[:, 0]) * rng.standard_normal(n)
        parts.append((x, 1000 + 100 * (x[:, 0] - x[:, 1]) + noise))
    return Table("made", *parts)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_a_stack_is_its_runs() -> None:
    tables = [made(0), made(1), made(1)]
    together = Stack(tables, RECIPE, [5, 6, 7])
    alone = [Stack([t], RECIPE, [s]) for t, s in zip(tables, (5, 6, 7), strict=True)]
    for _ in range(5):
        together.train_epoch()
        for run in alone:
            run.train_epoch()
    for name, values in together.errors().items():
        expected = [run.errors()[name][0] for run in alone]
        np.testing.assert_allclose(values, expected, rtol=1e-3)
    assert together.n_parameters == 3 * 16 + 17 * 8 + 9


def test_resuming_gives_what_one_training_gives() -> None:
    for recipe in (RECIPE, replace(RECIPE, optimizer="sgd", loss="gaussian")):
        whole, first = Stack([made(0)], recipe, [1]), Stack([made(0)], recipe, [1])
        for _ in range(4):
            whole.train_epoch()
        for _ in range(2):
            first.train_epoch()
        second = Stack([made(0)], recipe, [1])
        second.resume(2, first.state())
        for _ in range(2):
            second.train_epoch()
        assert second.evaluate() == whole.evaluate()


def test_the_likelihood_finds_mean_and_spread() -> None:
    table = made(0, n=600)
    run = Stack([table], replace(RECIPE, loss="gaussian"), [0])
    for _ in range(60):
        run.train_epoch()
    mean, std = run.predict("test")
    x = table.test[0]
    truth = 1000 + 100 * (x[:, 0] - x[:, 1])
    assert np.sqrt(np.mean((mean[0] - truth) ** 2)) < 12
    ratio = std[0] / (20 * np.exp(x[:, 0]))
    assert np.median(ratio) == pytest.approx(1, abs=0.2)
    nll = -stats.norm.logpdf(table.validation[1], *(a[0] for a in run.predict("validation")))
    assert run.evaluate()["val_nll"] == pytest.approx(nll.mean())
    covered = run.coverage("test")
    assert covered["coverage"][0] == pytest.approx(0.8, abs=0.07)
    assert covered["calibrated_coverage"][0] == pytest.approx(0.8, abs=0.07)


def test_calibration_repairs_a_wrong_spread() -> None:
    run = Stack([made(3, n=2000)], replace(RECIPE, loss="gaussian"), [0])
    mean, std = run.predict("test")
    covered = run.coverage("test")
    assert abs(covered["coverage"][0] - 0.8) > 0.02  # untrained
    assert covered["calibrated_coverage"][0] == pytest.approx(0.8, abs=0.03)
    inside = np.abs(run.targets["test"] - mean) <= 1.2815515655 * std * covered["factor"]
    assert inside.mean() == pytest.approx(covered["calibrated_coverage"][0])


def test_an_exploding_run_is_inf_and_leaves_the_others_alone() -> None:
    run = Stack([made(0), made(1)], replace(RECIPE, optimizer="sgd", learning_rate=0.01), [0, 1])
    with torch.no_grad():
        run.network[0][0] *= 1e4
    for _ in range(5):
        run.train_epoch()
    for name, values in run.errors().items():
        assert np.isinf(values[0]), name
        assert np.isfinite(values[1]), name


STANZA = {"features": ["a", "b"], "target": "y", "split": [6, 2, 2]}


def write(folder: Path, **changes: object) -> Path:
    frame = pd.DataFrame({"a": range(10), "b": range(10), "y": range(10)}).astype(object)
    for column, value in changes.items():
        frame.loc[3, column] = value
    frame.to_csv(folder / "houses.csv", index=False)
    return folder / "houses.csv"


def test_the_table_is_divided_by_name(tmp_path: Path) -> None:
    path = write(tmp_path)
    table, other = (regression.load("houses", STANZA, path, k) for k in (0, 1))
    targets = np.concatenate([table.train[1], table.validation[1], table.test[1]])
    assert sorted(targets) == list(range(10))
    assert [len(part[1]) for part in (table.train, table.validation, table.test)] == [6, 2, 2]
    np.testing.assert_array_equal(table.train[0][:, 0], table.train[1])
    assert table.test[1].tolist() != other.test[1].tolist()


def test_a_bad_cell_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 5, column b: 'NA' is not a number"):
        regression.load("houses", STANZA, write(tmp_path, b="NA"))
    with pytest.raises(DataError, match="missing column"):
        regression.load("houses", {**STANZA, "target": "price"}, write(tmp_path))
    with pytest.raises(DataError, match="10 rows cannot be divided"):
        regression.load("houses", {**STANZA, "split": [9, 1, 1]}, write(tmp_path))


@pytest.mark.parametrize("content", [b"", b"a,b,y\n1,2,3\n1,2,3,4\n", b"\xff\xfea,b,y\n1,2,3\n"])
def test_a_file_that_is_no_csv_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "houses.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"houses\.csv: not a CSV"):
        regression.load("houses", STANZA, tmp_path / "houses.csv")
