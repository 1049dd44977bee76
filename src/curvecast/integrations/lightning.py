"""A callback for Lightning that predicts where a training will end, and ends one that cannot win.

    Trainer(max_epochs=50, callbacks=[CurveCallback("val_loss", earlier=curves)])

Needs lightning >= 2.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from curvecast.curves import DataError
from curvecast.extras import missing
from curvecast.integrations._runs import Advice, Watch

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise ImportError(missing(error)) from error

__all__ = ["CurveCallback"]


class CurveCallback(Callback):
    """Predict the end of the training with an interval at each validation.

    Every logger of the trainer gets `curvecast/predicted`, `low`, `high` and `worse`; they stand in
    `curvecast.csv` in the trainer's log folder too. Epochs count from 1 to `max_epochs`.
    Checkpoints hold what was validated, so that a training that goes on from one (`ckpt_path`)
    is predicted from its whole curve.

    Parameters
    ----------
    monitor, mode : the metric that the module logs, and "min" or "max".
    options : of `curvecast.integrations._runs.Watch`: earlier, config (default: the module's
        `hparams`), promise, stop, path, writer.

    Raises
    ------
    DataError : the trainer has no `max_epochs`, or the metric is not logged.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "min", **options: Any) -> None:
        self.watch = Watch(monitor, mode, **options)
        self._restored: list[Advice] = []

    def state_dict(self) -> dict[str, Any]:
        """What checkpoints hold."""
        return {"history": [asdict(advice) for advice in self.watch.history]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a checkpoint held; the training that begins next goes on after it."""
        self._restored = [Advice(**row) for row in state_dict["history"]]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the planned number of epochs, or go on."""
        if (trainer.max_epochs or -1) < 0:
            raise DataError("the end cannot be predicted without max_epochs")
        if self.watch.path is None and trainer.log_dir is not None:
            self.watch.path = Path(trainer.log_dir, "curvecast.csv")
        self.watch.begin(trainer.max_epochs, dict(pl_module.hparams), self._restored)
        self._restored = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Predict, log, and end the training where that is advised; all processes alike."""
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._validated(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same where there is no validation, by a metric of the training."""
        if not trainer.enable_validation:
            self._validated(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn where nothing was validated."""
        if trainer.is_global_zero:
            self.watch.end()

    def _validated(self, trainer: Trainer) -> None:
        stop = False
        if trainer.is_global_zero:
            advice = self.watch.validated(trainer.current_epoch + 1, trainer.callback_metrics)
            if advice is not None:
                scalars = {f"curvecast/{k}": v for k, v in advice.scalars().items()}
                for logger in trainer.loggers:
                    logger.log_metrics(scalars, step=trainer.global_step)
            stop = self.watch.ends(advice)
        trainer.should_stop = trainer.should_stop or trainer.strategy.broadcast(stop)
