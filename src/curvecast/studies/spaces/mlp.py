"""Search spaces of multi-layer perceptrons."""

from __future__ import annotations

import ConfigSpace


def lcbench() -> ConfigSpace.ConfigurationSpace:
    """LCBench's space of funnel-shaped networks (Zimmer, Lindauer, Hutter 2021, table 1).

    `max_dropout` acts between layers, so a network of one layer has none.
    """
    space = ConfigSpace.ConfigurationSpace(name="lcbench")
    layers = ConfigSpace.Integer("num_layers", (1, 4))
    units = ConfigSpace.Integer("max_units", (64, 1024), log=True)
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
