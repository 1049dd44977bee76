"""Search spaces of multi-layer perceptrons."""

from __future__ import annotations

from ConfigSpace import ConfigurationSpace, Float, Integer

from curvecast.studies.spaces import add_where


def lcbench() -> ConfigurationSpace:
    """LCBench's space of funnel-shaped networks (Zimmer, Lindauer, Hutter 2021, table 1).

    `max_dropout` acts between layers, so a network of one layer has none.
    """
    return _funnels("lcbench", 1024)


def lcbench_256() -> ConfigurationSpace:
    """The same with at most 256 units, for quick studies."""
    return _funnels("lcbench_256", 256)


def _funnels(name: str, most_units: int) -> ConfigurationSpace:
    space = ConfigurationSpace(name=name)
    space.add(
        Integer("batch_size", (16, 512), log=True),
        Float("learning_rate", (1e-4, 1e-1), log=True),
        Float("momentum", (0.1, 0.99)),
        Float("weight_decay", (1e-5, 1e-1)),
        Integer("num_layers", (1, 4)),
    )
    units = Integer("max_units", (64, most_units), log=True)
    add_where(space, units, Float("max_dropout", (0.0, 1.0)), num_layers=2)
    return space
