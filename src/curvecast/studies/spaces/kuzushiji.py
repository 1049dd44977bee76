"""Search spaces of convolutional networks for Kuzushiji (Mallik), for `tasks.cnn.kuzushiji`.

The published slides give no ranges beyond the channels of the first layer, momentum, learning
rate and batch size; the others are ours. Combinations that no image fits through are left in:
a study draws them again (`Task.possible`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ConfigSpace
from ConfigSpace import Categorical, EqualsCondition, Float, GreaterThanCondition, Integer

from curvecast.training.cnn import MOST_CHANNELS

_CHANNELS_FIRST = (3, 12)
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

# What `quick` does not search.
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
    _add_training(space)
    n_conv = Integer("n_conv", (1, _MOST_CONV), default=2)
    n_dense = Integer("n_dense", (0, _MOST_DENSE), default=1)
    dropout = Categorical("dropout", _SWITCH, default=False)
    space.add(
        Categorical("activation", ["relu", "sigmoid", "tanh"], default="relu"),
        Categorical("batch_norm", _SWITCH, default=True),
        dropout,
        n_conv,
        n_dense,
    )
    for i in range(1, _MOST_CONV + 1):
        _add_convolution(space, i, n_conv, dropout)
    _add_dense(space, n_dense)
    return space


def quick() -> ConfigSpace.ConfigurationSpace:
    """A part of the space for a study of some 100 epochs on one core; `QUICK` holds the rest.

    38 hyper-parameters cannot be searched in so few trainings. What is left out is set to what
    networks of this size usually need: relu, batch norm, Adam, a cosine schedule, no dropout in
    convolutions, pooling by 2.
    """
    space = ConfigSpace.ConfigurationSpace(name="kuzushiji_quick")
    n_conv = Integer("n_conv", (2, 3), default=3)
    n_dense = Integer("n_dense", (0, 1), default=1)
    units = _units(1)
    space.add(
        Integer("batch_size", (50, 200), log=True),
        Float("learning_rate", (5e-4, 3e-2), log=True),
        n_conv,
        n_dense,
        Float("dropout_3", (0.0, 0.5), default=0.2),
        units,
        GreaterThanCondition(units, n_dense, 0),
    )
    for i, channels in ((1, (6, 12)), (2, (24, 64)), (3, (32, 64))):
        own = [
            Integer(f"channels_{i}", channels),
            Integer(f"kernel_{i}", (3, 5)),
            Integer(f"padding_{i}", (1, 2)),
        ]
        space.add(*own)
        if i == 3:
            space.add(*(GreaterThanCondition(p, n_conv, 2) for p in [*own, space["dropout_3"]]))
    return space


def transfer(config: Mapping[str, Any]) -> ConfigSpace.ConfigurationSpace:
    """What is searched again on another data set: channels, dense layers and batch size.

    Parameters
    ----------
    config : the configuration that is taken over; it stays as it is in all other parameters
        (`merged` puts the two together).
    """
    space = ConfigSpace.ConfigurationSpace(name="kuzushiji_transfer")
    space.add(Integer("batch_size", (50, 1000), log=True))
    space.add(*(_channels(i) for i in range(1, config["n_conv"] + 1)))
    n_dense = Integer("n_dense", (0, _MOST_DENSE), default=1)
    space.add(n_dense)
    for i in range(1, _MOST_DENSE + 1):
        units = _units(i)
        space.add(units, GreaterThanCondition(units, n_dense, i - 1))
    return space


def merged(taken: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of `transfer` put into the one it started from.

    Dense layers that the latter did not have get no batch norm, and its dropout rate if any.
    """
    searched = ("channels_", "units_")
    kept = {k: v for k, v in taken.items() if not k.startswith(searched)}
    dense: dict[str, Any] = {"batch_norm_dense": False, "dropout_dense": False}
    rate = taken.get("dropout_dense_1", 0.0)
    dense |= {f"dropout_dense_{i}": rate for i in range(1, _MOST_DENSE + 1)}
    return {**dense, **kept, **found}


def _add_training(space: ConfigSpace.ConfigurationSpace) -> None:
    optimizer = Categorical("optimizer", ["adam", "adadelta", "sgd"], default="adam")
    amsgrad = Categorical("amsgrad", _SWITCH, default=False)
    momentum = Float("momentum", (0.0, 0.99), default=0.9)
    space.add(
        Integer("batch_size", (50, 1000), log=True),
        Float("learning_rate", (1e-5, 1e-1), log=True),
        Categorical("schedule", ["constant", "cosine", "step"], default="cosine"),
        optimizer,
        amsgrad,
        momentum,
        EqualsCondition(amsgrad, optimizer, "adam"),
        EqualsCondition(momentum, optimizer, "sgd"),
    )


def _channels(i: int) -> ConfigSpace.UniformIntegerHyperparameter:
    if i == 1:
        return Integer("channels_1", _CHANNELS_FIRST)
    return Integer(f"channels_{i}", (_CHANNELS_FIRST[0], MOST_CHANNELS), log=True)


def _units(i: int) -> ConfigSpace.UniformIntegerHyperparameter:
    return Integer(f"units_{i}", (32, 512), log=True)


def _add_convolution(
    space: ConfigSpace.ConfigurationSpace,
    i: int,
    n_conv: ConfigSpace.UniformIntegerHyperparameter,
    dropout: Any,
) -> None:
    pool = Categorical(f"pool_{i}", _SWITCH, default=True)
    pool_kernel = Integer(f"pool_kernel_{i}", (2, 4))
    rate = Float(f"dropout_{i}", (0.0, 0.8), default=0.2)
    own = [
        Integer(f"kernel_{i}", (2, 8), default=3),
        Integer(f"padding_{i}", (0, 4), default=1),
        Integer(f"stride_{i}", (1, 3), default=1),
        _channels(i),
        pool,
    ]
    space.add(*own, pool_kernel, rate)
    for parameter, parent, value in ((pool_kernel, pool, True), (rate, dropout, True)):
        here = EqualsCondition(parameter, parent, value)
        if i == 1:
            space.add(here)
        else:
            there = GreaterThanCondition(parameter, n_conv, i - 1)
            space.add(ConfigSpace.AndConjunction(here, there))
    if i > 1:
        space.add(*(GreaterThanCondition(parameter, n_conv, i - 1) for parameter in own))


def _add_dense(
    space: ConfigSpace.ConfigurationSpace, n_dense: ConfigSpace.UniformIntegerHyperparameter
) -> None:
    batch_norm = Categorical("batch_norm_dense", _SWITCH, default=False)
    dropout = Categorical("dropout_dense", _SWITCH, default=False)
    space.add(batch_norm, dropout)
    space.add(*(GreaterThanCondition(switch, n_dense, 0) for switch in (batch_norm, dropout)))
    for i in range(1, _MOST_DENSE + 1):
        units = _units(i)
        rate = Float(f"dropout_dense_{i}", (0.0, 0.8), default=0.2)
        space.add(units, rate)
        there = GreaterThanCondition(rate, n_dense, i - 1)
        space.add(GreaterThanCondition(units, n_dense, i - 1))
        space.add(ConfigSpace.AndConjunction(EqualsCondition(rate, dropout, True), there))
