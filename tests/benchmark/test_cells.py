"""One model on one data set over all cells: the rows, their order, and what a model may see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curvecast import CurveSet, DataError, features, protocol
from curvecast.benchmark import cells as benchmark
from curvecast.benchmark.cells import Cell
from curvecast.benchmark.scores import fill_quantiles
from curvecast.files import write_parquet
from curvecast.predictors import make_predictor
from curvecast.predictors.base import Prediction, Predictor

Make = Callable[..., CurveSet]
# What cells depend on of a collection with many runs.
LARGE: Any = SimpleNamespace(final=np.zeros(60), epochs=np.arange(1, 21))


def plain_cells(**changes: object) -> list[Cell]:
    plan = {"n_train": [30], "repeats": [0, 1], "of": 2, "fractions": [0.25, 0.5], **changes}
    return benchmark.cells_of(LARGE, **plan)


def run(model: str, curves: CurveSet, cells: list[Cell], **options: object) -> tuple:
    frames = features.build(curves, sorted({cell.tau for cell in cells}))
    return benchmark.run(model, options, curves, frames, cells)


def test_cells_cover_the_product_and_share_the_largest_reserve() -> None:
    cells = plain_cells(n_train=[10, 30], fractions=[0.25], taus=[7], features=["TS", "TS+HP"])
    assert len(cells) == 2 * 2 * 2 * 2
    assert {cell.tau for cell in cells} == {5, 7}
    assert {cell.reserve for cell in cells} == {30}
    assert {cell.depth for cell in cells} == {None}


def test_small_collections_keep_half_of_their_runs_for_testing(make_curves: Make) -> None:
    curves = make_curves(60)
    curves.values[:10, -1] = np.nan
    plan = {"repeats": [0], "fractions": [0.25]}

    def sizes(n_train: list[int], **more: object) -> list[int]:
        return [
            cell.n_train for cell in benchmark.cells_of(curves, n_train=n_train, **plan, **more)
        ]

    assert sizes([100]) == [25]
    assert sizes([20]) == [20]
    assert sizes([20, 40, 100]) == [20, 25]
    assert sizes([40], depths=[3]) == [40]
    predictions, _ = run("ols", curves, benchmark.cells_of(curves, n_train=[100], **plan))
    assert len(predictions) == 25


def test_large_collections_have_training_sets_that_share_no_run(make_curves: Make) -> None:
    curves = make_curves(100, noise=0.01)
    plan = {"n_train": [0, 10], "fractions": [0.25], "repeats": range(10)}
    cells = benchmark.cells_of(curves, **plan)
    # a fifth of the runs is for testing, the others are eight sets of ten
    assert {cell.repeat for cell in cells} == set(range(8))
    predictions, _ = run("ols", curves, cells)
    assert set(predictions["n_train"]) == {10}
    from_zero, _ = run("last_value", curves, cells)
    assert set(from_zero["n_train"]) == {0, 10}
    tests = predictions.groupby("repeat")["configuration"].agg(tuple)
    assert len(set(tests)) == 1
    assert len(tests[0]) == 20
    part = benchmark.cells_of(curves, **{**plan, "repeats": [8, 9]}, of=10)
    assert part == []
    assert all(frame.empty for frame in run("ols", curves, part))


def test_runs_without_a_value_up_to_tau_are_in_no_cell(make_curves: Make) -> None:
    curves = make_curves(60, noise=0.01)
    late = np.flatnonzero(np.arange(60) % 4 == 0)
    curves.values[late, :6] = np.nan
    predictions, _ = run("ols", curves, plain_cells())
    shown = predictions.groupby("tau")["configuration"].agg(set)
    assert not shown[5] & set(late)
    assert shown[10] & set(late)


@pytest.mark.parametrize("model", ["last_value", "ridge", "pfn"])
def test_a_run_that_ends_beyond_single_precision_is_scored(model: str, make_curves: Make) -> None:
    curves = make_curves(60, noise=0.01, direction="minimize")
    curves.values[::5, 4:] = 1e45
    cells = benchmark.cells_of(curves, n_train=[10, 20], repeats=[0, 1], fractions=[0.25])
    predictions, _ = run(model, curves, cells)
    assert predictions["y_true"].max() == np.finfo(np.float32).max
    assert np.isfinite(fill_quantiles(predictions)["q995"]).all()


def test_rows_are_the_test_runs_of_each_cell_in_order(make_curves: Make) -> None:
    curves = make_curves(60, noise=0.01)
    cells = plain_cells()
    predictions, timings = run("ols", curves, cells)
    assert list(predictions.columns) == [
        "features", "n_train", "repeat", "tau", "configuration",
        "y_true", "y_mean", "y_std", *benchmark.LEVELS, *benchmark.SHAPES.values(),
    ]  # fmt: skip
    expected = np.concatenate(
        [protocol.split(curves, cell.n_train, cell.repeat).test for cell in cells]
    )
    np.testing.assert_array_equal(predictions["configuration"], expected)
    np.testing.assert_allclose(predictions["y_true"], curves.final[expected], rtol=1e-6)
    assert [tuple(row) for row in timings[["repeat", "tau"]].to_numpy()] == [
        (0, 5), (0, 10), (1, 5), (1, 10),
    ]  # fmt: skip
    assert (timings["seconds_fit"] > 0).all()


def test_predictions_equal_those_of_the_predictor_itself(make_curves: Make) -> None:
    curves = make_curves(60, noise=0.01)
    cell = plain_cells(repeats=[1], fractions=[0.25])[0]
    predictions, _ = run("random_forest", curves, [cell])
    split = protocol.split(curves, 30, 1)
    seed = protocol.seed_from(curves.name, 1, "random_forest")
    model = make_predictor("random_forest", seed=seed).fit(curves.take(split.train), [5])
    expected = model.predict(curves.take(split.test), 5)
    np.testing.assert_allclose(predictions["y_mean"], expected.mean, rtol=1e-5)
    np.testing.assert_allclose(predictions["y_std"], expected.std, rtol=1e-5)


def test_a_shape_that_all_runs_share_stands_for_the_quantiles(
    make_curves: Make, tmp_path: Path
) -> None:
    curves = make_curves(60, noise=0.01)
    cell = plain_cells(repeats=[1], fractions=[0.25])[0]
    for model, options in (("ols", {}), ("ridge", {"target": "warped_level"})):
        predictions, _ = run(model, curves, [cell], **options)
        numbers = [*benchmark.LEVELS, *benchmark.SHAPES.values()]
        assert set(predictions.dtypes[numbers]) == {np.dtype(np.float32)}
        null = predictions[numbers].isna()
        assert set(null.columns[null.all()]) | set(null.columns[~null.any()]) == set(numbers)
        assert null[list(benchmark.LEVELS)].all(axis=None) == (model == "ols")
        split = protocol.split(curves, 30, 1)
        fitted = make_predictor(model, **options).fit(curves.take(split.train), [5])
        expected = fitted.predict(curves.take(split.test), 5).quantile(
            list(benchmark.LEVELS.values())
        )
        filled = fill_quantiles(predictions)[list(benchmark.LEVELS)]
        np.testing.assert_allclose(filled, expected, atol=1e-5)


def test_shapes_cost_next_to_nothing(make_curves: Make, tmp_path: Path) -> None:
    predictions, _ = run("ols", make_curves(60, noise=0.01), plain_cells())
    write_parquet(predictions, tmp_path / "p.parquet")
    # 5 keys and 3 numbers of 120 rows, and twenty columns that are null or constant per cell
    assert (tmp_path / "p.parquet").stat().st_size < 20_000


class Uniform(Prediction):
    """Uniform on mean ± std · √3."""

    def quantile(self, levels: np.ndarray) -> np.ndarray:
        reach = np.sqrt(3) * self.std[:, None]
        return self.mean[:, None] + reach * (2 * np.asarray(levels) - 1)


class LastSeen(Predictor):
    """A curve predictor that remembers what it was fitted on and what it was shown."""

    fitted: list[list[int]] = []  # noqa: RUF012 - shared on purpose: each cell makes an instance

    def _fit_curves(self, curves: CurveSet, taus: object) -> LastSeen:
        self.fitted.append(list(taus))
        return self

    def _predict_hidden(self, curves: CurveSet, tau: int) -> Prediction:
        shown = curves.values[:, curves.seen(tau)]
        assert np.isnan(curves.values[:, ~curves.seen(tau)]).all()
        return Uniform(shown[:, -1], np.full(len(curves), 0.1))


def test_a_curve_predictor_is_fitted_once_per_split_for_all_taus(
    make_curves: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "make_predictor", lambda model, seed, **options: LastSeen())
    monkeypatch.setattr(LastSeen, "fitted", [])
    curves = make_curves(60)
    predictions, timings = benchmark.run("last_seen", {}, curves, {}, plain_cells())
    assert LastSeen.fitted == [[5, 10], [5, 10]]
    assert len(timings) == 4
    first = predictions[(predictions["repeat"] == 0) & (predictions["tau"] == 10)]
    seen = curves.values[first["configuration"], curves.epochs == 10]
    np.testing.assert_allclose(first["y_mean"], seen, rtol=1e-6)
    np.testing.assert_allclose(
        fill_quantiles(first)["q975"] - fill_quantiles(first)["q025"],
        2 * np.sqrt(3) * 0.1 * 0.95,
        rtol=1e-4,
    )
    with pytest.raises(DataError, match="reads whole curves"):
        benchmark.run("last_seen", {}, curves, {}, plain_cells(features=["TS"]))


def test_blocks_restrict_what_a_tabular_model_sees(make_curves: Make) -> None:
    curves = make_curves(60, noise=0.01)
    cells = plain_cells(features=["HP", "TS+AP+HP"], repeats=[0], fractions=[0.5])
    frames = features.build(curves, [10])
    before, _ = benchmark.run("ols", {}, curves, frames, cells)
    time_series = [column for column in frames[10] if column.startswith("ts_")]
    frames[10] = frames[10].assign(**{c: frames[10][c].to_numpy()[::-1] for c in time_series})
    after, _ = benchmark.run("ols", {}, curves, frames, cells)
    same = (before["y_mean"] == after["y_mean"]).groupby(before["features"], observed=True).all()
    assert same.to_dict() == {"HP": True, "TS+AP+HP": False}


def test_a_combination_with_a_missing_block_is_left_out(make_curves: Make) -> None:
    curves = make_curves(60)
    curves = replace(curves, configs=curves.configs.drop(columns="ap_layers"))
    predictions, _ = run("ols", curves, plain_cells(features=["AP", "TS+AP", "TS", "TS+AP+HP"]))
    assert set(predictions["features"]) == {"TS", "TS+AP+HP"}
    with pytest.raises(DataError, match="lacks the feature blocks"):
        run("ols", curves, plain_cells(features=["AP"]))


def test_training_sizes_share_their_test_runs(make_curves: Make) -> None:
    curves = make_curves(60)
    predictions, _ = run("mean", curves, plain_cells(n_train=[10, 30], fractions=[0.5]))
    tests = predictions.groupby(["repeat", "n_train"])["configuration"].agg(tuple)
    assert tests[0, 10] == tests[0, 30]
    assert tests[0, 10] != tests[1, 10]


def test_depths_train_below_and_test_from_the_threshold_on(make_curves: Make) -> None:
    curves = make_curves(80)
    cells = plain_cells(depths=[3], n_train=[20], fractions=[0.5])
    frames = features.build(curves, [10])
    predictions, timings = benchmark.run(
        "mean", {}, curves, frames, cells, depth_column="ap_layers"
    )
    layers = curves.configs["ap_layers"].to_numpy()
    assert (layers[predictions["configuration"]] >= 3).all()
    assert set(predictions["depth"]) == set(timings["depth"]) == {3}
    shallow = curves.final[layers < 3]
    assert predictions["y_mean"].between(shallow.min(), shallow.max()).all()
    with pytest.raises(DataError, match="column ap_depth: no such column"):
        benchmark.run("mean", {}, curves, frames, cells)


def test_order_of_cells_does_not_change_a_number(make_curves: Make) -> None:
    curves = make_curves(60, noise=0.01)
    cells = plain_cells()
    keys = ["repeat", "tau", "configuration"]
    forwards, backwards = (
        run("extra_trees", curves, order)[0].sort_values(keys, ignore_index=True)
        for order in (cells, cells[::-1])
    )
    pd.testing.assert_frame_equal(forwards, backwards)


def test_features_that_are_not_there_are_named(tmp_path: Path, make_curves: Make) -> None:
    frame = features.build(make_curves(10), [5])[5]
    write_parquet(frame, tmp_path / "tau=5.parquet")
    pd.testing.assert_frame_equal(benchmark.read_features(tmp_path, [5])[5], frame)
    with pytest.raises(DataError, match=r"tau=10\.parquet: no features at tau 10"):
        benchmark.read_features(tmp_path, [5, 10])


def test_a_mistake_in_options_is_an_error(make_curves: Make) -> None:
    with pytest.raises(DataError, match="no option 'drawz'"):
        run("nusvr_rbf", make_curves(60), plain_cells(), drawz=3)
    with pytest.raises(DataError, match=r"lower protocol\.n_train"):
        run("ols", make_curves(30), plain_cells())
