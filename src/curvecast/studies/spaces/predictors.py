"""Search spaces of the network predictors (Singh, LCBench Task A).

Singh names the parameters and his best configurations, not the ranges; the ranges are those of
hpbandster's own example of a convolutional network (example 5), with up to two layers as in his
results.
"""

from __future__ import annotations

from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer

from curvecast.studies.spaces import add_where


def cnn() -> ConfigurationSpace:
    """Convolutional network: {lr, num_conv_layers, num_filters_1, num_filters_2, optimizer}."""
    space = _training("cnn")
    space.add(
        Integer("num_conv_layers", (1, 2), default=1),
        Integer("num_filters_1", (4, 64), log=True, default=64),
    )
    add_where(space, Integer("num_filters_2", (4, 64), log=True, default=16), num_conv_layers=2)
    return space


def lstm() -> ConfigurationSpace:
    """Recurrent network: {lr, num_hidden_neurons, num_lstm_layers, optimizer}."""
    space = _training("lstm")
    space.add(
        Integer("num_hidden_neurons", (8, 256), log=True, default=100),
        Integer("num_lstm_layers", (1, 2), default=1),
    )
    return space


def cnn_lstm() -> ConfigurationSpace:
    """Both: the convolution's filters and the recurrent network's size."""
    space = _training("cnn_lstm")
    space.add(
        Integer("num_filters", (4, 64), log=True, default=16),
        Integer("num_hidden_neurons", (8, 256), log=True, default=128),
        Integer("num_lstm_layers", (1, 2), default=1),
    )
    return space


def _training(name: str) -> ConfigurationSpace:
    space = ConfigurationSpace(name=name)
    space.add(
        Float("lr", (1e-4, 1e-1), log=True, default=1e-2),
        Categorical("optimizer", ["Adam", "SGD"], default="Adam"),
    )
    return space
