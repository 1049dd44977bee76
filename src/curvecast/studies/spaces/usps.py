"""The study around Sikorskyi's network for USPS: a grid of levels, for `training.cnn.usps`."""

from __future__ import annotations

from typing import Any

import ConfigSpace
from ConfigSpace import Categorical

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
