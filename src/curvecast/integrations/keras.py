"""A callback for Keras that predicts where a training will end, and ends one that cannot win.

    model.fit(..., epochs=50, callbacks=[CurveCallback("val_loss", earlier=curves)])

Needs keras >= 3, with any backend.
"""

from __future__ import annotations

from typing import Any

from curvecast.extras import missing
from curvecast.integrations._runs import Watch

try:
    import keras
except ImportError as error:
    raise ImportError(missing(error)) from error

__all__ = ["CurveCallback"]


class CurveCallback(keras.callbacks.Callback):
    """Predict the end of the training with an interval at each validation.

    `History`, and callbacks that come after this one (`CSVLogger`, ...), get
    `curvecast_predicted`, `low`, `high` and `worse`. Epochs count from 1. A training that goes on
    (`initial_epoch`, `BackupAndRestore`) takes its earlier validations from the CSV file at `path`.

    Parameters
    ----------
    monitor, mode : the metric, and "min" or "max".
    options : of `curvecast.integrations._runs.Watch`: earlier, config, promise, stop, path, writer.

    Raises
    ------
    DataError : the metric is not logged, or the file at `path` is another one.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "min", **options: Any) -> None:
        super().__init__()
        self.watch = Watch(monitor, mode, **options)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """The first epoch is not known yet."""
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin with the planned number of epochs, or go on."""
        if not self._begun:
            self.watch.begin(self.params["epochs"], history=self.watch.stored(epoch))
            self._begun = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Predict, log, and end the training where that is advised."""
        logs = {} if logs is None else logs
        if self.watch.monitor.startswith("val_") and not any(n.startswith("val_") for n in logs):
            return  # validation_freq passes over this epoch
        advice = self.watch.validated(epoch + 1, logs)
        if advice is not None:
            logs |= {f"curvecast_{k}": v for k, v in advice.scalars().items()}
        if self.watch.ends(advice):
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Warn where nothing was validated."""
        self.watch.end()
