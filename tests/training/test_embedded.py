from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curvecast import CurveSet
from curvecast.protocol import tau_of
from curvecast.training import embedded, mlp

FOLDER = Path(__file__).parents[2] / "resources" / "embedded"
DIGITS = embedded.COLLECTIONS["embedded/digits_mlp"]
SMALL = embedded.COLLECTIONS["embedded/digits_small_mlp"]
CANCER = embedded.COLLECTIONS["embedded/breast_cancer_mlp"]
RANGES = {
    "hp_batch_size": (16, 512),
    "hp_learning_rate": (1e-4, 1e-1),
    "hp_momentum": (0.1, 0.99),
    "hp_weight_decay": (1e-5, 1e-1),
    "hp_max_dropout": (0, 1),
    "ap_num_layers": (1, 4),
    "ap_max_units": (64, 1024),
}


@pytest.fixture(scope="module", params=embedded.COLLECTIONS)
def committed(request) -> CurveSet:
    return CurveSet.from_parquet(FOLDER / f"{Path(request.param).name}.parquet")


def test_the_committed_collections_are_whole(committed):
    collection = embedded.COLLECTIONS[committed.name]
    assert len(committed) == collection.n_runs
    assert committed.direction == "minimize"
    np.testing.assert_array_equal(committed.epochs, np.arange(51))
    assert set(committed.series) == set(mlp.SERIES) - {embedded.TARGET}
    assert np.isfinite(committed.values[:, 0]).all()
    assert np.isfinite(committed.final).mean() > 0.9
    ranges = RANGES | {
        "hp_learning_rate": collection.rates,
        "hp_max_dropout": collection.dropouts,
        "ap_max_units": collection.units,
    }
    for column, (low, high) in ranges.items():
        values = committed.configs[column]
        assert values.between(low, high).all()
        assert values.max() - values.min() > 0.9 * (high - low)


def test_the_committed_configurations_are_those_of_their_seeds(committed):
    collection = embedded.COLLECTIONS[committed.name]
    for row in (0, 123, len(committed) - 1):
        drawn = embedded.draw_configuration(collection, row)
        recorded = committed.configs.loc[row]
        assert recorded["id"] == f"run{row:03d}"
        assert {name: recorded[name] for name in drawn} == pytest.approx(drawn)


def test_a_committed_run_can_be_trained_again(committed):
    """The first epochs of one cheap run, so that data, seeds and file stay together."""
    collection = embedded.COLLECTIONS[committed.name]
    row = int(committed.configs["ap_num_params"].argmin())
    data = embedded.load_data(collection)
    seed = embedded.training_seed(collection, row)
    configuration = embedded.draw_configuration(collection, row)
    run = embedded.as_run(configuration, data.n_classes, seed, collection.loss_limit)
    # The rates of a shorter run fall faster, so only the epochs 0 and 1 are the same.
    again = mlp.train(data, run, 2)
    np.testing.assert_allclose(again["val_cross_entropy"][:2], committed.values[row, :2], 1e-4)
    for name in ("train_cross_entropy", "val_balanced_accuracy", "gradient_norm"):
        np.testing.assert_allclose(again[name][:2], committed.series[name][row, :2], 1e-3)


def test_whole_runs_end_where_the_committed_ones_do():
    """All epochs of the cheapest runs: statistically the same, as rounding grows with the steps."""
    committed = CurveSet.from_parquet(FOLDER / "breast_cancer_mlp.parquet")
    work = committed.configs["ap_num_params"] / committed.configs["hp_batch_size"]
    data = embedded.load_data(CANCER)
    differences = []
    for row in np.argsort(work.to_numpy(), kind="stable")[:12]:
        configuration = embedded.draw_configuration(CANCER, row)
        seed = embedded.training_seed(CANCER, row)
        logs = mlp.train(data, embedded.as_run(configuration, data.n_classes, seed), 50)
        differences.append(logs["val_cross_entropy"][-1] - committed.final[row])
    assert np.abs(differences).max() < 0.05
    assert np.median(np.abs(differences)) < 1e-3


def test_the_committed_files_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.parquet")) < 5e6


def test_networks_learn_digits():
    curves = CurveSet.from_parquet(FOLDER / "digits_mlp.parquet")
    assert curves.series["val_accuracy"][:, -1].max() > 0.95
    assert np.median(curves.final) < np.median(curves.values[:, 0])


def test_small_digits_overfit_and_cross():
    curves = CurveSet.from_parquet(FOLDER / "digits_small_mlp.parquet")
    finished = curves.take(np.isfinite(curves.values).all(axis=1))
    rise = finished.final / finished.values.min(axis=1)
    assert (rise > 1.05).mean() > 0.1
    early = finished.values[:, tau_of(0.25, finished.epochs)]
    better = np.flatnonzero(finished.final < np.median(finished.final))
    order_early = np.sign(early[better][:, None] - early[better])
    order_final = np.sign(finished.final[better][:, None] - finished.final[better])
    above = np.triu_indices(len(better), 1)
    assert (order_early != order_final)[above].mean() > 0.15


def test_unstable_digits_explode_to_finite_losses():
    curves = CurveSet.from_parquet(FOLDER / "digits_unstable_mlp.parquet")
    finite = curves.final[np.isfinite(curves.final)]
    assert 0.05 <= (finite > 10).sum() / len(curves) <= 0.1
    assert finite.max() > 1e18
    assert np.median(finite) < 2


def test_data_are_split_scaled_and_noisy_as_stated():
    data = embedded.load_data(DIGITS)
    assert data.x_train.shape == (1000, 64)
    assert data.x_val.shape == (797, 64)
    assert data.x_train.dtype == np.float32
    assert np.bincount(data.y_train).min() > 90
    together = np.concatenate([data.x_train, data.x_val])
    assert len(np.unique(together, axis=0)) == 1797
    cancer = embedded.load_data(CANCER)
    np.testing.assert_allclose(cancer.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(cancer.x_train.std(axis=0), 1, atol=1e-5)


def test_label_noise_replaces_the_stated_share_of_training_labels_only():
    clean = embedded.load_data(replace(SMALL, label_noise=0.0))
    noisy = embedded.load_data(SMALL)
    assert (clean.y_train != noisy.y_train).mean() == pytest.approx(0.3, abs=0.06)
    np.testing.assert_array_equal(clean.y_val, noisy.y_val)
    np.testing.assert_array_equal(noisy.x_train[:300], noisy.x_train[900:])
    quiet = embedded.load_data(replace(SMALL, input_noise=0.0))
    assert (noisy.x_val - quiet.x_val).std() == pytest.approx(1, abs=0.02)


def test_configurations_lie_in_lcbench_ranges_and_use_them():
    drawn = [embedded.draw_configuration(DIGITS, i) for i in range(400)]
    for column, (low, high) in RANGES.items():
        values = np.array([configuration[column] for configuration in drawn])
        assert low <= values.min() < values.max() <= high
    rates = np.log([configuration["hp_learning_rate"] for configuration in drawn])
    assert np.median(rates) == pytest.approx(np.log(10**-2.5), abs=0.5)
    decays = [configuration["hp_weight_decay"] for configuration in drawn]
    assert np.median(decays) == pytest.approx(0.05, abs=0.01)
    small = [embedded.draw_configuration(SMALL, i)["hp_weight_decay"] for i in range(400)]
    assert np.median(np.log(small)) == pytest.approx(np.log(1e-3), abs=0.7)


def test_adding_runs_changes_none():
    few = embedded.train_collection(CANCER, n_runs=4, n_epochs=2)
    more = embedded.train_collection(CANCER, n_runs=6, n_epochs=2, workers=2)
    assert few.configs.equals(more.configs.iloc[:4])
    np.testing.assert_array_equal(few.values, more.values[:4])


def test_command_line_writes_a_collection(tmp_path):
    name = "embedded/breast_cancer_mlp"
    embedded.main(f"--out {tmp_path} --collections {name} --runs 3 --epochs 2 --device cpu".split())
    curves = CurveSet.from_parquet(tmp_path / "breast_cancer_mlp.parquet")
    assert curves.name == name
    assert curves.values.shape == (3, 3)
    assert curves.log_columns == embedded.LOG_COLUMNS
    assert np.isfinite(curves.values).all()
