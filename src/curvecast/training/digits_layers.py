"""Trains every network of a small space of layers on 8 x 8 digits: `embedded/digits_layers`.

A search in that space (`layers.DIGITS`) can be replayed without training anything, because each
network that it may ask for is recorded.

    python -m curvecast.training.digits_layers --out DIR --workers 2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from curvecast import layers
from curvecast.curves import CurveSet
from curvecast.protocol import seed_from
from curvecast.training import cnn, images
from curvecast.training.image_training import ImageTraining, Prepared, Recipe, prepare
from curvecast.training.torch_session import seeded, side_by_side

NAME = "embedded/digits_layers"
# 300 of the 1000 training images: fewer steps, and networks differ more.
_SHARE = 0.3
_RECIPE = Recipe(20, batch_size=30, learning_rate=0.01, optimizer="adam", schedule="quarters")
SERIES = ("val_accuracy", "val_loss", "train_accuracy", "train_loss")


def train(network: layers.Layers, data: Prepared, n_epochs: int) -> dict[str, np.ndarray]:
    """`SERIES` of one network over epochs 0 .. n_epochs, and the `test` accuracy at the end."""
    seed = seed_from(NAME, layers.text_of(network), "training")
    with seeded(seed):
        module = cnn.listed(layers.config_of(network), data.n_classes, data.image)
    session = ImageTraining(module, data, _RECIPE, seed)
    logs = [session.evaluate()]
    for _ in range(n_epochs):
        session.train_epoch()
        logs.append(session.evaluate())
    made = {name: np.array([log[name] for log in logs], dtype=np.float32) for name in SERIES}
    return {**made, "test": np.array(session.scores()["test"])}


def train_collection(
    networks: Sequence[layers.Layers], n_epochs: int = _RECIPE.n_epochs, workers: int = 1
) -> CurveSet:
    """The networks as a collection; the same for every call on one type of machine.

    Columns: `ap_num_params` (without biases), `ap_depth` (layers, the softmax included), `info_net`
    (the text), `info_n_layers`, `info_layer_1`, ..., `info_end` (see `layers.config_of`) and
    `end_test_accuracy` after the last epoch.
    """
    data = prepare(images.digits().share(_SHARE))
    job = partial(train, data=data, n_epochs=n_epochs)
    logs = side_by_side(job, networks, workers, NAME)
    series = {name: np.stack([log[name] for log in logs]) for name in SERIES}
    return CurveSet(
        configs=_configs(networks, data.image[1], [float(log["test"]) for log in logs]),
        values=series.pop("val_accuracy"),
        epochs=np.arange(n_epochs + 1),
        metric="validation accuracy",
        direction="maximize",
        name=NAME,
        source=images.digits().source,
        log_columns=("ap_num_params",),
        series=series,
        notes=(
            f"{len(data.train[1])} training, {len(data.validation[1])} validation and "
            f"{len(data.test[1])} test images",
        ),
    )


def _configs(networks: Sequence[layers.Layers], side: int, test: list[float]) -> pd.DataFrame:
    columns = pd.DataFrame([layers.config_of(network) for network in networks]).fillna("")
    return pd.DataFrame(
        {
            "id": [f"net{i:04d}" for i in range(len(networks))],
            "group": np.arange(len(networks)),
            "ap_num_params": [layers.n_weights(network, side, 1) for network in networks],
            "ap_depth": [len(network) for network in networks],
            "info_net": [layers.text_of(network) for network in networks],
            **{f"info_{name}": columns[name] for name in sorted(map(str, columns))},
            "end_test_accuracy": test,
        }
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: train the collection into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the Parquet file")
    parser.add_argument("--workers", type=int, default=1, help="processes side by side")
    options = parser.parse_args(arguments)
    networks = list(layers.DIGITS.networks())
    file = options.out / f"{Path(NAME).name}.parquet"
    train_collection(networks, workers=options.workers).to_parquet(file)


if __name__ == "__main__":
    main()
