"""Search spaces of networks as lists of layers, for `training.cnn.listed` and recorded ones.

A space is a `layers.Space` (choices, limits, buckets) as a ConfigSpace: `n_layers`, as many of
`layer_1`, `layer_2`, ... with a layer's text each, and `end`. Which layers may follow each other is
left to `possible`. The sampler `metaqnn`
reads the `layers.Space` from the space's `meta`. A space of your own is a function in a file of
yours that returns `of(curvecast.layers.Space(...))`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace, Integer

from curvecast import layers
from curvecast.studies.spaces import add_where

# The published training: 20 epochs, rate times .2 after every quarter.
RECIPE: dict[str, Any] = {
    "batch_size": 128,
    "learning_rate": 1e-3,
    "optimizer": "adam",
    "schedule": "quarters",
}


def digits() -> ConfigurationSpace:
    """The space of `embedded/digits_layers`: 336 networks on 8 x 8 pixels."""
    return of(layers.DIGITS)


def small() -> ConfigurationSpace:
    """For 16 x 16 pixels: filters 16, 32, 64 and at most 8 layers."""
    return of(layers.SMALL)


def small_28() -> ConfigurationSpace:
    """The same for 28 x 28 pixels."""
    return of(layers.SMALL_28)


def cifar10() -> ConfigurationSpace:
    """The published space for CIFAR-10 (at most 18 layers)."""
    return of(layers.CIFAR10)


def svhn() -> ConfigurationSpace:
    """The published space for SVHN (at most 12 layers)."""
    return of(layers.SVHN)


def of(rules: layers.Space) -> ConfigurationSpace:
    """A `layers.Space` as a ConfigSpace."""
    space = ConfigurationSpace(name="layers", meta={"layers": asdict(rules)})
    convolutions = [_text(("C", (n, k, 1))) for n in rules.filters for k in rules.kernels]
    others = [_text(("P", pool)) for pool in rules.pools]
    others += [_text(("FC", (n,))) for n in rules.units]
    space.add(
        Integer("n_layers", (1, rules.max_depth)),
        Categorical("layer_1", convolutions),
        Categorical("end", [_text(("GAP", (rules.classes,))), _text(("SM", (rules.classes,)))]),
    )
    for number in range(2, rules.max_depth + 1):
        layer = Categorical(f"layer_{number}", [*convolutions, *others])
        add_where(space, layer, n_layers=number)
    return space


def rules_of(space: ConfigurationSpace) -> layers.Space | None:
    """The `layers.Space` behind a ConfigSpace; None where it is another one."""
    given = (space.meta or {}).get("layers")
    return None if given is None else layers.Space(**given)


def possible(space: ConfigurationSpace) -> Callable[[dict[str, Any]], bool] | None:
    """Whether a configuration is a network of the space; None where every one is possible."""
    rules = rules_of(space)
    return None if rules is None else partial(_held, rules)


def _held(rules: layers.Space, config: dict[str, Any]) -> bool:
    return rules.holds(layers.of_config(config))


def _text(layer: layers.Layer) -> str:
    return layers.text_of([layer])[1:-1]
