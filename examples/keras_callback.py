"""A callback for Keras: five finished trainings, then one that cannot win."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

import curvecast
from curvecast.integrations.keras import CurveCallback


def train(lr, *callbacks):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 4)).astype("float32")
    y = x @ np.array([[1.0], [2.0], [-1.0], [0.5]], dtype="float32")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(lr), loss="mse")
    data = {"x": x[:192], "y": y[:192], "validation_data": (x[192:], y[192:])}
    return model.fit(**data, epochs=12, verbose=0, callbacks=list(callbacks))


with tempfile.TemporaryDirectory() as folder:
    for lr in (0.001, 0.002, 0.003, 0.004, 0.005):
        run = Path(folder, f"lr={lr}")
        run.mkdir()
        train(lr, keras.callbacks.CSVLogger(run / "log.csv"))
    earlier = curvecast.read(folder, "val_loss", "minimize")
callback = CurveCallback("val_loss", "min", earlier=earlier, config={"lr": 0.0007})
history = train(0.0007, callback)
print(f"ended after {len(history.epoch)} of 12 epochs")
for advice in callback.watch.history:
    print(advice)
