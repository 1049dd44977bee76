"""The callback in real trainings with Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

lightning = pytest.importorskip("lightning", reason="lightning is not installed")

import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader, TensorDataset

from curvecast import CurveSet, DataError, read
from curvecast.integrations.lightning import CurveCallback


class Line(lightning.LightningModule):
    """A line through noisy points; a small learning rate does not get there."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def _loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        loss = self._loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("val_loss", self._loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])


def train(
    folder: Path,
    lr: float,
    *callbacks: Callback,
    epochs: int = 12,
    logger: Any = None,
    seed: int = 0,
    ckpt_path: Path | None = None,
    **options: Any,
) -> lightning.Trainer:
    lightning.seed_everything(seed, verbose=False)
    x = torch.randn(256, 4)
    y = x @ torch.tensor([[1.0], [2.0], [-1.0], [0.5]]) + 0.1 * torch.randn(256, 1)
    data = DataLoader(TensorDataset(x, y), batch_size=32)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=logger or CSVLogger(folder, name="logs"),
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **{"enable_checkpointing": False} | options,
    )
    trainer.fit(Line(lr), data, data, ckpt_path=ckpt_path)
    return trainer


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> CurveSet:
    """Five finished trainings, read from the logger's own files."""
    folder = tmp_path_factory.mktemp("lightning")
    for n, lr in enumerate((0.001, 0.002, 0.003, 0.004, 0.005)):
        train(folder, lr, seed=n)
    return read(folder / "logs", "val_loss", "minimize")


def test_a_training_that_cannot_win_is_ended_and_says_why(
    finished: CurveSet, tmp_path: Path
) -> None:
    callback = CurveCallback("val_loss", earlier=finished)
    trainer = train(tmp_path, 1e-4, callback)
    assert 1 <= trainer.current_epoch < 12
    assert callback.watch.history[-1].reason == "predicted worse"
    written = pd.read_csv(Path(trainer.log_dir) / "curvecast.csv")
    assert written["epoch"].tolist() == list(range(1, trainer.current_epoch + 1))
    logged = pd.read_csv(Path(trainer.log_dir) / "metrics.csv")
    bounds = logged[["curvecast/low", "curvecast/predicted", "curvecast/high"]].dropna()
    assert len(bounds) == len(written)
    assert (bounds["curvecast/low"] <= bounds["curvecast/high"]).all()
    assert callback.watch.runs.curves("this run").configs["hp_lr"].iloc[-1] == 1e-4


def test_a_good_training_and_one_that_is_only_watched_go_on(
    finished: CurveSet, tmp_path: Path
) -> None:
    assert train(tmp_path, 0.1, CurveCallback("val_loss", earlier=finished)).current_epoch == 12
    watched = CurveCallback("val_loss", earlier=finished, stop=False)
    assert train(tmp_path, 1e-4, watched).current_epoch == 12
    assert watched.watch.history[-1].stop


def test_without_earlier_runs_the_prediction_has_bounds_in_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer = train(tmp_path, 0.05, CurveCallback(), logger=TensorBoardLogger(tmp_path), epochs=5)
    events = EventAccumulator(trainer.log_dir)
    events.Reload()
    assert {"curvecast/predicted", "curvecast/low", "curvecast/high"} <= set(
        events.Tags()["scalars"]
    )
    assert len(events.Scalars("curvecast/predicted")) == 4


def test_a_training_that_goes_on_from_a_checkpoint_has_its_whole_curve(tmp_path: Path) -> None:
    whole, resumed = CurveCallback(), CurveCallback()
    saved = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    train(tmp_path, 0.05, whole, saved, epochs=6, enable_checkpointing=True)
    path = tmp_path / "epoch=2.ckpt"
    trainer = train(tmp_path, 0.05, resumed, epochs=6, ckpt_path=path)
    pd.testing.assert_frame_equal(
        pd.DataFrame(resumed.watch.history), pd.DataFrame(whole.watch.history)
    )
    assert pd.read_csv(Path(trainer.log_dir) / "curvecast.csv")["epoch"].tolist() == [1, 2, 3, 4, 5]
    train(tmp_path, 0.05, resumed, epochs=2)
    assert [advice.epoch for advice in resumed.watch.history] == [1]


def test_several_validations_in_an_epoch_and_none_in_some(tmp_path: Path) -> None:
    often, seldom = CurveCallback(), CurveCallback()
    train(tmp_path, 0.05, often, epochs=3, val_check_interval=0.5)
    assert [advice.epoch for advice in often.watch.history] == [1, 1, 2, 2]
    train(tmp_path, 0.05, seldom, epochs=6, check_val_every_n_epoch=2)
    assert [advice.epoch for advice in seldom.watch.history] == [2, 4]


def test_without_validation_a_metric_of_the_training_is_predicted(tmp_path: Path) -> None:
    callback = CurveCallback("train_loss")
    train(tmp_path, 0.05, callback, epochs=4, limit_val_batches=0)
    assert [advice.epoch for advice in callback.watch.history] == [1, 2, 3]


def test_a_training_without_any_validation_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(tmp_path, 0.05, CurveCallback(), epochs=2, check_val_every_n_epoch=3)
    assert "val_loss was never validated, nothing is predicted" in caplog.text


def test_a_metric_that_is_not_logged_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'val_acc' is not logged; there are val_loss"):
        train(tmp_path, 0.05, CurveCallback("val_acc", "max"))
    with pytest.raises(DataError, match="without max_epochs"):
        train(tmp_path, 0.05, CurveCallback(), epochs=-1, max_steps=8)
