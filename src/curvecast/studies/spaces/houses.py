"""Search space of perceptrons for house prices (Sikorskyi), for `training.regression`."""

from __future__ import annotations

from typing import Any

import ConfigSpace
from ConfigSpace import Categorical, Float, Integer

# Validation MSE 1 098 213 565 as published, after 800 epochs.
REFERENCE: dict[str, Any] = {
    "widths": [100, 50, 25, 25],
    "activation": "relu",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 64,
}


def perceptron() -> ConfigSpace.ConfigurationSpace:
    """Depth, width of the first layer (each further one has half as many), and the training."""
    space = ConfigSpace.ConfigurationSpace(name="houses")
    space.add(
        Integer("depth", (1, 5)),
        Integer("width", (16, 256), log=True),
        Categorical("activation", ["relu", "tanh", "sigmoid"]),
        Categorical("optimizer", ["adam", "sgd"]),
        Integer("batch_size", (8, 256), log=True),
        Float("learning_rate", (1e-4, 1e-1), log=True),
    )
    return space
