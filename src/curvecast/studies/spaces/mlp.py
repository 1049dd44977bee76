"""Search spaces of multi-layer perceptrons."""

from __future__ import annotations

import ConfigSpace


def lcbench() -> ConfigSpace.ConfigurationSpace:
    """LCBench's space of funnel-shaped networks (Zimmer, Lindauer, Hutter 2021, table 1).

    `max_dropout` acts between layers, so a network of one layer has none.
    """
    return _funnels("lcbench", 1024)


def lcbench_256() -> ConfigSpace.ConfigurationSpace:
    """The same with at most 256 units, for quick studies."""
    return _funnels("lcbench_256", 256)


def _funnels(name: str, most_units: int) -> ConfigSpace.ConfigurationSpace:
    space = ConfigSpace.ConfigurationSpace(name=name)
    layers = ConfigSpace.Integer("num_layers", (1, 4))
    units = ConfigSpace.Integer("max_units", (64, most_units), log=True)
    dropout = ConfigSpace.Float("max_dropout", (0.0, 1.0))
    space.add(
        ConfigSpace.Integer("batch_size", (16, 512), log=True),
        ConfigSpace.Float("learning_rate", (1e-4, 1e-1), log=True),
        ConfigSpace.Float("momentum", (0.1, 0.99)),
        ConfigSpace.Float("weight_decay", (1e-5, 1e-1)),
        layers,
        units,
        dropout,
        ConfigSpace.GreaterThanCondition(units, layers, 1),
        ConfigSpace.GreaterThanCondition(dropout, layers, 1),
    )
    return space
