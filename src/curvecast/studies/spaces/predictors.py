"""Search spaces of the network predictors (Singh, LCBench Task A).

Singh names the parameters and his best configurations, not the ranges; the ranges are those of
hpbandster's own example of a convolutional network (example 5), with up to two layers as in his
results.
"""

from __future__ import annotations

import ConfigSpace


def cnn() -> ConfigSpace.ConfigurationSpace:
    """Convolutional network: {lr, num_conv_layers, num_filters_1, num_filters_2, optimizer}."""
    space = _training("cnn")
    layers = ConfigSpace.Integer("num_conv_layers", (1, 2), default=1)
    second = ConfigSpace.Integer("num_filters_2", (4, 64), log=True, default=16)
    space.add(
        layers,
        ConfigSpace.Integer("num_filters_1", (4, 64), log=True, default=64),
        second,
        ConfigSpace.EqualsCondition(second, layers, 2),
    )
    return space


def lstm() -> ConfigSpace.ConfigurationSpace:
    """Recurrent network: {lr, num_hidden_neurons, num_lstm_layers, optimizer}."""
    space = _training("lstm")
    space.add(
        ConfigSpace.Integer("num_hidden_neurons", (8, 256), log=True, default=100),
        ConfigSpace.Integer("num_lstm_layers", (1, 2), default=1),
    )
    return space


def cnn_lstm() -> ConfigSpace.ConfigurationSpace:
    """Both: the convolution's filters and the recurrent network's size."""
    space = _training("cnn_lstm")
    space.add(
        ConfigSpace.Integer("num_filters", (4, 64), log=True, default=16),
        ConfigSpace.Integer("num_hidden_neurons", (8, 256), log=True, default=128),
        ConfigSpace.Integer("num_lstm_layers", (1, 2), default=1),
    )
    return space


def _training(name: str) -> ConfigSpace.ConfigurationSpace:
    space = ConfigSpace.ConfigurationSpace(name=name)
    space.add(
        ConfigSpace.Float("lr", (1e-4, 1e-1), log=True, default=1e-2),
        ConfigSpace.Categorical("optimizer", ["Adam", "SGD"], default="Adam"),
    )
    return space
