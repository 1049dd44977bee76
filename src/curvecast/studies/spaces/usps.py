"""Spaces for USPS: a grid around Sikorskyi's network, and wider networks than that.

`grid` is for `training.cnn.usps`, `wide` for `training.cnn.kuzushiji`.
"""

from __future__ import annotations

from typing import Any

import ConfigSpace
from ConfigSpace import Categorical, Float

LEVELS: dict[str, list[Any]] = {
    "n_conv": [1, 2, 3],
    "neurons": [50, 100, 200],
    "activation": ["relu", "tanh"],
    "batch_size": [10, 50, 250],
    "learning_rate": [0.1, 0.01, 0.001],
    "optimizer": ["sgd", "adam"],
    "loss": ["mse", "cross_entropy"],
}
# 98.32 % on the validation and 97.44 % on the test images after 50 epochs, as published.
REFERENCE: dict[str, Any] = {
    "n_conv": 3,
    "neurons": 100,
    "activation": "relu",
    "batch_size": 10,
    "learning_rate": 0.1,
    "optimizer": "sgd",
    "loss": "mse",
}


def grid() -> ConfigSpace.ConfigurationSpace:
    """The levels as categories: 648 configurations, which a full grid would train all."""
    space = ConfigSpace.ConfigurationSpace(name="usps_grid")
    space.add(*(Categorical(key, values) for key, values in LEVELS.items()))
    return space


def wide() -> ConfigSpace.ConfigurationSpace:
    """Three convolutions and a dense layer, with about twice the weights of the grid's best.

    What else the network needs is fixed in config/tasks.yaml.
    """
    space = ConfigSpace.ConfigurationSpace(name="usps_wide")
    space.add(
        Categorical("channels_1", [32, 64]),
        Categorical("channels_2", [64, 128]),
        Categorical("channels_3", [128, 192]),
        Categorical("units_1", [100, 200, 400]),
        Categorical("activation", ["relu", "tanh"]),
        Categorical("loss", ["mse", "cross_entropy"]),
        Categorical("batch_size", [25, 50, 100]),
        Float("learning_rate", (5e-4, 8e-3), log=True),
        Float("dropout_3", (0.0, 0.4)),
        Float("dropout_dense_1", (0.1, 0.5)),
    )
    return space
