"""Convolutional networks and perceptrons in studies, trained to the end, and transferred."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ConfigSpace
import numpy as np
import pandas as pd
import pytest
from ConfigSpace.util import generate_grid

from curvecast import DataError
from curvecast.files import write_arrays
from curvecast.report.tables import networks as network_tables
from curvecast.report.tables import studies as study_tables
from curvecast.studies import networks, scheduler
from curvecast.studies.definitions import objective_of, task_of
from curvecast.studies.evaluation import Objective, StudyError, Trial
from curvecast.studies.jobs import run_job
from curvecast.studies.objectives.houses import HouseTask
from curvecast.studies.objectives.images import ImageTask
from curvecast.studies.objectives.training import Training
from curvecast.studies.scheduler import run
from curvecast.studies.settings import Settings
from curvecast.studies.spaces import kuzushiji, load_configuration, load_space

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

SMALL = {
    **kuzushiji.DEFAULT, "optimizer": "adam", "learning_rate": 0.01, "batch_size": 50,
    "batch_norm": True, "stride_1": 2,
}  # fmt: skip


def test_the_space_has_over_30_conditional_parameters() -> None:
    space = kuzushiji.cnn()
    assert len(space) == 38
    assert len(space.conditional_hyperparameters) == 24
    space.seed(0)
    for drawn in space.sample_configuration(100):
        assert ("kernel_3" in drawn) == (drawn["n_conv"] == 3)
        assert ("units_2" in drawn) == (drawn["n_dense"] == 2)
        assert ("momentum" in drawn) == (drawn["optimizer"] == "sgd")
        assert ("pool_kernel_1" in drawn) == drawn["pool_1"]


def test_what_a_transfer_searches_again() -> None:
    base = {**SMALL, "n_dense": 1, "units_1": 64, "batch_norm_dense": True, "dropout_dense": False}
    space = kuzushiji.transfer({**base, "n_conv": 2})
    assert set(space) == {
        "batch_size", "channels_1", "channels_2", "n_dense", "units_1", "units_2",
    }  # fmt: skip
    found = {"batch_size": 100, "channels_1": 5, "n_dense": 0}
    both = kuzushiji.merged(base, found)
    assert {k: both[k] for k in found} == found
    assert (both["kernel_1"], both["learning_rate"]) == (3, 0.01)
    assert "units_1" not in both


def test_impossible_networks_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    task = ImageTask(n_epochs=1, most_multiplications=2e4)
    evaluations = run(Settings("toy", workers=0, max_budget=1, iterations=3), Training(task))
    assert [e.reason for e in evaluations] == [None] * 3
    assert all(task.possible(e.config) for e in evaluations)
    space = task.space()
    space.seed(0)
    drawn = [dict(c) for c in space.sample_configuration(50)]
    assert not all(task.possible(c) for c in drawn)
    monkeypatch.setattr(scheduler, "_DRAWS_UNTIL_POSSIBLE", 20)
    hopeless = Training(ImageTask(most_multiplications=1))
    with pytest.raises(StudyError, match="none of 20 drawn configurations is possible"):
        run(Settings("toy", "random", workers=0, max_budget=1, iterations=1), hopeless)


def test_a_study_of_images_is_a_collection_with_sizes(tmp_path: Path) -> None:
    definition = {
        "objective": "training", "task": "images", "workers": 0,
        "task_options": {"n_epochs": 2, "shift": 1, "most_multiplications": 5e4},
        "eta": 2, "max_budget": 2, "iterations": 1,
    }  # fmt: skip
    made = run_job("toy", definition, "bohb", 0, tmp_path)
    frame, curves = made["evaluations"], made["curves"]
    assert curves is not None
    assert curves.name == "trained/toy"
    assert curves.direction == "maximize"
    assert frame["cost"].sum() == 3
    assert (curves.configs["ap_num_params"] > 0).all()
    assert {"ap_depth", "ap_kernel_1", "hp_batch_size", "hp_dropout_1"} <= set(curves.configs)
    assert {"train_loss", "val_loss", "val_balanced_accuracy"} <= set(curves.series)


def test_options_of_a_task_tell_studies_apart() -> None:
    plain, shifted = Training(ImageTask()), Training(ImageTask(shift=1))
    assert plain.identity() != shifted.identity()
    assert plain.identity() == Training(ImageTask()).identity()
    task = ImageTask(n_epochs=1)
    task.start(SMALL, 0)
    again = pickle.loads(pickle.dumps(task))
    assert again._prepared is None
    session = again.start(SMALL, 0)
    session.train_epoch()
    assert 0 < session.scores()["test"] <= 1


def test_fixed_parameters_come_from_a_constant() -> None:
    task = ImageTask(fixed="kuzushiji.QUICK", network="kuzushiji")
    assert task.complete({"batch_size": 50})["schedule"] == "cosine"
    with pytest.raises(DataError, match="no configuration 'SLOW'"):
        load_configuration("kuzushiji.SLOW")


@pytest.fixture(scope="module")
def source() -> networks.TrainedNetwork:
    definition = {"task": "images", "task_options": {"n_epochs": 3}, "configuration": SMALL}
    return networks.train("source", definition, 0)


def test_a_network_is_trained_to_the_end(source: networks.TrainedNetwork) -> None:
    row = source.scores.iloc[0]
    assert (row["epochs"], row["diverged"], row["taken_over"]) == (3, False, 0)
    assert row["test"] > 0.5
    assert np.isfinite(source.curves.values).all()
    assert source.curves.values[0, -1] == row["validation"]


def test_images_that_are_trained_on_validate_nothing() -> None:
    definition = {
        "task": "images",
        "task_options": {"n_epochs": 1, "all_training": True},
        "configuration": SMALL,
    }
    scores = networks.train("all", definition, 0).scores
    assert scores["validation"].isna().all()
    assert scores["validation_balanced"].isna().all()
    table = network_tables.networks(scores, {"all": {}}, pd.DataFrame())
    assert table["test"].between(0, 1).all()
    heads = [
        line for line in network_tables.networks_text(table).splitlines() if "| network" in line
    ]
    assert [("| test |" in head, "validation" in head) for head in heads] == [(True, False)]


def test_weights_are_transferred(source: networks.TrainedNetwork, tmp_path: Path) -> None:
    write_arrays(source.weights, tmp_path / "weights")
    definition = {"task": "images", "task_options": {"n_epochs": 1}, "configuration": SMALL}
    plain = networks.train("target", definition, 0)
    warm = networks.train("target", definition, 0, start=tmp_path / "weights")
    assert warm.scores["taken_over"][0] == len(source.weights)
    assert warm.curves.values[0, 0] == source.curves.values[0, -1]
    assert warm.scores["test"][0] > plain.scores["test"][0]


def test_an_exploding_training_is_reported() -> None:
    config = {**SMALL, "optimizer": "sgd", "learning_rate": 1e30, "batch_norm": False}
    definition = {"task": "images", "task_options": {"n_epochs": 5}, "configuration": config}
    row = networks.train("wild", definition, 0).scores.iloc[0]
    assert row["diverged"]
    assert row["epochs"] == 1
    with pytest.raises(DataError, match="impossible"):
        networks.train("none", {**definition, "configuration": {**config, "padding_1": 4}}, 0)


HOUSES = {
    "name": "task/toy", "description": "made for a test", "citation": "none",
    "features": ["a"], "target": "y", "split": [60, 30, 30], "format": "csv",
}  # fmt: skip


def test_house_prices_in_a_study(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 1, 120)
    noise = 100 * rng.standard_normal(120)
    pd.DataFrame({"a": a, "y": 5000 * a + noise}).to_csv(tmp_path / "h.csv", index=False)
    raw = [tmp_path / "h.csv"]
    definition = {"task": "houses", "data": HOUSES, "task_options": {"n_epochs": 30}}
    objective = Training(task_of(definition, raw))
    evaluations = run(Settings("h", workers=0, max_budget=30, min_budget=10), objective)
    losses = [e.loss for e in evaluations if e.reason is None]
    assert min(losses) < 0.5 * 5000**2 / 12
    assert evaluations[0].info["validation"] == pytest.approx(evaluations[0].loss)
    reference = {**definition, "configuration": "houses.REFERENCE"}
    reference["task_options"] = {"n_epochs": 60, "loss": "gaussian"}
    row = networks.train("gaussian", reference, 0, raw).scores.iloc[0]
    assert row["score"] == "Mean squared error"
    assert row["validation"] < 0.1 * 5000**2 / 12
    assert 0.5 < row["test_calibrated_coverage"] <= 1
    wild = {"depth": 2, "width": 32, "activation": "relu", "optimizer": "sgd",
            "batch_size": 8, "learning_rate": 1e3}  # fmt: skip
    wild_row = networks.train("wild", {**definition, "configuration": wild}, 0, raw).scores.iloc[0]
    assert wild_row["diverged"]
    task = HouseTask(HOUSES, raw, divisions=2)
    both = task.start(load_configuration("houses.REFERENCE"), 0)
    both.train_epoch()
    errors = both.errors()["val_mse"]
    assert errors[0] != errors[1]
    assert both.evaluate()["val_mse"] == errors.mean()
    assert both.scores()["validation_division_sd"] == pytest.approx(errors.std(ddof=1))
    with pytest.raises(DataError, match="loss 'gausian' is not one of mse, gaussian"):
        HouseTask(HOUSES, raw, loss="gausian")
    with pytest.raises(DataError, match="precision 'bf16' is neither auto nor a type of torch"):
        ImageTask(precision="bf16")
    assert HouseTask(HOUSES, raw).describe(wild) == {"num_params": 2 * 32 + 33 * 16 + 17}


def scores(network: str, repeat: int, test: float, **more: Any) -> pd.DataFrame:
    row = {"network": network, "repeat": repeat, "seed": 0, "epochs": 20, "num_params": 100,
           "taken_over": 0, "diverged": False, "train": 1.0, "validation": test, "test": test,
           "n_test": 2000.0, "score": "Accuracy"}  # fmt: skip
    return pd.DataFrame([row | more])


def test_the_table_has_intervals_and_published_values() -> None:
    published = pd.DataFrame(
        [["KMNIST", "default network", np.nan, np.nan, 69.56, "", "percent", "slides"]],
        columns=["dataset", "what", "validation", "train", "test", "note", "unit", "source"],
    )
    frame = network_tables.networks(
        pd.concat([scores("a", 0, 0.96), scores("a", 1, 0.98), scores("b", 0, 0.5, diverged=True)]),
        {"a": {"published": "KMNIST: default network", "data": "task/kmnist10k"}, "b": {}},
        published,
    )
    row = frame.iloc[0]
    assert (row["repeats"], row["test"], row["published_test"]) == (2, 0.97, 0.6956)
    assert np.isnan(row["test_study_sd"])
    assert row["test_sd"] == pytest.approx(0.01 * np.sqrt(2))
    # Wilson's interval of 1940 of 2000 by hand: centre and half width over 1 + z²/n.
    z, n = 1.959964, 2000
    centre = (0.97 + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(0.97 * 0.03 / n + z**2 / (4 * n**2))
    assert row["test_low"] == pytest.approx(centre - half)
    assert row["test_high"] == pytest.approx(centre + half)
    assert frame.iloc[1]["diverged"] == 1
    text = network_tables.networks_text(frame)
    assert "| 0.97 ± 0.01414 | 0.9616 | 0.9766 |" in text
    assert "## Accuracy\n" in text
    assert "| KMNIST: default network | 0.6956 |" in text
    regression = {"n_test": np.nan, "score": "Mean squared error"}
    errors = scores("c", 0, 0.25, validation_division_sd=0.125, test_coverage=0.8, **regression)
    mixed = network_tables.networks(
        pd.concat([scores("a", 0, 0.9), errors]), {"a": {}, "c": {}}, published
    )
    text = network_tables.networks_text(mixed)
    accuracy, error = text.split("## Mean squared error")
    assert "## Accuracy" in accuracy
    assert "| 0.25 | 1 | 0.25 | 0.125 | 0.8 |" in error
    with pytest.raises(DataError, match="0 published rows"):
        network_tables.networks(scores("a", 0, 1.0), {"a": {"published": "x: y"}}, published)


def test_the_table_tells_the_spread_of_repeats_from_that_of_study_seeds() -> None:
    """Training number r is of the incumbent of study seed r modulo 2: of .96 or of .92."""
    tests = (0.97, 0.92, 0.95, 0.92)
    runs = pd.concat(scores("a", repeat, test) for repeat, test in enumerate(tests))
    (row,) = network_tables.networks(runs, {"a": {"study_seeds": 2}}, pd.DataFrame()).to_dict(
        "records"
    )
    assert (row["study_seeds"], row["repeats"]) == (2, 2)
    assert row["test"] == pytest.approx(0.94)
    assert row["test_sd"] == pytest.approx(0.01)  # variances 2e-4 and 0
    assert row["test_study_sd"] == pytest.approx(0.02 * np.sqrt(2))


def test_effects_are_means_per_level() -> None:
    def row(k: int, budget: float) -> dict[str, Any]:
        lr, optimizer = (0.01, 0.1)[k % 2], ("adam", "sgd")[k // 30]
        config = {"lr": lr, "optimizer": optimizer, "width": k}
        return {
            "study": "s",
            "optimizer": "bohb",
            "seed": 0,
            "configuration": f"0-0-{k}",
            "budget": budget,
            "validation": 0.5 + lr + 0.1 * budget,
            "config": json.dumps(config),
        }

    rows = [row(k, 1.0) for k in range(60)] + [row(k, 3.0) for k in range(6)]
    rows[59]["validation"] = np.inf
    effects, text = study_tables.effects_tables(pd.DataFrame(rows))["effects"]
    assert set(effects["parameter"]) == {"lr", "optimizer", "width", "epochs"}
    lr = effects[effects["parameter"] == "lr"].set_index("level")
    assert lr["mean"].round(9).to_dict() == {"0.01": 0.61, "0.1": 0.7}
    assert (lr.loc["0.1", "diverged"], lr.loc["0.1", "runs"]) == (1, 30)
    assert (lr["budget"] == 1).all()
    width = effects[effects["parameter"] == "width"]
    assert width["runs"].tolist() == [20, 20, 20]
    assert (width["low"] < width["mean"]).all()
    epochs = effects[effects["parameter"] == "epochs"]
    assert epochs["runs"].tolist() == [6, 6]
    assert np.diff(epochs["mean"]) == pytest.approx(0.2)
    assert "| lr | 0.01 | 1 | 30 | 0 |" in text


class Sum(Objective):
    """Loss: the sum of the levels."""

    def __init__(self, space: ConfigSpace.ConfigurationSpace) -> None:
        self.space = space

    def identity(self) -> dict[str, Any]:
        return {}

    def evaluate(self, config: dict[str, Any], trial: Trial) -> dict[str, Any]:
        return {"loss": sum(config.values())}


def test_a_grid_is_every_combination_once(tmp_path: Path) -> None:
    levels = {"a": [1, 2, 3], "b": [10, 20]}
    space = ConfigSpace.ConfigurationSpace()
    space.add(*(ConfigSpace.Categorical(name, values) for name, values in levels.items()))
    settings = Settings("grid", "grid", workers=0, max_budget=9, iterations=1)
    evaluations = run(settings, Sum(space), tmp_path)
    assert sorted(e.loss for e in evaluations) == [11, 12, 13, 21, 22, 23]
    assert {e.budget for e in evaluations} == {9}
    again = run(settings, Sum(space), tmp_path)
    assert [(e.config, e.seconds) for e in again] == [(e.config, e.seconds) for e in evaluations]
    space.add(ConfigSpace.Float("c", (0.0, 1.0)))
    with pytest.raises(DataError, match="column c: a grid needs categories"):
        run(settings, Sum(space))
    assert len(generate_grid(load_space("usps.grid"))) == 648


def test_budgets_are_shares_of_the_data() -> None:
    definition = {
        "objective": "training", "task": "images", "fidelity": "data", "space": "kuzushiji.quick",
        "task_options": {"n_epochs": 2, "fixed": "kuzushiji.QUICK", "most_multiplications": 2e5},
    }  # fmt: skip
    objective = objective_of("s", definition)
    settings = Settings("s", workers=0, min_budget=25, max_budget=100, eta=4, iterations=1)
    evaluations = run(settings, objective)
    assert [e.budget for e in evaluations] == [25, 25, 25, 25, 100]
    assert [e.info["cost"] for e in evaluations] == [25, 25, 25, 25, 100]
    assert all(len(e.info["curve"]) == 3 for e in evaluations)
    assert len(objective.collect(evaluations)) == 1
    best = min(evaluations[:4], key=lambda e: e.loss)
    assert best.config == evaluations[4].config
    with pytest.raises(DataError, match="should be 'epochs' or 'data'"):
        objective_of("s", {**definition, "fidelity": "time"})


@pytest.mark.parametrize("format", ["npz", "idx"])
def test_the_published_layouts_go_through_a_study(
    tmp_path: Path, write_images: Callable[..., list[Path]], format: str
) -> None:
    """Small files in the layout of K49: unbalanced classes, npz or idx."""
    rng = np.random.default_rng(0)
    paths = []
    for part, n in (("train", 240), ("test", 80)):
        y = np.sort(rng.choice(4, n, p=[0.55, 0.25, 0.1, 0.1])).astype(np.uint8)
        x = rng.integers(0, 60, (n, 28, 28), dtype=np.uint8)
        for row, label in enumerate(y):
            x[row, 6 * label : 6 * label + 6] += 120
        paths += write_images(tmp_path, format, x, y, part)
    data = {"name": "task/k49", "format": format, "validation": 40, "citation": "none",
            "description": "made for a test"}  # fmt: skip
    definition = {
        "objective": "training", "task": "images", "data": data, "space": "kuzushiji.quick",
        "task_options": {"fixed": "kuzushiji.QUICK", "n_epochs": 3, "weighted": True, "shift": 1},
        "max_budget": 3, "iterations": 1, "workers": 0,
    }  # fmt: skip
    made = run_job("k49", definition, "bohb", 0, tmp_path / "study", raw=paths)
    frame, curves = made["evaluations"], made["curves"]
    assert curves is not None
    assert frame.loc[frame["budget"] == 3, "validation"].max() > 0.8
    found = json.loads(frame["config"].iloc[-1])
    scores = networks.train("best", definition, 0, paths, found).scores
    assert scores["n_test"][0] == 80
    assert scores["test_balanced"][0] <= 1
    transfer = {k: v for k, v in definition.items() if k != "space"}
    transfer["configuration_of"] = "k49"
    made = run_job("t", transfer, "random", 0, tmp_path / "t", raw=paths, source=found)
    frame = made["evaluations"]
    assert np.isfinite(frame["loss"]).all()
    searched = {name for text in frame["config"] for name in json.loads(text)}
    assert searched <= set(kuzushiji.transfer(found))
