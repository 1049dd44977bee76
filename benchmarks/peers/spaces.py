"""A table's parameters as a space of ConfigSpace, for the peers that have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer


def of(parameters: Mapping[str, Mapping[str, Any]]) -> ConfigurationSpace:
    """The box around the recorded configurations; see recorded.py."""
    space = ConfigurationSpace()
    for name, p in parameters.items():
        if "choices" in p:
            space.add(Categorical(name, p["choices"]))
            continue
        kind = Integer if p["integer"] else Float
        space.add(kind(name, (p["low"], p["high"]), log=p["log"]))
    return space
