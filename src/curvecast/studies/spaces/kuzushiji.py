"""Search spaces of convolutional networks for Kuzushiji (Mallik), for `training.cnn.kuzushiji`.

The published slides give ranges of the channels of the first layer, momentum, learning rate and
batch size only; the others are ours. Some combinations fit no image: a study draws them again
(`Task.possible`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ConfigSpace
from ConfigSpace import Categorical, Float, Integer

from curvecast.studies.spaces import add_where

_CHANNELS_FIRST, _CHANNELS = (3, 12), (3, 64)
_MOST_CONV, _MOST_DENSE = 3, 2
_SWITCH = [True, False]

# A plain network without a search: one convolution and PyTorch's defaults, the baseline.
DEFAULT: dict[str, Any] = {
    "batch_size": 96,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "optimizer": "sgd",
    "momentum": 0.0,
    "activation": "relu",
    "batch_norm": False,
    "dropout": False,
    "n_conv": 1,
    "kernel_1": 3,
    "padding_1": 1,
    "stride_1": 1,
    "channels_1": 4,
    "pool_1": True,
    "pool_kernel_1": 2,
    "n_dense": 0,
}

# The parameters that `quick` does not search.
QUICK: dict[str, Any] = {
    "activation": "relu",
    "batch_norm": True,
    "optimizer": "adam",
    "amsgrad": False,
    "schedule": "cosine",
    "dropout": True,
    "dropout_1": 0.0,
    "dropout_2": 0.0,
    "batch_norm_dense": True,
    "dropout_dense": True,
    "dropout_dense_1": 0.2,
    **{f"stride_{i}": 1 for i in range(1, _MOST_CONV + 1)},
    **{f"pool_{i}": True for i in range(1, _MOST_CONV + 1)},
    **{f"pool_kernel_{i}": 2 for i in range(1, _MOST_CONV + 1)},
}


def cnn() -> ConfigSpace.ConfigurationSpace:
    """The whole space: 38 hyper-parameters, conditional on the numbers of blocks."""
    space = ConfigSpace.ConfigurationSpace(name="kuzushiji")
    space.add(
        Integer("batch_size", (50, 1000), log=True),
        Float("learning_rate", (1e-5, 1e-1), log=True),
        Categorical("schedule", ["constant", "cosine", "step"], default="cosine"),
        Categorical("optimizer", ["adam", "adadelta", "sgd"], default="adam"),
        Categorical("activation", ["relu", "sigmoid", "tanh"], default="relu"),
        Categorical("batch_norm", _SWITCH, default=True),
        Categorical("dropout", _SWITCH, default=False),
        Integer("n_conv", (1, _MOST_CONV), default=2),
        Integer("n_dense", (0, _MOST_DENSE), default=1),
    )
    add_where(space, Categorical("amsgrad", _SWITCH, default=False), optimizer="adam")
    add_where(space, Float("momentum", (0.0, 0.99), default=0.9), optimizer="sgd")
    for i in range(1, _MOST_CONV + 1):
        block = {"n_conv": i} if i > 1 else {}
        add_where(
            space,
            Integer(f"kernel_{i}", (2, 8), default=3),
            Integer(f"padding_{i}", (0, 4), default=1),
            Integer(f"stride_{i}", (1, 3), default=1),
            _channels(i),
            Categorical(f"pool_{i}", _SWITCH, default=True),
            **block,
        )
        add_where(space, Integer(f"pool_kernel_{i}", (2, 4)), **{f"pool_{i}": True}, **block)
        add_where(space, _rate(f"dropout_{i}"), dropout=True, **block)
    add_where(
        space,
        Categorical("batch_norm_dense", _SWITCH, default=False),
        Categorical("dropout_dense", _SWITCH, default=False),
        n_dense=1,
    )
    for i in range(1, _MOST_DENSE + 1):
        add_where(space, _units(i), n_dense=i)
        add_where(space, _rate(f"dropout_dense_{i}"), dropout_dense=True, n_dense=i)
    return space


def quick() -> ConfigSpace.ConfigurationSpace:
    """A part of the space for a study of some 100 epochs on one core; `QUICK` holds the rest.

    38 hyper-parameters cannot be searched in so few trainings. The others have the values that
    networks of this size usually need: relu, batch norm, Adam, a cosine schedule, no dropout in
    convolutions, pooling by 2.
    """
    space = ConfigSpace.ConfigurationSpace(name="kuzushiji_quick")
    space.add(
        Integer("batch_size", (50, 200), log=True),
        Float("learning_rate", (5e-4, 3e-2), log=True),
        Integer("n_conv", (2, 3), default=3),
        Integer("n_dense", (0, 1), default=1),
    )
    add_where(space, Float("dropout_3", (0.0, 0.5), default=0.2), n_conv=3)
    add_where(space, _units(1), n_dense=1)
    for i, channels in ((1, (6, 12)), (2, (24, 64)), (3, (32, 64))):
        add_where(
            space,
            Integer(f"channels_{i}", channels),
            Integer(f"kernel_{i}", (3, 5)),
            Integer(f"padding_{i}", (1, 2)),
            **({"n_conv": 3} if i == 3 else {}),
        )
    return space


def transfer(config: Mapping[str, Any]) -> ConfigSpace.ConfigurationSpace:
    """The space that is searched again on another data set: channels, dense layers, batch size.

    Parameters
    ----------
    config : the configuration of the first data set; its other parameters stay (see `merged`).
    """
    space = ConfigSpace.ConfigurationSpace(name="kuzushiji_transfer")
    space.add(Integer("batch_size", (50, 1000), log=True))
    space.add(*(_channels(i) for i in range(1, config["n_conv"] + 1)))
    space.add(Integer("n_dense", (0, _MOST_DENSE), default=1))
    for i in range(1, _MOST_DENSE + 1):
        add_where(space, _units(i), n_dense=i)
    return space


def merged(base: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of `transfer`, completed by the one that it started from.

    Dense layers that the latter did not have get no batch norm, and its dropout rate if any.
    """
    rest = {k: v for k, v in base.items() if not k.startswith(("channels_", "units_"))}
    dense: dict[str, Any] = {"batch_norm_dense": False, "dropout_dense": False}
    rate = base.get("dropout_dense_1", 0.0)
    dense |= {f"dropout_dense_{i}": rate for i in range(1, _MOST_DENSE + 1)}
    return {**dense, **rest, **config}


def _channels(i: int) -> ConfigSpace.UniformIntegerHyperparameter:
    if i == 1:
        return Integer("channels_1", _CHANNELS_FIRST)
    return Integer(f"channels_{i}", _CHANNELS, log=True)


def _units(i: int) -> ConfigSpace.UniformIntegerHyperparameter:
    return Integer(f"units_{i}", (32, 512), log=True)


def _rate(name: str) -> ConfigSpace.UniformFloatHyperparameter:
    return Float(name, (0.0, 0.8), default=0.2)
