"""The callback in real trainings with Keras."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="keras is not installed")

from curvecast import CurveSet, DataError, read
from curvecast.integrations.keras import CurveCallback


def train(lr: float, *callbacks: Any, epochs: int = 12, seed: int = 0, **options: Any) -> Any:
    """A line through noisy points; a small learning rate does not get there."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 4)).astype(np.float32)
    y = x @ np.array([[1.0], [2.0], [-1.0], [0.5]], dtype=np.float32)
    y += 0.1 * rng.standard_normal(y.shape).astype(np.float32)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(lr), loss="mse")
    return model.fit(
        x[:192],
        y[:192],
        validation_data=(x[192:], y[192:]),
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=0,
        **options,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> CurveSet:
    """Five finished trainings, read from the logger's own files."""
    folder = tmp_path_factory.mktemp("keras")
    for n, lr in enumerate((0.001, 0.002, 0.003, 0.004, 0.005)):
        (folder / f"lr={lr}").mkdir()
        train(lr, keras.callbacks.CSVLogger(folder / f"lr={lr}" / "log.csv"), seed=n)
    return read(folder, "val_loss", "minimize")


def test_a_training_that_cannot_win_is_ended_and_says_why(
    finished: CurveSet, tmp_path: Path
) -> None:
    path, table = tmp_path / "curvecast.csv", tmp_path / "log.csv"
    callback = CurveCallback(earlier=finished, config={"lr": 1e-4}, path=path)
    history = train(1e-4, callback, keras.callbacks.CSVLogger(table))
    assert 1 <= len(history.epoch) < 12
    assert callback.watch.history[-1].reason == "predicted worse"
    assert pd.read_csv(path)["epoch"].tolist() == [e + 1 for e in history.epoch]
    assert len(history.history["curvecast_predicted"]) == len(history.epoch)
    assert "curvecast_low" in pd.read_csv(table)


def test_a_good_training_and_one_that_is_only_watched_go_on(finished: CurveSet) -> None:
    assert len(train(0.1, CurveCallback(earlier=finished, config={"lr": 0.1})).epoch) == 12
    watched = CurveCallback(earlier=finished, config={"lr": 1e-4}, stop=False)
    assert len(train(1e-4, watched).epoch) == 12
    assert watched.watch.history[-1].stop


def test_the_prediction_has_bounds_in_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        train(0.05, CurveCallback(writer=writer), epochs=5)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert {"curvecast/predicted", "curvecast/low", "curvecast/high"} <= set(
        events.Tags()["scalars"]
    )
    assert len(events.Scalars("curvecast/predicted")) == 4


def test_a_training_that_goes_on_has_the_curve_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "curvecast.csv"
    train(0.05, CurveCallback(path=path), epochs=5)
    resumed = CurveCallback(path=path)
    train(0.05, resumed, epochs=7, initial_epoch=3)
    assert [advice.epoch for advice in resumed.watch.history] == [1, 2, 3, 4, 5, 6]
    assert pd.read_csv(path)["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    train(0.05, resumed, epochs=3)
    assert pd.read_csv(path)["epoch"].tolist() == [1, 2]
    path.write_text("epoch,value\n1,0.5\n")
    with pytest.raises(DataError, match="not a file that this callback wrote"):
        train(0.05, CurveCallback(path=path))


def test_epochs_without_validation_are_passed_over() -> None:
    callback = CurveCallback()
    train(0.05, callback, epochs=7, validation_freq=2)
    assert [advice.epoch for advice in callback.watch.history] == [2, 4, 6]


def test_a_training_without_validation_says_so(caplog: pytest.LogCaptureFixture) -> None:
    train(0.05, CurveCallback(), epochs=2, validation_freq=3)
    assert "val_loss was never validated, nothing is predicted" in caplog.text


def test_a_metric_that_is_not_logged_is_named() -> None:
    with pytest.raises(DataError, match="'val_acc' is not logged; there are loss, val_loss"):
        train(0.05, CurveCallback("val_acc", "max"))
